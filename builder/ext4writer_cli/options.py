"""Every option of the command line: one row each, in dataclasses that commands share.

A row is a dataclass field with its flags, its type and its help text. Options of the Spec are
declared with the Spec and have only their flags here: :func:`spec_option`. :func:`options` adds the
rows of a dataclass to a command, which then receives one object of that dataclass. Generating
dataclass methods would take most of the startup time, so :class:`OptionGroup` has one ``__init__``
for all.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias, cast
from uuid import UUID, uuid1, uuid4

import click
from click.core import ParameterSource

from ext4writer.late_dataclasses import dataclass, field, fields, replace

from .source_arguments import mark, parse_source
from .units import parse_size, size_text

if TYPE_CHECKING:
    from dataclasses import Field

    from ext4writer import Override, Spec
    from ext4writer.output.disk_facts import FreeBlocks, OutputFormat
    from ext4writer.sources import Limits

    from .output import Output

WORKERS_MAX = 8
ZSTD_LEVEL_MAX = 22
UNPREDICTABLE_UUIDS = {"random": uuid4, "time": uuid1}
"""mke2fs's words for UUIDs that differ each time -> the functions that make them."""
EPOCH_VARIABLE = "SOURCE_DATE_EPOCH"
OTHER = "Other options"
SECTOR_SIZE = 512
PROFILES = ("default", "boot", "minimal", "readonly", "android", "ext2", "ext3")
"""The names in ``ext4writer.planning.profiles``, repeated so that help need not load it."""
FORMATS = ("raw", "qcow2", "qcow2-compressed", "simg", "vhd")
FREE_BLOCKS = ("zero", "keep", "discard", "prezeroed")
"""The values in ``ext4writer.output.disk_facts``, repeated so that help need not load it."""


