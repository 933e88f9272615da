"""Generates images from seeds, and reduces those that reveal a bug.

    from ext4writer.fuzzing import Recipe, random_recipe

    recipe = random_recipe(7)
    print(recipe)                         # a short text that yields the same bytes everywhere
    image = Recipe.parse(str(recipe)).image()
    recipe, image = random_image(7)       # both in one call

``minimize`` reduces a recipe while it still shows a bug, ``shapes`` has named unusual images, and
``witness`` writes the material for a bug report. ``mutate`` changes bytes of any image and sets its
checksums; ``afl`` and ``custom_mutator`` adapt it to AFL++ and atheris. ``ext4writer fuzz run``
lets programs read many random images.
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
