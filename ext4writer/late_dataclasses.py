"""Dataclasses and named tuples that build their methods on first use.

The standard library compiles six functions for each dataclass when its module is loaded, and needs
``inspect`` for that; most of these functions are never called. Its classes would raise ``build`` of
an empty folder from 385 to 475 million instructions, and ``--version`` from 175 to 185 million
(cachegrind, CPython 3.11).

Here a class only records its fields. Its ``__init__`` is built once some objects exist, and
``dataclasses.fields``, ``replace`` and ``is_dataclass`` work as usual. A class that has
``_refuse_unknown`` gets unknown keywords passed to that method, to raise its own error. Named
tuples build their ``__new__`` in the same way, and their annotations are not compiled. A type
checker sees the classes of the standard library.
"""

from __future__ import annotations

from _collections import _tuplegetter  # type: ignore[import-not-found] # of each namedtuple
from functools import partial as _partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import dataclass, field, fields, replace
    from typing import Any, NamedTuple

__all__ = ["NamedTuple", "dataclass", "field", "fields", "replace"]

_ROWS = "__late_fields__"
_SHARED = ("ClassVar", "typing.ClassVar")
"""How annotations of class variables begin, which are not fields."""
_GIVEN = object()
"""Stands for a default that a factory creates."""
_NOTHING = object()
_NO_METADATA: Mapping[str, Any] = {}
_put = object.__setattr__
_CALLS_BEFORE = 8
"""The objects of a class that are created before the method that creates them is compiled."""