def parse_cluster(text: str) -> int:
    """Return a cluster size in bytes; ``ValueError`` explains that ``-C`` is not tar's option."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise ValueError(f"{error}; give a folder as SOURCE, not with -C") from None


def parse_owner(text: str) -> tuple[int, int]:
    """Return the two numbers of ``UID:GID``; raises ``ValueError`` with a reason."""
    from ext4writer.arguments import ID_MOST  # late, so that help does not load the library

    matched = re.fullmatch(r"([0-9]{1,20}):([0-9]{1,20})", text, re.ASCII)
    if matched is None:
        raise ValueError(f"{text!r} is not UID:GID, two numbers such as 0:0")
    uid, gid = int(matched[1]), int(matched[2])
    if max(uid, gid) > ID_MOST:
        raise ValueError(f"{text!r} has a number above {ID_MOST}")
    return uid, gid


def parse_path(text: str) -> str:
    """Return ``text``; raises ``ValueError`` if it is empty."""
    if not text:
        raise ValueError("a file name cannot be empty")
    return text


def parse_free(text: str) -> int | str:
    """Return a number of bytes, or a percentage as given; raises ``ValueError`` with a reason."""
    from ext4writer.units import parse_percent

    return parse_size(text) if parse_percent(text) is None else text


def parse_part(text: str) -> tuple[int, int]:
    """Return N and M of ``N/M``; raises ``ValueError`` with a reason."""
    matched = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text, re.ASCII)
    if matched is None or not 1 <= int(matched[1]) <= int(matched[2]):
        raise ValueError(f"{text!r} is not N/M, such as 3/16 for the third of 16 parts")
    return int(matched[1]), int(matched[2])


def parse_salt(text: str) -> bytes:
    """Return the bytes of hexadecimal ``text``, none for ``-``; raises ``ValueError``."""
    try:
        return b"" if text == "-" else bytes.fromhex(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a salt: pairs of hexadecimal digits, or '-' for none"
        ) from None


def parse_limit(text: str) -> tuple[str, int]:
    """Return name and number of ``NAME=N``; raises ``ValueError`` with a reason."""
    name, _, number = text.partition("=")
    if not name or not number:
        raise ValueError(f"{text!r} is not NAME=N, such as ratio=5000 or content_bytes=100T")
    return name, parse_size(number)


def parse_path_and_file(text: str) -> tuple[str, str]:
    """Return both sides of ``PATH=FILE``; raises ``ValueError`` with a reason."""
    path, _, file = text.partition("=")
    if not path or not file:
        raise ValueError(f"{text!r} is not PATH=FILE, such as usr/bin/app=app.sig")
    return path, file


def parse_path_and_policy(text: str) -> tuple[str, str]:
    """Return both sides of ``PATH=POLICY``; raises ``ValueError`` with a reason."""
    path, _, policy = text.partition("=")
    if not path or not policy:
        raise ValueError(f"{text!r} is not PATH=KEY, such as home/user=0123456789abcdef...")
    return path, policy


def parsed(parse: Callable[[str], Any], **words: Any) -> Callable[[str], Any]:
    """Return a click type that calls ``parse``, but maps each of ``words`` to its value."""

    def read(text: str) -> Any:
        if text in words:
            return words[text]
        try:
            return parse(text)
        except ValueError as error:
            others = "".join(f", or {word!r}" for word in words)
            raise click.BadParameter(f"{error}{others}") from None

    return read


def parse_uuid(text: str) -> UUID | str:
    """Return the UUID in ``text``, or mke2fs's word for one; raises ``ValueError``."""
    from ext4writer.planning.options import uuid_of  # late, so that help does not load the library

    word = text.lower()
    if word in UNPREDICTABLE_UUIDS:
        return word
    try:
        return uuid_of(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a UUID, clear, random or time") from None


class Count(click.IntRange):
    """An integer, which may have commas between groups of three digits, as reports print it."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from ext4writer.arguments import count_of  # late, so that help does not load the library

        try:
            return super().convert(count_of(value), param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)


SIZE = parsed(parse_size)
CLUSTER = parsed(parse_cluster)
SIZE_OR_PERCENT = parsed(parse_free)
SIZE_OR_FIT = parsed(parse_size, fit=None, device="device", region="region")
OWNER = parsed(parse_owner)
LIMIT = parsed(parse_limit)
UUID_OR_WORD = parsed(parse_uuid)
PATH_AND_FILE = parsed(parse_path_and_file)
PATH_AND_POLICY = parsed(parse_path_and_policy)


class FileName(click.ParamType):  # type: ignore[type-arg] # no generic before click 8.3
    """A value that begins with a file name, which a shell can complete."""

    name = "file"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._read = parsed(parse)

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002
        ctx: click.Context | None,  # noqa: ARG002
    ) -> Any:
        return self._read(value)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


PATH = FileName(parse_path)
APPEND = "append"
"""Value of ``--dm-verity`` that appends the hash tree to the image."""
SOURCE = FileName(parse_source)


class GroupedOption(click.Option):
    """An option with a heading on the help page.

    ``help`` may be a function that returns the text, since most runs of a command do not need it.
    """

    def __init__(
        self,
        *arguments: Any,
        heading: str = "Options",
        **attributes: Any,
    ) -> None:
        text = attributes.get("help")
        make = text if callable(text) else None
        super().__init__(*arguments, **{**attributes, "help": None if make else text})
        self._make_help: Callable[[], str] | None = make
        self.heading = heading

    def _text(self) -> str | None:
        if self._make_help is not None:
            self._help, self._make_help = self._make_help(), None
        return self._help

    def _set_text(self, text: Any) -> None:
        self._help, self._make_help = text, None

    help: Any = property(_text, _set_text)


ORDER = "ext4writer.order"
"""Key in the ``meta`` of a click context: the names of the given options, with repetitions."""


class RemembersOrder(click.Command):
    """A command that records the order of its options, and explains options of other programs.

    It creates groups of options when its parameters are first requested.
    """

    _params: Sequence[click.Parameter | LazyOptions] = ()

    @property
    def params(self) -> list[click.Parameter]:
        """All parameters, in the order of the decorators."""
        if any(isinstance(param, LazyOptions) for param in self._params):
            self._params = [
                made
                for param in self._params
                for made in (param.create() if isinstance(param, LazyOptions) else (param,))
            ]
        return cast("list[click.Parameter]", self._params)

    @params.setter
    def params(self, params: Sequence[click.Parameter | LazyOptions]) -> None:
        self._params = list(params)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        if any(len(word) > 2 and word[0] == "-" and word[1] != "-" for word in args):
            from .foreign import refuse_single_dash

            refuse_single_dash(given, ctx)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from .foreign import with_answer

            raise with_answer(error, given) from None

    def make_parser(self, ctx: click.Context) -> Any:
        parser: Any = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_and_remember(args: list[str]) -> Any:
            values, rest, order = parse(args)
            ctx.meta[ORDER] = [param.name for param in order]
            return values, rest, order

        parser.parse_args = parse_and_remember
        return parser


class GroupedCommand(RemembersOrder):
    """A command whose help page has a heading for each group of options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, mark(args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        format_groups(self, ctx, formatter)


def format_groups(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write the options of ``command``, each group under its heading."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is not None:
            heading = param.heading if isinstance(param, GroupedOption) else OTHER
            groups.setdefault(heading, []).append(record)
    for heading, records in sorted(groups.items(), key=lambda group: group[0] == OTHER):
        with formatter.section(heading):
            formatter.write_dl(records)


def row(*flags: str, about: str, default: Any = None, **attributes: Any) -> Any:
    """Return a dataclass field with everything click needs for one option."""
    return field(default=default, metadata={"flags": flags, "click": {"help": about, **attributes}})


FROM_SPEC: Any = object()
"""The default of an option that the Spec declares."""
OfSpec: TypeAlias = Any
"""The type of an option whose value only the Spec checks."""


def spec_option(*flags: str, default: Any = FROM_SPEC, **attributes: Any) -> Any:
    """Return a field for the Spec's option of the same name.

    The Spec's declaration supplies what is not given here. :func:`declared` reads it when a command
    creates its options.
    """
    return field(default=default, metadata={"flags": flags, "spec": True, "click": attributes})


def of_spec(kind: type[Any]) -> list[Field[Any]]:
    """The options of a group that the Spec declares."""
    return [each for each in fields(kind) if each.metadata.get("spec")]


def same_row(kind: type[Any], name: str, **changes: Any) -> Any:
    """Return a copy of the option ``name`` of another group, with ``changes``."""
    [found] = [each for each in fields(kind) if each.name == name]
    default = changes.pop("default", found.default)
    chosen = {**found.metadata["click"], **changes}
    return field(default=default, metadata={**found.metadata, "click": chosen})


def default_of(each: Field[Any]) -> Any:
    """The default of an option: its own, or else the one that the Spec declares."""
    if each.default is not FROM_SPEC:
        return each.default
    from ext4writer.planning.spec import declaration

    return declaration(each.name).default


def declared(each: Field[Any], kind: type[Any]) -> dict[str, Any]:
    """Return click's arguments for an option of the group ``kind``.

    The Spec's declaration supplies whatever the option does not state itself.
    """
    from ext4writer.planning.options import named
    from ext4writer.planning.spec import declaration

    option, given = declaration(each.name), dict(each.metadata["click"])
    about, text = given.pop("about", None), given.pop("default_text", None) or option.default_text

    def help_text() -> str:
        flags = {other.name: flag_of(other) for other in fields(kind)}

        def flag_for(name: str) -> str:
            return flags.get(name, name)

        shown = about or named(option.about, flag_for)
        return f"{shown}  [default: {named(text, flag_for)}]" if text else shown

    default = default_of(each)
    if isinstance(default, bool):
        given.setdefault("is_flag", True)
        given.setdefault("show_default", default)
    elif not given.get("multiple"):
        given.setdefault("metavar", option.form or None)
        is_plain = option.choices and option.convert is None
        given.setdefault("type", click.Choice(option.choices) if is_plain else SpecValue(option))
        given.setdefault("show_default", default not in (None, b"", "", ()) and not text)
    if option.form == "SIZE" and isinstance(default, int):
        default = size_text(default)
    elif isinstance(default, float):
        default = f"{default:g}"
    return {
        "help": help_text,
        "default": default,
        **given,
    }


class SpecValue(click.ParamType):  # type: ignore[type-arg] # no generic before click 8.3
    """Values that the Spec converts and checks."""

    name = "value"

    def __init__(self, option: Any) -> None:
        self._option = option

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        from ext4writer import SpecError
        from ext4writer.arguments import bytes_of

        if self._option.convert is bytes_of and isinstance(value, str):
            value = os.fsencode(value)  # the bytes on the command line
        try:
            return self._option.converted(param.name if param else "", value)
        except SpecError as error:
            self.fail(error.problem, param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[Any]:
        from click.shell_completion import CompletionItem

        start = incomplete.lower()
        return [
            CompletionItem(choice)
            for choice in self._option.choices
            if choice.lower().startswith(start)
        ]


def flag_of(each: Field[Any]) -> str:
    """The longest flag of an option, which is the most descriptive one."""
    flags: tuple[str, ...] = each.metadata["flags"]
    return max((flag.partition("/")[0] for flag in flags), key=len)


def options(name: str, kind: type[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of ``kind`` to a command, which receives them as its argument ``name``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_options(**arguments: Any) -> Any:
            values = {each.name: arguments.pop(each.name) for each in fields(kind)}
            return command(**arguments, **{name: kind(**values)})

        # click keeps the parameters added by decorators here, from the last to the first.
        decorated: Any = with_options
        decorated.__click_params__ = [*getattr(command, "__click_params__", ()), LazyOptions(kind)]
        return with_options

    return decorate


class LazyOptions:
    """A placeholder for a group's options among the parameters of a command.

    There are many options, and only the command that runs creates its own.
    """

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind

    def create(self) -> Iterator[click.Option]:
        """Create the options, in order."""
        for each in fields(self._kind):
            attributes = (
                declared(each, self._kind)
                if each.metadata.get("spec")
                else {"default": each.default, **each.metadata["click"]}
            )
            yield GroupedOption(
                (*each.metadata["flags"], each.name), heading=self._kind.HEADING, **attributes
            )


def limit_row() -> Any:
    """Return the field ``limit`` for a subclass of :class:`HasLimits`."""
    return row(
        "--limit",
        type=LIMIT,
        metavar="NAME=N",
        multiple=True,
        default=(),
        about="Set one of the limits for archives, such as ratio=5000; docs/sources.md lists them. "
        "May be repeated.",
    )


class OptionGroup:
    """Options that belong together, one dataclass field each; they cannot be changed."""

    HEADING: ClassVar[str]

    def __init__(self, **chosen: Any) -> None:
        """Options not in ``chosen`` have their defaults; raises ``TypeError`` for unknown ones."""
        for each in fields(self):  # type: ignore[arg-type] # a subclass is a dataclass
            value = chosen.pop(each.name) if each.name in chosen else default_of(each)
            object.__setattr__(self, each.name, value)
        if chosen:
            raise TypeError(f"there is no option {', '.join(chosen)}")
        self.check()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} cannot be changed; dataclasses.replace() makes a new group")

    def check(self) -> None:
        """Raise if the values cannot be valid."""


class HasLimits(OptionGroup):
    """Options with a field ``limit``."""

    limit: tuple[tuple[str, int], ...]

    def check(self) -> None:
        """Raise ``SpecError`` for an unknown limit."""
        if self.limit:
            self.limits()

    def limits(self) -> Limits:
        """The limits as an object of the library; raises ``SpecError`` for an unknown one."""
        from ext4writer import SpecError
        from ext4writer.sources import Limits

        known = [each.name for each in fields(Limits)]
        for name, _ in self.limit:
            if name not in known:
                raise SpecError("limit", f"{name!r} is not one of {', '.join(known)}")
        return Limits(**dict(self.limit))


def paths_in(*groups: object) -> Iterator[str]:
    """Yield every path that is a value of an option in ``groups``."""
    for group in groups:
        for each in fields(group):  # type: ignore[arg-type]
            if each.metadata["click"].get("type") is PATH:
                value = getattr(group, each.name)
                yield from (value,) if isinstance(value, str) else value or ()


@dataclass(init=False, eq=False, repr=False)
class ScanOptions(HasLimits):
    """What is read from the sources."""

    HEADING = "What is read from each SOURCE"

    one_file_system: bool = row(
        "--one-file-system",
        is_flag=True,
        default=False,
        about="Do not descend into other file systems that are mounted inside SOURCE.",
    )
    no_xattrs: bool = row(
        "--no-xattrs", is_flag=True, default=False, about="Do not read extended attributes."
    )
    inode_flags: bool = row(
        "--inode-flags",
        is_flag=True,
        default=False,
        about="Read the flags that chattr sets, such as immutable, and project IDs from folders.",
    )
    keep_directory_symlink: bool = row(
        "--keep-directory-symlink/--no-keep-directory-symlink",
        default=True,
        show_default=True,
        about="Where a later SOURCE has a folder and an earlier one a symbolic link to a folder, "
        "keep the link and put the files where it leads, as tar does with the option of this name.",
    )
    root_from: int | None = row(
        "--root-from",
        type=Count(min=1),
        metavar="N",
        about="Take mode, owner, times and attributes of the root from SOURCE number N.  [default: "
        "the last one that states them; a folder does so only as the first SOURCE]",
    )
    platform: str | None = row(
        "--platform",
        metavar="OS/ARCH[/VARIANT]",
        about="Platform to choose from a multi-platform container image.  "
        "[default: the only one, else linux/amd64]",
    )
    keep_times: bool = row(
        "--keep-times",
        is_flag=True,
        default=False,
        about="Keep access and change times too; otherwise both become the modification time.",
    )
    replay: bool = row(
        "--replay",
        is_flag=True,
        default=False,
        about="Read ext4 images as the kernel would after recovering the journal; otherwise a "
        "journal that needs recovery is reported.",
    )
    secure_symlinks: bool = row(
        "--secure-symlinks",
        is_flag=True,
        default=False,
        about="Refuse archives and layers in which a path leads through one of their own symbolic "
        "links; otherwise such links are followed inside the image, as tar does.",
    )
    strip_components: int = row(
        "--strip-components",
        type=Count(min=0),
        metavar="N",
        default=0,
        about="Remove the first N names from every path in tar archives, as tar does; an entry "
        "with no name left is omitted and reported. SOURCE,strip-components=N does it for one "
        "SOURCE of any kind.",
    )
    content_root: str | None = row(
        "--content-root",
        type=PATH,
        metavar="DIR",
        about="The folder of the files that a manifest names; nothing outside it is read.  "
        "[default: the folder of the manifest]",
    )
    no_digests: bool = row(
        "--no-digests",
        is_flag=True,
        default=False,
        about="Do not compare files with their digests in a manifest.",
    )
    users: str | None = row(
        "--users",
        type=PATH,
        metavar="FILE",
        about="Look up users that a manifest gives only by name in FILE, which has the format of "
        "passwd(5).",
    )
    groups: str | None = row(
        "--groups",
        type=PATH,
        metavar="FILE",
        about="The same for groups, in the format of group(5).",
    )
    limit: tuple[tuple[str, int], ...] = limit_row()


@dataclass(init=False, eq=False, repr=False)
class ImageOptions(OptionGroup):
    """The options of a Spec; the fields have the Spec's names."""

    HEADING = "The file system"

    size: int | Literal["device", "region"] | None = spec_option(
        "--size",
        type=SIZE_OR_FIT,
        metavar="fit|SIZE|device|region",
        default_text="fit",
        about="Size of the image: 'fit' is the smallest that holds the tree and --free, 'device' "
        "fills the device, and 'region' fills the file or device from --offset to its end. "
        "Sizes are bytes, or numbers with K, M, G or T, such as 1.5G or 64MiB.",
    )
    free: int | str | None = spec_option("--free", type=SIZE_OR_PERCENT, metavar="SIZE|PERCENT%")
    free_inodes: int | None = spec_option("--free-inodes")
    inodes: OfSpec = spec_option("-N", "--inodes")
    grow_to: OfSpec = spec_option("--grow-to")
    inode_ratio: OfSpec = spec_option("-i", "--inode-ratio")
    align: OfSpec = spec_option("--align")
    label: OfSpec = spec_option("-L", "--label")
    uuid: UUID | str | None = spec_option(
        "-U",
        "--uuid",
        type=UUID_OR_WORD,
        metavar="UUID|clear|random|time",
        about="UUID of the file system; 'random' and 'time' need --not-reproducible.",
    )
    not_reproducible: bool = row(
        "--not-reproducible",
        is_flag=True,
        default=False,
        about="Allow options that produce different bytes each time, such as --uuid random.",
    )
    hash_seed: OfSpec = spec_option("--hash-seed")
    identity: OfSpec = spec_option("--identity")
    block_size: int = spec_option("-b", "--block-size")
    inode_size: OfSpec = spec_option("-I", "--inode-size")
    profile: str | None = row(
        "--profile",
        type=click.Choice(PROFILES),
        about="Choose features and sizes for a purpose, and refuse features that its readers "
        "cannot read; docs/compatibility.md lists the profiles.",
    )
    type: OfSpec = spec_option("-t", "--type")
    features: tuple[str, ...] = spec_option(
        "-O",
        "--features",
        multiple=True,
        metavar="NAME[,...]",
        default=(),
        about="Features to add to the defaults, or to remove with ^NAME; mke2fs's names.",
    )
    hash_alg: OfSpec = spec_option("--hash-alg")
    encoding: OfSpec = spec_option("--encoding")
    encoding_flags: OfSpec = spec_option("--encoding-flags")
    verity_hash_alg: OfSpec = spec_option("--verity-hash-alg")
    verity_block_size: OfSpec = spec_option("--verity-block-size")
    verity_salt: OfSpec = spec_option("--verity-salt")
    verity_signatures: tuple[tuple[str, str], ...] = spec_option(
        "--verity-signature",
        type=PATH_AND_FILE,
        multiple=True,
        metavar="PATH=FILE",
        about="Store the built-in fs-verity signature FILE, made by 'fsverity sign', with the file "
        "at PATH.",
    )
    encryption_policies: tuple[tuple[str, str], ...] = spec_option(
        "--encrypt-policy",
        type=PATH_AND_POLICY,
        multiple=True,
        metavar="PATH=KEY[,...]",
        about="Let the kernel encrypt what is later put into the empty folder at PATH, with the "
        "master key that has this identifier; adds the feature encrypt. After commas: contents=, "
        "filenames=, padding=, and flags, with fscryptctl's names.",
    )
    num_backup_sb: OfSpec = spec_option("--num-backup-sb")
    cluster_size: OfSpec = spec_option("-C", "--cluster-size", type=CLUSTER)
    desc_size: OfSpec = spec_option("--desc-size")
    first_meta_bg: OfSpec = spec_option("--first-meta-bg")
    reserved_percent: OfSpec = spec_option("-m", "--reserved-percent")
    journal: OfSpec = spec_option("--journal")
    fast_commit_size: OfSpec = spec_option("--fast-commit-size")
    orphan_file_size: OfSpec = spec_option("--orphan-file-size")
    mmp_update_interval: OfSpec = spec_option("--mmp-update-interval")
    journal_location: OfSpec = spec_option("--journal-location")
    journal_device: str | None = spec_option(
        "--journal-device",
        type=PATH,
        metavar="FILE",
        default=None,
        about="Put the journal into FILE, a separate file or device, with the size of --journal.",
    )
    journal_uuid: OfSpec = spec_option("--journal-uuid")
    journal_dev: OfSpec = spec_option("--journal-dev")
    journal_features: OfSpec = spec_option("--journal-features")
    bad_blocks: str | None = spec_option(
        "-l",
        "--bad-blocks",
        type=PATH,
        metavar="FILE",
        default=None,
        about="Do not use the blocks listed in FILE, one number on each line, as badblocks writes "
        "them.",
    )
    quotatype: OfSpec = spec_option("--quotatype")
    quota_limits: OfSpec = spec_option(
        "--quota-limit", multiple=True, type=str, metavar="KIND:ID:SOFT:HARD[:SOFT:HARD]"
    )
    quota_grace: OfSpec = spec_option(
        "--quota-grace", multiple=True, type=str, metavar="[KIND:]TIME[:TIME]"
    )
    epoch: int | None = spec_option(
        "--epoch",
        default_text=f"{EPOCH_VARIABLE} from the environment, else the newest time in the tree, "
        "but no later than the start of 2026",
    )
    hole_size: OfSpec = spec_option("--hole-size")
    leading_hole: OfSpec = spec_option("--leading-hole/--no-leading-hole")
    lost_and_found: OfSpec = spec_option("--lost-and-found/--no-lost-and-found")
    lost_and_found_size: OfSpec = spec_option("--lost-and-found-size")
    policy: OfSpec = spec_option("--policy")

    reserved_blocks: OfSpec = spec_option("--reserved-blocks")
    reserved_uid: OfSpec = spec_option("--reserved-uid")
    reserved_gid: OfSpec = spec_option("--reserved-gid")
    groups_per_flex: OfSpec = spec_option("-G", "--groups-per-flex")
    packed_meta_blocks: OfSpec = spec_option("--packed-meta-blocks")
    group_tables: OfSpec = spec_option("--group-tables")
    lazy_itable_init: OfSpec = spec_option("--lazy-itable-init")
    blocks_per_group: OfSpec = spec_option("-g", "--blocks-per-group")
    reserved_gdt_blocks: OfSpec = spec_option("--reserved-gdt-blocks")
    raid_stride: OfSpec = spec_option("--stride")
    raid_stripe_width: OfSpec = spec_option("--stripe-width")
    errors: OfSpec = spec_option("-e", "--errors")
    default_mntopts: OfSpec = spec_option("--default-mntopts")
    mount_opts: OfSpec = spec_option("--mount-opts")
    creator_os: OfSpec = spec_option("--creator-os")
    last_mounted: OfSpec = spec_option("-M", "--last-mounted")
    max_mount_count: OfSpec = spec_option("--max-mount-count")
    check_interval: OfSpec = spec_option("--check-interval")
    revision: OfSpec = spec_option("--revision")
    test_fs: OfSpec = spec_option("--test-fs")

    def sized(self, output: Output | None) -> Self:
        """Return these options with a size in bytes, if the output determines the size."""
        if not isinstance(self.size, str):
            return self
        if output is None:
            raise click.UsageError(f"--size {self.size} needs an --output that has that size")
        room = output.available_bytes(self.size)
        return replace(self, size=room - room % max(self.block_size, SECTOR_SIZE))

    def with_features(self, names: Sequence[str]) -> Self:
        """Return these options with features that others need; -O can still remove them."""
        return replace(self, features=(*names, *self.features)) if names else self

    def listed_bad_blocks(self) -> Sequence[int]:
        """The block numbers in the file of --bad-blocks; raises ``SourceError``."""
        if self.bad_blocks is None:
            return ()
        from ext4writer import SourceError
        from ext4writer.documents import read_document

        blocks = []
        text = read_document(self.bad_blocks).decode("ascii", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            if not re.fullmatch("[0-9]{1,20}", line.strip(), re.ASCII):
                raise SourceError(self.bad_blocks, f"line {number} is not a block number")
            blocks.append(int(line))
        return blocks

    def signatures(self) -> tuple[tuple[bytes, bytes], ...]:
        """(Path in the image, signature) of each --verity-signature; raises ``SourceError``."""
        if not self.verity_signatures:
            return ()
        from ext4writer.documents import read_document

        return tuple(
            (os.fsencode(path), read_document(file)) for path, file in self.verity_signatures
        )

    def chosen_uuid(self) -> UUID | None:
        """The given UUID, or a new one for ``random`` and ``time``.

        Raises a usage error for a new one unless --not-reproducible is given.
        """
        if not isinstance(self.uuid, str):
            return self.uuid
        if not self.not_reproducible:
            raise click.UsageError(
                f"--uuid {self.uuid} would make a different image each time; give a UUID, omit "
                "--uuid to derive it from the image, or add --not-reproducible"
            )
        return UNPREDICTABLE_UUIDS[self.uuid]()

    def spec(self) -> Spec:
        """These options as a Spec; raises ``SpecError`` if they contradict each other."""
        from ext4writer import Spec

        assert not isinstance(self.size, str)
        values = {each.name: getattr(self, each.name) for each in of_spec(type(self))} | {
            "uuid": self.chosen_uuid(),
            "features": ",".join(self.features),
            "verity_signatures": self.signatures(),
            "encryption_policies": tuple(
                (os.fsencode(path), policy) for path, policy in self.encryption_policies
            ),
            "journal_device": self.journal_device is not None,
            "bad_blocks": self.listed_bad_blocks(),
            "epoch": self.epoch if self.epoch is not None else environment_epoch(),
        }
        if self.profile is None:
            return Spec(**values)
        ctx = click.get_current_context(silent=True)
        chosen = {name for name in values if ctx and _is_given(ctx, name)}
        usual = Spec()
        changes = {
            name: value
            for name, value in values.items()
            if name in chosen or value != getattr(usual, name)
        }
        return Spec.of_profile(self.profile, **changes)


@dataclass(init=False, eq=False, repr=False)
class SharingOptions(OptionGroup):
    """What equal files share; the command ``nix`` has its own option of the same name."""

    HEADING = ImageOptions.HEADING

    dedupe: Literal["none", "blocks"] = spec_option("--dedupe")

    def features(self) -> tuple[str, ...]:
        """The features that the option needs."""
        return ("shared_blocks",) if self.dedupe == "blocks" else ()


@dataclass(init=False, eq=False, repr=False)
class OutputOptions(OptionGroup):
    """How the image is stored, apart from what the ending of its name determines."""

    HEADING = "Output"

    offset: int | None = row(
        "--offset",
        type=SIZE,
        metavar="SIZE",
        about="Write into an existing file or device, starting at byte SIZE; its other bytes are "
        "kept.",
    )
    sync: bool = row(
        "--sync",
        is_flag=True,
        default=False,
        about="Flush a new file to the disk before it gets its name, so that a power failure "
        "leaves either the old or the new file. Devices and parts of files are always flushed.",
    )
    format: OutputFormat | None = row(
        "--format",
        type=click.Choice(FORMATS),
        about="Store the image in this format, whatever its name ends in: raw, a QEMU disk, an "
        "Android sparse image, or a fixed Virtual PC disk.  [default: chosen by the ending .qcow2, "
        ".simg or .vhd, otherwise raw]",
    )
    raw: bool = row(
        "--raw",
        is_flag=True,
        default=False,
        about="Write a raw image even if its name ends in .zst, .qcow2 or the like; the same as "
        "--format raw.",
    )
    free_blocks: FreeBlocks = row(
        "--free-blocks",
        type=click.Choice(FREE_BLOCKS),
        default="zero",
        about="What happens to the free blocks of a block device: 'zero' zeroes them, 'keep' "
        "leaves their old content, 'discard' tells the device to drop it. The latter two are for "
        "disks that cannot be zeroed quickly. 'prezeroed' promises that the entire device already "
        "reads as zeros; then no zeros are written, not even for inode tables and the journal.",
    )
    zstd_level: int | None = row(
        "--zstd-level",
        type=Count(1, ZSTD_LEVEL_MAX),
        metavar="N",
        about="Compression level of an image whose name ends in .zst.  [default: 3]",
    )

    dm_verity: str | None = row(
        "--dm-verity",
        type=PATH,
        metavar="FILE|append",
        about="Make a dm-verity hash tree while writing the image, as veritysetup does, and store "
        "it in FILE or append it to the image. The report has the root hash.",
    )
    dm_verity_salt: bytes | None = row(
        "--dm-verity-salt",
        type=parsed(parse_salt),
        metavar="HEX",
        about="Salt for the hashes of --dm-verity, at most 256 bytes; '-' is none.  [default: "
        "derived from the UUID of the image]",
    )
    dm_verity_uuid: UUID | None = row(
        "--dm-verity-uuid",
        type=click.UUID,
        metavar="UUID",
        about="UUID in the superblock of --dm-verity.  [default: derived from the UUID of the "
        "image]",
    )
    bmap: str | None = row(
        "--bmap",
        type=PATH,
        metavar="FILE",
        about="Write a block map for bmaptool, which then does not copy free blocks.",
    )
    chunks: str | None = row(
        "--chunks",
        type=PATH,
        metavar="FILE",
        about="Write a line with offset, size and SHA-256 of each chunk of the image to FILE.",
    )
    chunk_size: int | None = row(
        "--chunk-size", type=SIZE, metavar="SIZE", about="Size of each chunk.  [default: 4M]"
    )

    def files(self) -> dict[str, str]:
        """Option -> path of each file that is written in addition to the image."""
        verity = None if self.dm_verity == APPEND else self.dm_verity
        named = {"--dm-verity": verity, "--bmap": self.bmap, "--chunks": self.chunks}
        return {flag: path for flag, path in named.items() if path is not None}


@dataclass(init=False, eq=False, repr=False)
class OverrideOptions(OptionGroup):
    """Deliberate damage."""

    HEADING = "Deliberate faults, to test what reads the image"

    override: tuple[str, ...] = row(
        "--override",
        multiple=True,
        metavar="RECORD[INDEX].FIELD=VALUE",
        default=(),
        about="Write VALUE into a field, such as 'inode[/etc/hosts].i_links_count=7'. "
        "May be repeated.",
    )
    no_reseal: bool = row(
        "--no-reseal",
        is_flag=True,
        default=False,
        about="Do not update the checksum that covers an overridden field.",
    )
    poison: bool = row(
        "--poison",
        is_flag=True,
        default=False,
        about="Deliberately make the checksum that covers an overridden field wrong.",
    )

    def overrides(self) -> list[Override]:
        """The overrides as objects of the library; raises ``OverrideError`` for an invalid text."""
        return parsed_overrides(self.override, self.no_reseal, self.poison)


def parsed_overrides(texts: Sequence[str], no_reseal: bool, poison: bool) -> list[Override]:
    """Parse overrides; raises ``OverrideError`` for an invalid text."""
    if not texts:
        return []
    from ext4writer import Override

    if no_reseal and poison:
        raise click.UsageError("--no-reseal leaves a checksum that --poison would change; give one")
    return [Override.parse(text, reseal=not no_reseal, poison=poison) for text in texts]


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def given(*kinds: type[Any]) -> Iterator[str]:
    """Yield the flag of each option of these groups that the command line gives."""
    ctx = click.get_current_context()
    for kind in kinds:
        for each in fields(kind):
            if _is_given(ctx, each.name):
                yield flag_of(each)


@dataclass(init=False, eq=False, repr=False)
class RunOptions(OptionGroup):
    """How a command runs and what it prints."""

    HEADING = "How it runs and what it reports"

    workers: int | None = row(
        "--workers",
        type=Count(min=1),
        metavar="N",
        about="Number of processes that read and write files.  "
        f"[default: the usable CPUs, at most {WORKERS_MAX}]",
    )
    strict: bool = row(
        "--strict",
        is_flag=True,
        default=False,
        about="Fail and write nothing if anything cannot be kept exactly.",
    )
    json: bool = row("--json", is_flag=True, default=False, about="Print the report as JSON.")
    quiet: bool = row(
        "-q",
        "--quiet",
        is_flag=True,
        default=False,
        about="Show no progress and print no report, except the report of --json.",
    )


def environment_epoch() -> int | None:
    """SOURCE_DATE_EPOCH in seconds since 1970, if it is set; raises a usage error."""
    text = os.environ.get(EPOCH_VARIABLE, "")
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,10}", text, re.ASCII) or int(text) >= 1 << 32:
        raise click.UsageError(
            f"{EPOCH_VARIABLE}: {text!r} is not a number of seconds from 0 to {(1 << 32) - 1}"
        )
    return int(text)


def usable_cpus() -> int:
    """The number of CPUs that this process may use, at most ``WORKERS_MAX``."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), WORKERS_MAX)
    return min(os.cpu_count() or 1, WORKERS_MAX)
