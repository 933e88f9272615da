"""Images from seeds, what readers say to them, and the smallest that still shows it.

    from ext4writer.fuzzing import Recipe, random_recipe

    recipe = random_recipe(7)
    print(recipe)                         # a short text that makes the same bytes everywhere
    image = Recipe.parse(str(recipe)).image()
    recipe, image = random_image(7)       # both at once, for what needs both

``minimize`` makes one smaller as long as it still shows something, ``shapes`` has unusual images by
name, ``witness`` writes what goes into a bug report, and ``mutate`` changes the bytes of any image
and makes its checksums right; ``afl`` and ``custom_mutator`` are that for AFL++ and atheris.
``ext4writer fuzz run`` lets programs look at many of them.
"""

from .chance import random_image, random_recipe
from .mutation import custom_mutator, mutate
from .recipe import Recipe, RecipeError

__all__ = [
    "Recipe",
    "RecipeError",
    "custom_mutator",
    "mutate",
    "random_image",
    "random_recipe",
]
