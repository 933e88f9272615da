"""Declares the options of the Spec: default, help text, accepted values and how they are written.

The command line uses these declarations, too.

A value is accepted if its meaning is unambiguous: a size as on the command line, a str for bytes, a
float that is an integer. Everything else is an error that names the option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from uuid import UUID

from ..arguments import bytes_of, count_of, number_of, seconds_of, whole_number
from ..errors import SpecError, display_path
from ..ondisk.features import DEFAULT_FEATURES, FeatureSet
from ..ondisk.htree import HASH_ALGS
from ..ondisk.inode import new_encode_dev
from ..ondisk.journal import JOURNAL_FEATURES
from ..ondisk.mmp import EXT4_MMP_UPDATE_INTERVAL
from ..ondisk.superblock import (
    EXT4_DEFM_ACL,
    EXT4_DEFM_XATTR_USER,
    SYSTEMS,
    edit_mount_options,
)
from ..units import parse_percent, parse_size
from .policy import LayoutPolicy
from .policy_names import policy

if TYPE_CHECKING:
    from .quota_options import QuotaGrace, QuotaLimit

Value = TypeVar("Value")
Given = TypeVar("Given")

Encoding = Literal["utf8-12.1"]
EncodingFlags = Literal["", "strict"]
CreatorOs = Literal["Linux", "Hurd", "Masix", "FreeBSD", "Lites"]
HashAlg = Literal[
    "half_md4", "tea", "legacy", "half_md4_unsigned", "tea_unsigned", "legacy_unsigned"
]

Signatures = tuple[tuple[bytes, bytes], ...]
"""Absolute path and signature of each file, sorted by path."""
Policies = tuple[tuple[bytes, str], ...]
"""Absolute path and policy of each directory, sorted by path."""
GivenPolicies = Mapping[bytes, str] | Mapping[str, str] | Policies
GivenSignatures = Mapping[bytes, bytes] | Mapping[str, bytes] | Signatures

_DOC_WIDTH = 80

NO_UUID = ("clear", "null")
"""The words for a UUID of zeros, in any case (misc/mke2fs.c:PRS)."""

Size = int | str
"""Bytes, or a text such as ``64M``."""

OPTIONS: dict[str, Option[Any, Any]] = {}
"""The options of the Spec by name."""


class Option(Generic[Value, Given]):
    """The declaration of one option, as a field of the dataclass ``Spec``.

    A type checker sees a descriptor: assignments accept ``Given``, and reads return ``Value``. At
    run time the dataclass only reads the default; the Spec converts its arguments with
    :meth:`taken`.
    """

    def __init__(
        self,
        default: Value,
        about: str,
        convert: Callable[[Any], Value] | None = None,
        *,
        default_text: str = "",
        form: str = "",
        choices: tuple[str, ...] = (),
        least: int | None = None,
        most: int | None = None,
    ) -> None:
        """``convert`` converts a value, or raises ``ValueError`` or ``TypeError`` with a reason.

        ``about`` is one or two sentences with the unit, for the docstring of the class and for
        command help. ``default_text`` explains a default that does not speak for itself. In both,
        ``{free}`` stands for the name of another option. ``form`` shows on a help page how a value
        is written; by default it follows from ``convert``. If there are ``choices``, a value must
        be one of them. ``least`` and ``most`` are the bounds of values.
        """
        self.default = default
        self.about = about
        self.default_text = default_text
        self.form = form or FORMS.get(_inner(convert), "")
        self.choices = choices
        self.convert = convert
        self._least, self._most = least, most

    def __set_name__(self, owner: type, name: str) -> None:
        OPTIONS[name] = self
        default = "DEFAULT_FEATURES" if self.default is DEFAULT_FEATURES else repr(self.default)
        text = named(self.about, str)
        if self.choices:
            text = f"{text} One of {', '.join(map(repr, self.choices))}."
        if self.default_text:
            text = f"{text} {self.default!r} is {named(self.default_text, str)}."
        lines = [f"    {name} (default {default})", *_wrapped(text)]
        docstring = owner.__doc__ or ""
        if "\n\n    " not in docstring:  # Python 3.13 removes the indentation
            lines = [line[4:] for line in lines]
        owner.__doc__ = "\n".join((docstring, *lines, ""))

    def __get__(self, spec: object | None, owner: Any = None) -> Value:
        return self.default

    def __set__(self, spec: object, value: Given) -> None:
        raise AttributeError(
            "options cannot be changed; dataclasses.replace() creates another Spec"
        )

    def converted(self, name: str, given: Any) -> Value:
        """Convert ``given``; raises :class:`SpecError` if it is invalid."""
        value: Any = given if self.convert is None else converted(name, given, self.convert)
        if self.choices and value not in self.choices:
            raise SpecError(name, f"{value!r:.80} is not one of {', '.join(self.choices)}")
        if value is not None and self._least is not None:
            if self._most is None and not value >= self._least:
                raise SpecError(name, f"{value} is below {self._least or 'zero'}")
            if self._most is not None and not self._least <= value <= self._most:
                raise SpecError(name, f"{value} is not between {self._least} and {self._most}")
        return value  # type: ignore[no-any-return]

    @cached_property
    def is_fixed_point(self) -> bool:
        """Whether the default needs no conversion, as for most options of most Specs."""
        return self.convert is None or self.convert(self.default) is self.default


class ShortSignature:
    """The ``__signature__`` of a class with many options: complete, but printed in short form.

    Otherwise ``help()`` would begin with a line of thousands of characters.
    """

    def __get__(self, one: object, owner: Any = None) -> Any:
        import inspect  # imported late: only help and editors use it

        class Short(inspect.Signature):
            def __str__(self) -> str:
                return "(**options)"

            def format(self, **_: Any) -> str:
                return str(self)

        _, *options = inspect.signature(owner.__init__).parameters.values()
        return Short([each for each in options if each.kind is not each.VAR_KEYWORD])


def named(text: str, name_of: Callable[[str], str]) -> str:
    """Replace each ``{option}`` in ``text`` by what ``name_of`` returns for its name."""
    return re.sub(r"\{(\w+)\}", lambda found: name_of(found[1]), text)


def converted(name: str, given: Any, convert: Callable[[Any], Value]) -> Value:
    """Convert the option ``name`` with ``convert``; raises :class:`SpecError` if it is invalid."""
    try:
        return convert(given)
    except SpecError as error:
        raise SpecError(name, error.problem, *error.others) from None
    except (ValueError, TypeError, OverflowError) as error:
        raise SpecError(name, str(error)) from None


def _wrapped(text: str) -> Iterator[str]:
    """Yield ``text`` as lines of a docstring, indented twice."""
    line = ""
    for word in text.split():
        if line and len(line) + len(word) >= _DOC_WIDTH:
            yield " " * 8 + line
            line = ""
        line = f"{line} {word}" if line else word
    yield " " * 8 + line


def optional(convert: Callable[[Any], Value]) -> Callable[[Any], Value | None]:
    """Return ``convert`` for an option that may be None."""

    def convert_or_none(given: Any) -> Value | None:
        return None if given is None else convert(given)

    convert_or_none.__wrapped__ = convert  # type: ignore[attr-defined]
    return convert_or_none


def _inner(convert: Any) -> Any:
    """Return ``convert`` without :func:`optional`."""
    return getattr(convert, "__wrapped__", convert)


def size_of(given: Any) -> int:
    """Return a size in bytes; a text may have a unit, such as ``64M``."""
    if isinstance(given, str):
        return parse_size(given)
    return whole_number(given, "size in bytes, and no text such as '64M'")


def percent_of(given: Any) -> float:
    """Return a percentage; a text may end in ``%``."""
    if isinstance(given, str):
        percent = parse_percent(f"{given.removesuffix('%')}%")
        assert percent is not None
        return percent
    if isinstance(given, bool) or not hasattr(given, "__float__"):
        raise ValueError(f"{given!r} is not a number")
    return given if isinstance(given, int | float) else float(given)


def percent_in(given: Any) -> float | None:
    """Return the percentage if one is given instead of a size; None otherwise."""
    return parse_percent(given) if isinstance(given, str) else None


def uuid_of(given: Any) -> UUID:
    """Return a UUID for 16 bytes, a text, or a word in ``NO_UUID``."""
    if isinstance(given, UUID):
        return given
    if isinstance(given, bytes) and len(given) == 16:
        return UUID(bytes=given)
    if isinstance(given, str) and given.lower() in NO_UUID:
        return UUID(int=0)
    try:
        return UUID(given)
    except (ValueError, TypeError, AttributeError):
        raise ValueError(
            f"{given!r} is not a UUID such as '12345678-1234-5678-1234-567812345678'"
        ) from None


def features_of(given: Any) -> FeatureSet:
    """Return a set of features; a text changes the default ones."""
    if isinstance(given, str):
        return FeatureSet.parse(given, base=DEFAULT_FEATURES)
    if isinstance(given, FeatureSet):
        return given
    raise ValueError(f"{given!r} is neither a FeatureSet nor a text such as '^huge_file'")


def journal_of(given: Any) -> int | Literal["auto", "none"]:
    """Return a size in bytes, ``auto`` or ``none``."""
    if given == "auto" or given == "none":
        return given  # type: ignore[no-any-return]
    try:
        return size_of(given)
    except ValueError as error:
        raise ValueError(f'{error}, "auto" or "none"') from None


def journal_features_of(given: Any) -> tuple[str, ...]:
    """Return the names in the order of ``JOURNAL_FEATURES``; ``journal_`` may be left out."""
    words = re.split(r"[\s,]+", given.strip()) if isinstance(given, str) else _items(given)
    found = set()
    for word in filter(None, words):
        name = word if str(word).startswith("journal_") else f"journal_{word}"
        if name not in JOURNAL_FEATURES:
            raise ValueError(f"{word!r:.80} is not one of {', '.join(JOURNAL_FEATURES)}")
        found.add(name)
    versions = [name for name in JOURNAL_FEATURES if name in found and "checksum" in name]
    if len(versions) > 1:
        raise ValueError(f"{' and '.join(versions)} exclude each other")
    if "journal_async_commit" in found and not versions:
        raise ValueError("journal_async_commit needs a checksum; add journal_checksum_v3")
    return tuple(name for name in JOURNAL_FEATURES if name in found)


def _items(given: Any, what: str = "list") -> list[Any]:
    """Return the items of a list, set or other iterable; a str or bytes is not accepted."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ValueError(f"{given!r:.80} is not a {what}")
    return list(given)


