"""Our late dataclasses behave like those of the standard library; both run the same code."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys
import typing
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from ext4writer import late_dataclasses

TEXT = """
from __future__ import annotations
import typing
from typing import ClassVar
import __main__
@dataclass({options})
class Point:
    '''A class with fields of each kind.'''
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)
    note: str | None = field(default=None, compare=False)
    limit: ClassVar[int] = 7
    most: typing.ClassVar[int] = 8

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError(self.x)

    @property
    def both(self) -> int:
        return self.x + self.y

@dataclass({options})
class Lower(Point):
    limit: ClassVar[int] = 9
    z: int = 0

class Undecorated(Point):
    most = 10
"""

OPTIONS = ("", "frozen=True", "slots=True", "frozen=True, slots=True", "eq=False, repr=False")


def made(home: Any, options: str) -> ModuleType:
    module = ModuleType("made_here")
    names = {name: getattr(home, name) for name in ("dataclass", "field", "fields", "replace")}
    vars(module).update(names)
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for the module
    exec(TEXT.format(options=options), vars(module))
    return module


def told(call: Callable[[], object]) -> object:
    """The result of a call as text, or the class and text of its error."""
    try:
        answer = call()
    except (AttributeError, TypeError, ValueError) as error:
        return type(error), str(error)
    return answer if isinstance(answer, bool | int | tuple) else repr(answer)


def behaviour(module: ModuleType) -> list[object]:
    found: list[object] = []
    for kind in (module.Point, module.Lower):
        one, same, other = kind(1), kind(1, note="n"), kind(x=1, y=3, tags=["a"])
        found += [repr(each).partition(" at 0x")[0] for each in (one, same, other)]
        found += [one.limit, one.most, module.Undecorated(1).most]
        found += [one == same, one == other, one == 1, one.tags is same.tags, other.both]
        calls: list[Callable[[], object]] = [
            lambda kind=kind: kind(),  # type: ignore[misc]
            lambda kind=kind: kind(1, 2, [], None, 3, 4),  # type: ignore[misc]
            lambda kind=kind: kind(1, w=1),  # type: ignore[misc]
            lambda kind=kind: kind(-1),  # type: ignore[misc]
            lambda kind=kind: kind.__match_args__,  # type: ignore[misc]
            lambda one=one: setattr(one, "x", 5),  # type: ignore[misc]
            lambda one=one: delattr(one, "y"),  # type: ignore[misc]
            lambda one=one: one.x,  # type: ignore[misc]
            lambda kind=kind: hash(kind(1)) == hash(kind(1)),  # type: ignore[misc]
            lambda kind=kind: hasattr(kind(1), "__dict__"),  # type: ignore[misc]
        ]
        found += [told(call) for call in calls]
        again = (pickle.loads(pickle.dumps(other)), copy.deepcopy(other), copy.copy(other))
        found += [(each.x, each.y, each.tags, each.note) for each in again]
        for replace in (module.replace, dataclasses.replace):
            changed = replace(other, y=7)
            found += [type(changed) is kind, changed.y, changed.tags]
        found += [told(lambda kind=kind: module.replace(kind(1), w=1))]  # type: ignore[misc]
        for fields in (module.fields, dataclasses.fields):
            for of in (kind, one):
                found += [(each.name, each.type, each.compare) for each in fields(of)]
        found += [each.default is dataclasses.MISSING for each in dataclasses.fields(kind)]
        found += [dataclasses.is_dataclass(kind), sorted(dataclasses.asdict(other).items())]
        parameters = inspect.signature(kind).parameters.values()
        found += [(each.name, each.kind, each.annotation) for each in parameters]
    return found


@pytest.mark.parametrize("options", OPTIONS)
def test_both_behave_the_same(options: str) -> None:
    assert behaviour(made(late_dataclasses, options)) == behaviour(made(dataclasses, options))


def test_a_default_that_objects_would_share_is_refused() -> None:
    with pytest.raises(ValueError, match="Wrong.x"):

        class Wrong:
            x: list[int] = []  # noqa: RUF012 (what is wrong with it)

        late_dataclasses.dataclass(Wrong)


def test_each_kind_can_inherit_from_the_other() -> None:
    late = made(late_dataclasses, "frozen=True")
    standard = dataclasses.make_dataclass(
        "Below", [("w", int, 4)], bases=(late.Point,), frozen=True
    )
    assert [each.name for each in dataclasses.fields(standard)] == ["x", "y", "tags", "note", "w"]
    assert late_dataclasses.replace(standard(1), w=5).w == 5
    assert len(late_dataclasses.fields(standard)) == 5


TUPLES = """
from __future__ import annotations

class Place(NamedTuple):
    '''Where something lies.'''
    number: int
    name: bytes = b""
    others: tuple[int, ...] = ()

    @property
    def twice(self) -> int:
        return 2 * self.number

    @classmethod
    def of(cls, text: str) -> Place:
        return cls(int(text), text.encode())

class Alone(NamedTuple):
    value: int

class Nothing(NamedTuple):
    pass

class Below(Place):
    def __new__(cls, number):
        return super().__new__(cls, number, b"below")
"""


def tuples(named_tuple: Any) -> list[object]:
    module = ModuleType("tuples_here")
    module.NamedTuple = named_tuple  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    exec(TUPLES, vars(module))
    place, alone, nothing = module.Place, module.Alone, module.Nothing
    one = place(1, b"one")
    calls: list[Callable[[], object]] = [
        place,
        lambda: place(1, 2, 3, 4),
        lambda: place(1, wrong=2),
        lambda: place._make([1]),
        lambda: place._make([1, 2, 3]),
        lambda: one._replace(number=7),
        lambda: setattr(one, "number", 2),
        lambda: setattr(one, "wrong", 2),
        one._asdict,
        lambda: alone(4),
        lambda: alone(4) == (4,),
        nothing,
        lambda: module.Below(9),
        lambda: hasattr(one, "__dict__"),
        lambda: hash(one) == hash((1, b"one", ())),
    ]
    found = [told(call) for call in calls]
    found += [place._fields, place._field_defaults, place.__match_args__, place.__doc__]
    found += [place.of("12"), place.of("12").twice, one < place(2), one[1], one.others]
    found += [pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(alone(5))]
    found += [place.__mro__[1:], alone.__name__, alone.__qualname__, alone.__module__]
    for kind in (place, nothing):
        parameters = inspect.signature(kind).parameters.values()
        found += [(each.name, each.kind, each.default) for each in parameters]
        found.append(typing.get_type_hints(kind, vars(module)))
    return found


def test_named_tuples_behave_as_those_of_typing() -> None:
    assert tuples(late_dataclasses.NamedTuple) == tuples(typing.NamedTuple)


def test_a_named_tuple_has_no_other_field() -> None:
    """It is a TypeError, as since Python 3.13; it was a ValueError before."""

    class Pair(late_dataclasses.NamedTuple):
        first: int
        second: int = 2

    with pytest.raises(TypeError, match="wrong"):
        Pair(1)._replace(wrong=7)
