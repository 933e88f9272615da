"""Checks arguments against the annotations of functions.

Annotations are strings here, and most classes that they name are not loaded. So this module parses
the strings, and a function that is :func:`checked` needs no code for each argument. A value with an
unambiguous meaning, such as ``"4"`` for an int, is converted; any other value of the wrong type is
refused with the name of the argument.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

from .arguments import (
    buffer_of,
    bytes_of,
    count_of,
    flag,
    path_of,
    text_of,
    writable_buffer_of,
)
from .errors import SpecError
from .late_dataclasses import NamedTuple, fields

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Value = TypeVar("Value")
Converter = Callable[[Any], Any]
"""Converts a caller's value to what the function gets, or raises ``ValueError`` with the reason."""


class Kind(NamedTuple):
    """The meaning of a name in an annotation."""

    words: str
    """Its name in messages, after "neither"."""
    convert: Converter


def _having(method: str, words: str, reason: str) -> Kind:
    """The kind of all objects that have ``method``."""

    def convert(given: Any) -> Any:
        if callable(getattr(given, method, None)):
            return given
        raise ValueError(f"{given!r:.80} {reason}")

    return Kind(words, convert)


def _anything(given: Any) -> Any:
    return given


def _number_of(given: Any) -> Any:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return given
    raise ValueError(f"{given!r:.80} is no number")


def _bytes_of(given: Any) -> Any:
    if isinstance(given, str):
        raise ValueError(f"{given!r:.80} is a str, not bytes; encode it")
    return bytes_of(given)


def _mapping_of(given: Any) -> Any:
    if isinstance(given, Mapping):
        return given
    raise ValueError(f"{given!r:.80} is no mapping")


def _nothing_of(given: Any) -> Any:
    if given is None:
        return None
    raise ValueError(f"{given!r:.80} is not None")


def _trailer_of(given: Any) -> Any:
    if hasattr(given, "area_size"):
        return given
    raise ValueError(f"{given!r:.80} is no trailer, such as watchers.DmVerity")


def _output_of(given: Any) -> Any:
    """Check paths only: opening refuses what is not an output, with a better message."""
    return path_of(given) if isinstance(given, str | bytes) else given


def _patterns_of(given: Any) -> Any:
    """Accept a function, one glob, or several."""
    if isinstance(given, str | bytes):
        return path_of(given)
    return given if callable(given) else _each_of(path_of)(given)


_FUNCTION = _having("__call__", "a function", "is not a function")
_PATH = Kind("a path", path_of)
_MAPPING = Kind("a mapping", _mapping_of)
_CHECKED_INSIDE = Kind("", _anything)
"""A value that the function itself checks, with its own messages."""

KINDS = {
    "None": Kind("None", _nothing_of),
    "bool": Kind("True or False", flag),
    "int": Kind("a whole number", count_of),
    "float": Kind("a number", _number_of),
    "str": Kind("a str", text_of),
    "bytes": Kind("bytes", _bytes_of),
    "Path": _PATH,
    "PathLike": _PATH,
    "BinaryIO": _having("read", "a binary file", "is not a binary file"),
    "Callable": _FUNCTION,
    "ProgressCallback": _FUNCTION,
    "OnDamage": _FUNCTION,
    "OnError": _FUNCTION,
    "SpoolMaker": _FUNCTION,
    "Cancel": _having("is_set", "an Event", "has no method is_set(), as a threading.Event has"),
    "Change": _FUNCTION,
    "Store": _FUNCTION,
    "Trailer": Kind("a trailer", _trailer_of),
    "OutputLike": Kind("an output", _output_of),
    "Patterns": Kind("patterns", _patterns_of),
    "Attributes": _MAPPING,
    "Rule": _having("apply", "a rule", "is no rule"),
    "Buffer": Kind("bytes", buffer_of),
    "ReadBuffer": Kind("bytes", buffer_of),
    "WriteBuffer": Kind("a bytearray", writable_buffer_of),
    "Executor": _having("submit", "an executor", "is no executor of concurrent.futures"),
    "Mapping": _MAPPING,
    "dict": _MAPPING,
    **dict.fromkeys(
        (
            *("Any", "Archive", "Format", "FreeBlocks", "ImageSource", "OutputFormat"),
            *("OverrideValue", "Size", "Source"),
        ),
        _CHECKED_INSIDE,
    ),
}
"""The names in annotations that are not names of classes of this library."""