def _by_path(given: Any, of: str) -> Iterator[tuple[bytes, Any]]:
    """Yield path and value of each item of a mapping, or of a list of pairs."""
    what = f"mapping of paths to {of}"
    for pair in given.items() if isinstance(given, Mapping) else _items(given, what):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"{given!r:.80} is not a {what}")
        yield _absolute(pair[0]), pair[1]


def bad_blocks_of(given: Any) -> tuple[int, ...]:
    """Return block numbers, ascending and without duplicates."""
    blocks = sorted({number_of(block) for block in _items(given)})
    if blocks and not 0 <= blocks[0] <= blocks[-1] < 1 << 32:
        raise ValueError("bad blocks have numbers of 32 bits")
    return tuple(blocks)


def device_number_of(given: Any) -> int:
    """Return the value of ``s_journal_dev`` for ``MAJOR:MINOR``, or for the number itself."""
    if isinstance(given, str) and re.fullmatch("[0-9]{1,10}:[0-9]{1,10}", given, re.ASCII):
        major, minor = map(int, given.split(":"))
        if major >> 12 or minor >> 20:
            raise ValueError(f"{given!r} is not a device number of Linux")
        return new_encode_dev(major, minor)
    number = number_of(given)
    if not 0 <= number < 1 << 32:
        raise ValueError(f"{number} does not fit into 32 bits")
    return number