class _Field:
    """One field, with the attributes of ``dataclasses.Field`` that are used here."""

    __slots__ = ("compare", "default", "default_factory", "metadata", "name", "type")

    def __init__(
        self,
        default: object,
        default_factory: Callable[[], object] | None = None,
        *,
        compare: bool = True,
        metadata: Mapping[str, Any] = _NO_METADATA,
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.compare = compare
        self.metadata = metadata
        self.name = ""
        self.type = ""


def _field(
    *,
    default: object = _NOTHING,
    default_factory: Callable[[], object] | None = None,
    compare: bool = True,
    metadata: Mapping[str, Any] = _NO_METADATA,
) -> _Field:
    return _Field(default, default_factory, compare=compare, metadata=metadata)


def _rows(of: object) -> dict[str, _Field] | None:
    """The fields of a class or object; None if its class was not decorated here."""
    kind = of if isinstance(of, type) else type(of)
    return kind.__dict__.get(_ROWS)


def _fields(of: Any) -> tuple[Any, ...]:
    """The fields of a class or of an object, in order."""
    rows = _rows(of)
    if rows is None:
        from dataclasses import fields

        return fields(of)
    return tuple(rows.values())


def _replace(of: Any, /, **changes: Any) -> Any:
    """A copy of ``of`` with some fields changed."""
    rows = _rows(of)
    if rows is None:
        from dataclasses import replace

        return replace(of, **changes)
    for name in rows:
        if name not in changes:
            changes[name] = getattr(of, name)
    return type(of)(**changes)


def _dataclass(
    kind: Any = None,
    /,
    *,
    frozen: bool = False,
    slots: bool = False,
    init: bool = True,
    eq: bool = True,
    repr: bool = True,  # noqa: A002 (its name in the standard library)
) -> Any:
    def decorated(kind: type) -> type:
        return _processed(kind, frozen=frozen, slots=slots, init=init, eq=eq, shown=repr)

    return decorated if kind is None else decorated(kind)


def _processed(
    kind: Any, *, frozen: bool, slots: bool, init: bool, eq: bool, shown: bool
) -> type[Any]:
    rows = _rows_of(kind)
    own = set(kind.__dict__)
    if slots:
        kind = _with_slots(kind, rows)
    setattr(kind, _ROWS, rows)
    kind.__match_args__ = tuple(rows)  # type: ignore[misc]
    kind.__replace__ = _replace
    methods: dict[str, Any] = {}
    if init:
        methods["__init__"] = _LateInit(kind, rows, frozen=frozen)
    if shown:
        methods["__repr__"] = _shown
    if eq:
        methods["__eq__"] = _Late(kind, "__eq__", lambda: _equal(kind, rows))
        methods["__hash__"] = None
        if frozen:
            methods["__hash__"] = _Late(kind, "__hash__", lambda: _hash(kind, rows))
    if frozen:
        methods["__setattr__"], methods["__delattr__"] = _refusals(kind, frozenset(rows))
        if slots:
            methods["__getstate__"], methods["__setstate__"] = _state, _set_state
    for name, method in methods.items():
        if name not in own:
            setattr(kind, name, method)
    standard = _Standard(kind, rows, frozen=frozen, init=init, eq=eq, repr=shown)
    kind.__dataclass_fields__ = _StandardAttribute(standard, "__dataclass_fields__")
    kind.__dataclass_params__ = _StandardAttribute(standard, "__dataclass_params__")
    return kind  # type: ignore[no-any-return]


def _rows_of(kind: Any) -> dict[str, _Field]:
    """Name -> field, those of base classes first."""
    rows: dict[str, _Field] = {}
    for above in reversed(kind.__mro__[1:]):
        rows.update(above.__dict__.get(_ROWS, {}))
    for name, note in kind.__annotations__.items():
        if note.startswith(_SHARED):
            continue
        default = getattr(kind, name, _NOTHING)
        row = default if isinstance(default, _Field) else _Field(default)
        row.name, row.type = name, note
        if row is default:
            if row.default is _NOTHING:
                delattr(kind, name)
            else:
                setattr(kind, name, row.default)
        elif type(default).__hash__ is None:
            raise ValueError(f"{kind.__qualname__}.{name}: objects would share their default")
        rows[name] = row
    return rows


def _with_slots(kind: Any, rows: Mapping[str, _Field]) -> Any:
    """A new class with a slot for each field: slots are fixed when a class is created."""
    above = {name for each in kind.__mro__[1:-1] for name in each.__dict__.get(_ROWS, {})}
    names = {name: value for name, value in kind.__dict__.items() if name not in rows}
    names["__slots__"] = tuple(name for name in rows if name not in above)
    names.pop("__dict__", None)
    names.pop("__weakref__", None)
    made = type(kind)(kind.__name__, kind.__bases__, names)
    made.__qualname__ = kind.__qualname__
    return made


class _Late:
    """A descriptor that builds a method on first look-up and replaces itself with it."""

    __slots__ = ("kind", "make", "name")

    def __init__(self, kind: type, name: str, make: Callable[[], Any]) -> None:
        self.kind = kind
        self.name = name
        self.make = make

    def __get__(self, one: object, owner: Any = None) -> Any:
        method = self.make()
        setattr(self.kind, self.name, method)
        return method.__get__(one, owner)


class _LateInit(_Late):
    """An ``__init__`` that is compiled after several objects, since most classes have only one.

    The first objects get their fields one by one: that takes microseconds, where compiling the
    method would take a millisecond.
    """

    __slots__ = ("calls", "frozen", "rows")

    def __init__(self, kind: Any, rows: Mapping[str, _Field], *, frozen: bool) -> None:
        super().__init__(kind, "__init__", lambda: _init(kind, rows, frozen=frozen))
        self.rows = rows
        self.frozen = frozen
        self.calls = 0

    def __get__(self, one: object, owner: Any = None) -> Any:
        self.calls += 1
        if one is None or self.calls > _CALLS_BEFORE:
            return super().__get__(one, owner)
        return _partial(self.fill, one)

    def fill(self, one: Any, /, *given: Any, **named: Any) -> None:
        """Do what the method would do; for arguments that do not fit, call the method itself."""
        rows = self.rows
        values = {**dict(zip(rows, given, strict=False)), **named}
        if len(values) < len(given) + len(named) or not values.keys() <= rows.keys():
            super().__get__(one)(*given, **named)
            return
        put = _put if self.frozen else setattr
        for name, row in rows.items():
            if name in values:
                put(one, name, values[name])
            elif row.default_factory is not None:
                put(one, name, row.default_factory())
            elif row.default is not _NOTHING:
                put(one, name, row.default)
            else:
                super().__get__(one)(*given, **named)
                return
        if hasattr(one, "__post_init__"):
            one.__post_init__()


class _LateNew(_Late):
    """The ``__new__`` of a named tuple, compiled after several objects."""

    __slots__ = ("calls",)

    def __init__(self, kind: Any) -> None:
        super().__init__(kind, "__new__", lambda: _tuple_new(kind))
        self.calls = 0

    def __get__(self, one: object, owner: Any = None) -> Any:
        self.calls += 1
        if self.calls > _CALLS_BEFORE:
            return super().__get__(one, owner)
        return self

    @property
    def __wrapped__(self) -> Any:
        """The method itself, for ``inspect.signature``."""
        return super().__get__(None, self.kind)

    def __call__(self, kind: Any, /, *given: Any, **named: Any) -> Any:
        late: Any = self.kind
        names, defaults = late._fields, late._field_defaults
        rest = names[len(given) :]
        known = {**defaults, **named}
        if len(given) > len(names) or not (named.keys() <= set(rest) <= known.keys()):
            return super().__get__(None, self.kind)(kind, *given, **named)
        return tuple.__new__(kind, (*given, *map(known.__getitem__, rest)))


def _made(kind: type, name: str, text: str, known: dict[str, object]) -> Any:
    """The function that ``text`` defines, as a method of the class."""
    exec(text, known)  # noqa: S102 (the text contains only names of fields)
    function: Any = known[name]
    function.__qualname__ = f"{kind.__qualname__}.{name}"
    function.__module__ = kind.__module__
    return function


def _init(kind: Any, rows: Mapping[str, _Field], *, frozen: bool) -> Any:
    known: dict[str, object] = {"_put": _put, "_GIVEN": _GIVEN}
    arguments, lines = ["self"], []
    for name, row in rows.items():
        value = name
        if row.default_factory is not None:
            known[f"_make_{name}"] = row.default_factory
            arguments.append(f"{name}=_GIVEN")
            value = f"_make_{name}() if {name} is _GIVEN else {name}"
        elif row.default is not _NOTHING:
            known[f"_default_{name}"] = row.default
            arguments.append(f"{name}=_default_{name}")
        else:
            arguments.append(name)
        lines.append(f" _put(self, {name!r}, {value})" if frozen else f" self.{name} = {value}")
    if hasattr(kind, "_refuse_unknown"):
        arguments.append("**unknown")
        lines.insert(0, " if unknown: self._refuse_unknown(unknown)")
    if hasattr(kind, "__post_init__"):
        lines.append(" self.__post_init__()")
    text = "\n".join((f"def __init__({', '.join(arguments)}):", *(lines or [" pass"])))
    function = _made(kind, "__init__", text, known)
    function.__annotations__ = {name: row.type for name, row in rows.items()} | {"return": None}
    return function


def _values_of(rows: Mapping[str, _Field], of: str) -> str:
    return "(" + "".join(f"{of}.{name}, " for name, row in rows.items() if row.compare) + ")"


def _equal(kind: type, rows: Mapping[str, _Field]) -> Any:
    mine, others = _values_of(rows, "self"), _values_of(rows, "other")
    text = (
        "def __eq__(self, other):\n if other.__class__ is self.__class__:\n"
        f"  return {mine} == {others}\n return NotImplemented"
    )
    return _made(kind, "__eq__", text, {})


def _hash(kind: type, rows: Mapping[str, _Field]) -> Any:
    text = f"def __hash__(self):\n return hash({_values_of(rows, 'self')})"
    return _made(kind, "__hash__", text, {})


def _shown(self: Any) -> str:
    from reprlib import recursive_repr

    return recursive_repr()(_all_shown)(self)


def _all_shown(self: Any) -> str:
    values = (f"{name}={getattr(self, name)!r}" for name in getattr(self, _ROWS))
    return f"{type(self).__qualname__}({', '.join(values)})"


def _refusals(kind: Any, names: frozenset[str]) -> tuple[Any, Any]:
    """``__setattr__`` and ``__delattr__`` of a class with immutable objects."""

    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        if type(self) is kind or name in names:
            _refuse("assign to", name)
        super(kind, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is kind or name in names:
            _refuse("delete", name)
        super(kind, self).__delattr__(name)

    return __setattr__, __delattr__


def _refuse(what: str, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot {what} field {name!r}")


def _state(self: Any) -> list[object]:
    return [getattr(self, name) for name in getattr(self, _ROWS)]


def _set_state(self: Any, state: list[object]) -> None:
    for name, value in zip(getattr(self, _ROWS), state, strict=True):
        _put(self, name, value)


class _Standard:
    """The standard library's version of the same class, built when ``dataclasses`` looks."""

    __slots__ = ("kind", "made", "options", "rows")

    def __init__(self, kind: Any, rows: Mapping[str, _Field], **options: Any) -> None:
        self.kind = kind
        self.rows = rows
        self.options = options
        self.made: type | None = None

    def take(self, name: str) -> Any:
        if self.made is None:
            import dataclasses

            declared: list[tuple[str, Any, Any]] = []
            for row in self.rows.values():
                given: dict[str, Any] = {"compare": row.compare, "metadata": row.metadata}
                if row.default_factory is not None:
                    given["default_factory"] = row.default_factory
                elif row.default is not _NOTHING:
                    given["default"] = row.default
                declared.append((row.name, row.type, dataclasses.field(**given)))
            self.made = dataclasses.make_dataclass(self.kind.__name__, declared, **self.options)
        return getattr(self.made, name)


class _StandardAttribute:
    """A class attribute that is looked up in the class's :class:`_Standard`."""

    __slots__ = ("name", "standard")

    def __init__(self, standard: _Standard, name: str) -> None:
        self.standard = standard
        self.name = name

    def __get__(self, one: object, owner: Any = None) -> Any:
        return self.standard.take(self.name)


class _NamedTupleMeta(type):
    """Creates subclasses of tuple, as ``typing.NamedTuple`` does; NamedTuple is not their base."""

    def __new__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, names)
        kind: Any = type(name, (tuple,), {**_TUPLE_METHODS, **names, "__slots__": ()})
        notes = names.get("__annotations__", {})
        kind._fields = tuple(notes)
        kind.__match_args__ = kind._fields  # type: ignore[misc]
        kind._field_defaults = {field: names[field] for field in notes if field in names}
        kind.__new__ = _LateNew(kind)
        for place, field in enumerate(notes):
            setattr(kind, field, _tuplegetter(place, None))
        return kind


def _tuple_new(kind: Any) -> staticmethod[..., Any]:
    names, defaults = kind._fields, kind._field_defaults
    arguments = "".join(f", {name}" for name in names)
    given = "".join(f", {name}=_d[{name!r}]" if name in defaults else f", {name}" for name in names)
    values = f"({arguments[2:]}{',' if len(names) == 1 else ''})"
    text = f"def __new__(_cls{given}):\n return _new(_cls, {values})"
    function = _made(kind, "__new__", text, {"_new": tuple.__new__, "_d": defaults})
    function.__annotations__ = kind.__annotations__
    return staticmethod(function)


def _tuple_make(cls: Any, values: Any) -> Any:
    made = tuple.__new__(cls, values)
    if len(made) != len(cls._fields):
        raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
    return made


def _tuple_replace(self: Any, /, **changes: Any) -> Any:
    made = self._make(map(changes.pop, self._fields, self))
    if changes:
        raise TypeError(f"Got unexpected field names: {list(changes)!r}")  # as in Python 3.13
    return made


def _tuple_shown(self: Any) -> str:
    values = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
    return f"{type(self).__name__}({', '.join(values)})"


_TUPLE_METHODS: dict[str, Any] = {
    "_make": classmethod(_tuple_make),
    "_replace": _tuple_replace,
    "__replace__": _tuple_replace,
    "_asdict": lambda self: dict(zip(self._fields, self, strict=True)),
    "__repr__": _tuple_shown,
    "__getnewargs__": lambda self: tuple(self),  # noqa: PLW0108 (a method, which a class is not)
}


class _NamedTuple(metaclass=_NamedTupleMeta):
    pass


if not TYPE_CHECKING:
    dataclass, field, fields, replace = _dataclass, _field, _fields, _replace
    NamedTuple = _NamedTuple