HINTS = {
    "Tree": "ext4writer.sources.directory() reads a folder",
    "Layout": "plan() returns one",
    "Spec": "write Spec(size=...)",
    "Compression": "write Compression(level=...)",
    "Limits": "write sources.Limits(members=...)",
    "Entry": "nix.read_contents() returns them",
    "Registration": "nix.read_registration() returns one",
}
"""How to get an object of a class, for messages."""


def checked(
    *own: str,
) -> Callable[[Callable[Arguments, Answer]], Callable[Arguments, Answer]]:
    """Decorate a function to check its arguments, except ``own``, which it checks itself.

    The function then raises :class:`SpecError` for a value that its annotations do not allow.
    """

    def decorated(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
        converters: dict[str, Converter] = {}
        defaults: dict[str, object] = function.__kwdefaults__ or {}

        @wraps(function)
        def call(*args: Arguments.args, **options: Arguments.kwargs) -> Answer:
            if not converters:
                converters.update(_converters_of(function, own))
            given: list[Any] = list(args)
            for at, name in enumerate(_names_of(function)[: len(given)]):
                if name in converters:
                    given[at] = converted_argument(name, given[at], converters[name])
            for name, value in options.items():
                # Functions that pass their arguments on mostly pass defaults.
                if name in converters and value is not defaults.get(name, converters):
                    options[name] = converted_argument(name, value, converters[name])
            try:
                return function(*given, **options)
            except TypeError:
                refuse_unbound(function, given, options)
                _refuse_callbacks(function, given, options)
                raise

        return call

    return decorated


def checked_if_it_fails(
    function: Callable[Arguments, Answer],
) -> Callable[Arguments, Answer]:
    """Decorate a function to check its arguments only once it has failed; for frequent calls."""

    @wraps(function)
    def call(*args: Arguments.args, **options: Arguments.kwargs) -> Answer:
        try:
            return function(*args, **options)
        except (TypeError, AttributeError):
            refuse_unbound(function, args, options)
            converters = dict(_converters_of(function, ()))
            names = _names_of(function)
            given: list[Any] = [
                converted_argument(name, value, converters[name]) if name in converters else value
                for name, value in zip(names, args, strict=False)
            ]
            further: dict[str, Any] = {
                name: converted_argument(name, value, converters[name])
                if name in converters
                else value
                for name, value in options.items()
            }
            if all(map(operator.is_, (*given, *further.values()), (*args, *options.values()))):
                raise
        return function(*given, **further)

    return call


def refuse_unbound(function: Any, args: Iterable[Any], options: Mapping[str, Any]) -> None:
    """Raise :class:`SpecError` if a function does not have these arguments, or lacks one."""
    from .wrong_calls import refuse_unbound  # late: a correct program never needs it

    refuse_unbound(function, args, options)


def _refuse_callbacks(function: Any, args: Iterable[Any], options: Mapping[str, Any]) -> None:
    """Raise :class:`SpecError` if a callback among the arguments has the wrong parameters."""
    from .wrong_calls import refuse_callbacks

    refuse_callbacks(function, args, options)


def refuse_unknown(one: Any, unknown: Iterable[str]) -> NoReturn:
    """The ``_refuse_unknown`` of a dataclass: raise :class:`SpecError` for unknown keywords."""
    from .wrong_calls import meant

    name = next(iter(unknown))
    kind, names = type(one).__name__, [field.name for field in fields(one)]
    raise SpecError(name, f"is no argument of {kind}(); {meant(name, names)}")


def converted_argument(name: str, given: Any, convert: Callable[[Any], Value]) -> Value:
    """The result of ``convert(given)``; raises :class:`SpecError` with the name if that fails."""
    try:
        return convert(given)
    except ValueError as error:
        raise SpecError(name, str(error)) from None


def check_fields(one: Any, *own: str) -> None:
    """Convert and check the fields of a dataclass except ``own``, like :func:`checked`."""
    for field in fields(one):
        if field.name not in own:
            given = getattr(one, field.name)
            value = converted_argument(field.name, given, converter_of(str(field.type)))
            if value is not given:
                object.__setattr__(one, field.name, value)


def _names_of(function: Any) -> tuple[str, ...]:
    """The names of the arguments that may be positional."""
    code = function.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


def _converters_of(function: Any, own: tuple[str, ...]) -> Iterator[tuple[str, Converter]]:
    for name, annotation in function.__annotations__.items():
        if name != "return" and name not in own and not annotation.startswith("Unpack["):
            yield name, converter_of(annotation)


_converters: dict[str, Converter] = {}


def converter_of(annotation: str) -> Converter:
    """The converter for values of an annotation, which is a string."""
    convert = _converters.get(annotation)
    if convert is None:
        convert = _converters[annotation] = _made(annotation)
    return convert


def _made(annotation: str) -> Converter:
    parts = list(_alternatives(annotation))
    may_be_none = "None" in parts
    names = [_name_of(part) for part in parts if part != "None"]
    if _PATH in (KINDS.get(name) for name in names):
        parts = [part for part in parts if part not in ("str", "bytes")]
    kinds = [_kind_of(part) for part in parts if part != "None"]
    if _CHECKED_INSIDE in kinds:
        return _anything
    if len(kinds) == 1:
        one = kinds[0].convert
        return (lambda given: None if given is None else one(given)) if may_be_none else one

    def convert(given: Any) -> Any:
        if given is None and may_be_none:
            return None
        for kind in kinds:
            try:
                return kind.convert(given)
            except ValueError:
                continue
        words = [kind.words for kind in kinds]
        raise ValueError(f"{given!r:.80} is neither {', '.join(words[:-1])} nor {words[-1]}")

    return convert


def _alternatives(annotation: str) -> Iterator[str]:
    """Yield the members of a union; brackets may contain further unions."""
    part, depth = "", 0
    for word in annotation.split(" | "):
        part = f"{part} | {word}" if part else word
        depth += word.count("[") - word.count("]")
        if not depth:
            yield part
            part = ""


def _name_of(part: str) -> str:
    """The bare name in an annotation, such as ``PathLike`` in ``os.PathLike[str]``."""
    return part.partition("[")[0].rpartition(".")[2]


def _kind_of(part: str) -> Kind:
    name = _name_of(part)
    if name in ("Iterable", "Sequence", "tuple"):
        inside = part.partition("[")[2].removesuffix("]").removesuffix(", ...")
        return Kind("a list", _each_of(converter_of(inside) if inside else _anything))
    return KINDS.get(name) or Kind(_with_article(name), _of_class(name))


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _each_of(convert: Converter) -> Converter:
    """The converter for several values; a str is refused, though it is a sequence."""

    def convert_each(given: Any) -> Any:
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise ValueError(f"{given!r:.80} is no list")
        if not isinstance(given, list | tuple | set | frozenset):
            return given  # may be read only once
        for one in given:
            convert(one)
        return given

    return convert_each


def _of_class(name: str) -> Converter:
    """The converter for objects of this library's class ``name`` or its subclasses."""

    def convert(given: Any) -> Any:
        if any(kind.__name__ == name for kind in type(given).__mro__):
            return given
        hint = f"; {HINTS[name]}" if name in HINTS else ""
        raise ValueError(
            f"is {_with_article(type(given).__name__)}, not {_with_article(name)}{hint}"
        )

    return convert


KINDS["Base"] = Kind("a path or a Layout", converter_of("Path | Layout"))