def location_of(given: Any) -> int | Literal["middle"]:
    """Return an offset in bytes, or ``middle``."""
    if given == "middle":
        return "middle"
    try:
        return size_of(given)
    except ValueError as error:
        raise ValueError(f'{error}, or "middle"') from None


def hash_alg_of(given: Any) -> HashAlg:
    """Return the name of a hash in lower case."""
    # lib/e2p/hashstr.c:e2p_string2hash ignores case
    word: Any = given.lower() if isinstance(given, str) else None
    if word in HASH_ALGS:
        return word  # type: ignore[no-any-return]
    if word == "siphash":
        raise ValueError(
            "siphash needs the key of a directory, so it cannot be the default; the kernel uses it "
            "automatically for encrypted directories that ignore case"
        )
    raise ValueError(f"{given!r} is not one of {', '.join(HASH_ALGS)}")


def encoding_of(given: Any) -> Encoding:
    """Return the full name of an encoding."""
    # lib/e2p/encoding.c:e2p_str2encoding
    if given in ("utf8-12.1", "utf8"):
        return "utf8-12.1"
    raise ValueError(f"{given!r} is neither utf8-12.1 nor utf8")


def encoding_flags_of(given: Any) -> EncodingFlags:
    """Return ``strict``, or an empty text for ``nostrict``."""
    # lib/e2p/encoding.c:e2p_str2encoding_flags
    if given in ("", "nostrict", "no-strict"):
        return ""
    if given == "strict":
        return "strict"
    raise ValueError(f"{given!r} is neither strict nor nostrict")


def creator_os_of(given: Any) -> CreatorOs:
    """Return the name as dumpe2fs prints it, for a name in any case or a number."""
    # misc/mke2fs.c:set_os, and lib/e2p/ostype.c:e2p_string2os for those that mke2fs omits
    word = given.lower() if isinstance(given, str) else ""
    name: Any
    for name, code in SYSTEMS.items():
        if word in (name.lower(), str(code)):
            return name  # type: ignore[no-any-return]
    if word == "gnu":
        return "Hurd"
    raise ValueError(f"{given!r:.80} is neither GNU nor one of {', '.join(SYSTEMS)}, in any case")


def mmp_update_interval_of(given: Any) -> int:
    """Return seconds; 0 becomes the default."""
    # misc/tune2fs.c:parse_extended_opts: 0 is the default
    return count_of(given) or EXT4_MMP_UPDATE_INTERVAL


def max_mount_count_of(given: Any) -> int:
    """Return a number of mounts; 0 and -1 mean never."""
    # misc/tune2fs.c:parse_tune2fs_options, -c: 0 and -1 are the same
    if given == "-1" or (given == -1 and not isinstance(given, bool)):
        return 0
    if given == "random":
        raise ValueError("random would build a different image each time; give a number")
    return count_of(given)


CHECK_INTERVAL_UNITS = {"s": 1, "d": 86400, "w": 7 * 86400, "m": 30 * 86400}
"""Seconds for each letter; misc/tune2fs.c:parse_tune2fs_options, -i."""


def check_interval_of(given: Any) -> int:
    """Return seconds. A text may have a unit; without one it is in seconds, not in days."""
    if not isinstance(given, str):
        return count_of(given)
    unit = CHECK_INTERVAL_UNITS.get(given[-1:].lower())
    try:
        return count_of(given[:-1]) * unit if unit else count_of(given)
    except ValueError:
        raise ValueError(f"{given!r:.80} is not a time such as 86400, 30d, 4w or 6m") from None


def quotatype_of(given: Any) -> tuple[str, ...]:
    """Return the kinds of quota; see :func:`.quota_options.quotatype_of`."""
    from .quota_options import quotatype_of

    return quotatype_of(given)


def quota_limits_of(given: Any) -> tuple[QuotaLimit, ...]:
    """Return limits; see :func:`.quota_options.limits_of`."""
    if not given and isinstance(given, tuple):
        return ()
    from .quota_options import limits_of

    return limits_of(given)


def quota_grace_of(given: Any) -> tuple[QuotaGrace, ...]:
    """Return grace times; see :func:`.quota_options.grace_of`."""
    if not given and isinstance(given, tuple):
        return ()
    from .quota_options import grace_of

    return grace_of(given)


def policies_of(given: Any) -> Policies:
    """Return the absolute path and the policy of each directory, sorted by path."""
    if not given:
        return ()
    from .encryption_policy import parse_policy

    taken: dict[bytes, str] = {}
    for key, text in _by_path(given, "policies"):
        policy = str(parse_policy(str(text)))
        if taken.setdefault(key, policy) != policy:
            raise ValueError(f"{display_path(key)} has two policies")
    return tuple(sorted(taken.items()))


def _absolute(path: Any) -> bytes:
    return b"/" + b"/".join(name for name in bytes_of(path).split(b"/") if name)


def salt_of(given: Any) -> bytes:
    """Return bytes; a text is hexadecimal."""
    if isinstance(given, str):
        try:
            return bytes.fromhex(given)
        except ValueError:
            raise ValueError(f"{given!r} is not hexadecimal") from None
    return bytes_of(given)


def signatures_of(given: Any) -> Signatures:
    """Return the absolute path and the signature of each file, sorted by path."""
    if not given:
        return ()
    from ..ondisk.verity import SIGNATURE_MAX

    taken: dict[bytes, bytes] = {}
    for key, signature in _by_path(given, "signatures"):
        if not isinstance(signature, bytes) or not 0 < len(signature) <= SIGNATURE_MAX:
            raise ValueError(
                f"that of {display_path(key)} is not a signature of up to {SIGNATURE_MAX} bytes"
            )
        if taken.setdefault(key, signature) != signature:
            raise ValueError(f"{display_path(key)} has two signatures")
    return tuple(sorted(taken.items()))


def mount_options_of(given: Any) -> int:
    """Return the bits of s_default_mount_opts; a text changes the default ones."""
    if isinstance(given, str):
        return edit_mount_options(given, EXT4_DEFM_XATTR_USER | EXT4_DEFM_ACL)
    return whole_number(given, "number of bits, and no text such as 'journal_data,^acl'")


def policy_of(given: Any) -> LayoutPolicy:
    """Return a policy; a text is its name."""
    if isinstance(given, str):
        return policy(given)
    if isinstance(given, LayoutPolicy):
        return given
    raise ValueError(f"{given!r} is neither a LayoutPolicy nor the name of one")


FORMS: dict[Any, str] = {
    size_of: "SIZE",
    percent_of: "PERCENT",
    count_of: "N",
    seconds_of: "SECONDS",
    uuid_of: "UUID",
    bytes_of: "TEXT",
}
"""Conversion function -> how its values are written."""
