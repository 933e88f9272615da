"""The floors hold, by the syntax trees: who imports what, and what no code asks of the host."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import ext4writer
from ext4writer import Spec, Tree, edit, manifests, nix, sources
from ext4writer.inspection.check import check_image
from ext4writer.inspection.info import facts
from ext4writer.ondisk.features import ALIASES, FEATURES, FeatureSet
from ext4writer.planning.profiles import PROFILES
from ext4writer.read import open_image
from tests.judges.fsck import judge

ROOT = Path(__file__).parents[2]

PACKAGES = (ext4writer, edit, manifests, nix, sources)
"""Packages that load their public names on first use."""

BELOW_ALL = {
    "errors": 0,
    "version": 0,
    "units": 1,
    "blake2": 0,
    "late": 0,
    "late_dataclasses": 0,
    "arithmetic": 0,
    "spans": 1,
    "bits": 0,
    "arguments": 0,
    "wrong_calls": 1,
    "checked": 2,
    "inode_flags": 1,
    "progress": 1,
    "forked": 3,
    "threads": 3,
}
FLOORS = {
    "ondisk": 10,
    "attributes": 20,
    "documents": 20,
    "content": 20,
    "holes": 21,
    "slices": 21,
    "zeros_content": 21,
    "streamed": 21,
    "nodes": 21,
    "losses": 22,
    "walking": 22,
    "resolution": 22,
    "composition": 23,
    "tree": 24,
    "edit": 25,
    "sources": 27,
    "read": 26,
    "inspection": 30,
    "manifests": 28,
    "nix": 29,
    "planning": 30,
    "states": 31,
    "output": 35,
    "watchers": 36,
    "emit": 40,
    "damage": 41,
    "virtual": 42,
    "plan_file": 42,
    "nbd": 43,
    "layout": 44,
    "delta": 45,
    "distributed": 46,
    "inputs": 43,
    "api": 50,
    "fuzzing": 52,
    "__main__": 70,
    "__init__": 60,
}
"""First part of a module's name -> its height. Modules of one package may import each other."""

FORMAT_FREE = (
    *("errors", "progress", "forked", "threads", "documents"),
    *(
        "inode_flags",
        "attributes",
        "content",
        "holes",
        "slices",
        "zeros_content",
        "streamed",
        "nodes",
        "losses",
        "walking",
        "resolution",
        "composition",
        "tree",
    ),
    *("edit", "sources", "manifests", "nix", "output"),
)
"""Modules independent of ext4; they may not use ``ondisk``, although it is below them."""

THIRD_PARTY = {
    "fsspec": {"distributed.targets"},
    "hypothesis": {"damage.strategies", "fuzzing.minimize"},
    "construct": {"ondisk"},
    "crc32c": {"ondisk.checksum"},
    "zstandard": {"sources.tar_archive.decoders", "output.compressed", "plan_file.saved"},
    "ext4writer_cli": {"__main__"},
}
"""The library's only third-party modules -> the modules that may import them."""

STANDARD = {
    *("__future__", "abc", "collections", "collections.abc", "types", "typing"),
    *("array", "bisect", "contextlib", "copy", "functools", "heapq", "itertools", "operator"),
    *("enum", "errno", "io", "math", "re", "stat"),
    "hashlib",  # the identity of an image is a digest of its tree; container images use it in names
    "json",
    "uuid",  # only the class UUID
}
"""What every module of the library may import: without clocks, random sources and locales."""

STANDARD_IN = {
    "os": {
        "tree",
        "nodes",
        "documents",
        "content",
        "holes",
        "slices",
        "read.stores",
        "delta.base",
        "inspection.extract",
        "edit",
        "sources",
        "manifests",
        "nix",
        "forked",
        "emit.copier",
        "output",
        "inputs",
        "plan_file",
        "nbd.server",
        "distributed",
        "damage",
    },
    **{name: {"forked"} for name in ("gc", "pickle", "selectors", "signal", "traceback")},
    # Numbers as bytes, for images, archives, disks and the kernel.
    "struct": {
        *("ondisk", "read", "inspection", "emit", "damage", "output", "watchers"),
        *("planning.mapping", "planning.system_files.resize_inode"),  # blocks of block numbers
        *("edit.rules", "edit.capabilities", "sources.acl_text"),  # values of attributes
        *("sources.tar_archive", "sources.host_flags", "nbd.protocol", "nix.database"),
    },
    "difflib": {"wrong_calls"},  # which argument was meant
    "inspect": {"wrong_calls", "planning.options"},  # after a wrong call, and for help only
    "tarfile": {"inspection.tar_output"},
    "zlib": {
        "fuzzing.witness",
        "ondisk.crc32",
        "sources.tar_archive",
        "sources.manifest_content",
        "output.compressed",
        "output.qcow2",
        "read.qcow2",
    },
    "bz2": {"sources.tar_archive.decoders"},
    "lzma": {"sources.tar_archive.decoders", "output.compressed"},
    "mmap": {"damage"},  # changes an image in memory, page by page
    "ctypes": {"output.zeros"},  # fallocate(2) with its modes
    "binascii": {"sources.tar_archive.xattrs", "edit.rules_set", "nix.hashes"},
    "base64": {"edit.rules_set", "nix.hashes", "fuzzing.witness"},
    "urllib.parse": {"nix.cache", "nbd.address"},
    "socket": {"nbd"},
    "ipaddress": {"nbd.address"},
    "concurrent.futures": {"output.watched", "distributed.work"},
    "sqlite3": {"nix.database"},
    **{name: {"ondisk.checksum"} for name in ("importlib.machinery", "importlib.util")},
    "importlib": {"late"},
    "dataclasses": {"late_dataclasses", "plan_file.classes"},
    "_blake2": {"blake2"},
    "reprlib": {"late_dataclasses"},
    "_collections": {"late_dataclasses"},
    # Only for characters assigned in Unicode 12.1, which no later version changes.
    "unicodedata": {"ondisk.casefold"},
    "threading": {
        "threads",
        "content",
        "streamed",
        "sources.host",
        "emit.copying",
        "output",
        "nix",
        "virtual",
        "nbd",
    },
    # Whether a file is opened to append, the capacity of a pipe, shared blocks, inode flags.
    "fcntl": {
        *("output", "forked", "emit.copier", "sources.host_flags", "inspection.host_flags"),
    },
    "sys": {
        "planning.identity",
        "sources.host",
        "plan_file.values",
        "output.qcow2",
        "damage.patching",
    },
}
"""What accesses the host -> the modules, or packages, that read sources or write the output."""

FEATURE_NAMES = {*(row.name for row in FEATURES), *ALIASES}

BANNED_NAMES = {
    *("print", "input", "breakpoint", "exec", "eval", "globals"),
    *("__import__", "__builtins__", "__loader__", "__spec__"),
    *("hash", "id"),  # differ from run to run
}

OS_ALLOWED = {
    "names": {"fsencode", "fsdecode", "fspath", "PathLike", "path", "getcwdb", "strerror"},
    "looking at a source": {
        *(
            "supports_dir_fd",
            "scandir",
            "DirEntry",
            "stat",
            "lstat",
            "stat_result",
            "fstat",
            "readlink",
            "major",
            "minor",
        ),
        *("listxattr", "getxattr"),
    },
    "reading and writing": {
        *("open", "dup", "close", "read", "readv", "pread", "preadv", "write", "pwrite", "pwritev"),
        *("lseek", "ftruncate", "fsync", "copy_file_range", "posix_fallocate"),
        *("replace", "unlink", "link"),
        *("fchown", "fchmod", "setxattr", "removexattr"),
    },
    "extracting": {
        *("mkdir", "symlink", "mknod", "makedev", "chown", "chmod", "utime", "setxattr"),
    },
    "sharing work": {
        *("fork", "pipe", "set_blocking", "kill", "waitpid", "waitstatus_to_exitcode", "_exit"),
        *("chdir", "fchdir"),  # of a forked process
    },
}
OS_CONSTANTS = ("O_", "SEEK_")
OS_PATH_ALLOWED = {
    *(
        "join",
        "split",
        "exists",
        "isabs",
        "isdir",
        "isfile",
        "islink",
        "lexists",
        "realpath",
        "samestat",
    ),
}
SYS_ALLOWED = {
    "byteorder",  # to swap the bytes of arrays
    "platform",  # to know how long a path may be
}
ALLOWED = {
    "os": set().union(*OS_ALLOWED.values()),
    "os.path": OS_PATH_ALLOWED,
    "sys": SYS_ALLOWED,
    "uuid": {"UUID"},
}
"""Module -> all names that may be used from it."""


@dataclass(frozen=True)
class Module:
    """One file of the library; ``name`` is dotted and relative to the package."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    def lies_in(self, places: set[str]) -> bool:
        return any(self.name == place or self.name.startswith(f"{place}.") for place in places)


@cache
def modules(package: str = "ext4writer") -> tuple[Module, ...]:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT / package).with_suffix("").parts
        if len(parts) > 1 and parts[-1] == "__init__":
            parts = parts[:-1]
        found.append(Module(".".join(parts), path, ast.parse(path.read_text(), str(path))))
    return tuple(found)


def imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield (statement, absolute dotted name) of every import, anywhere in the file."""
    package = ["ext4writer", *module.path.relative_to(ROOT / "ext4writer").parent.parts]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node, f"{start}.{alias.name}"


def known(name: str) -> str:
    """The module of the library that contains the absolute ``name``; "" for other packages."""
    package, _, inside = name.partition(".")
    if package != "ext4writer":
        return ""
    names = {module.name for module in modules()}
    while inside and inside not in names:
        inside = inside.rpartition(".")[0]
    return inside or "__init__"


def foreign(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield (statement, module) of every import from outside the library."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names if known(alias.name) == "")
        elif isinstance(node, ast.ImportFrom) and not node.level and known(node.module or "") == "":
            yield node, node.module or ""


HIGHER = {"damage.strategies": 55}
"""Modules above their packages: strategies for entire images, for other projects' tests."""


def floor(module: str) -> int:
    if module in HIGHER:
        return HIGHER[module]
    top = module.partition(".")[0]
    return BELOW_ALL[top] if top in BELOW_ALL else FLOORS[top]


Rule = Callable[[Module], Iterator[tuple[ast.AST, str]]]


def imports_up(module: Module) -> Iterator[tuple[ast.AST, str]]:
    for node, name in imports(module):
        other = known(name)
        same = other.partition(".")[0] == module.top
        if other and not same and floor(other) >= floor(module.name):
            yield node, f"imports {other}"


def knows_the_format(module: Module) -> Iterator[tuple[ast.AST, str]]:
    if module.top in FORMAT_FREE:
        for node, name in imports(module):
            if known(name).partition(".")[0] == "ondisk":
                yield node, f"imports {name}"


WRITERS = {
    *("planning", "states", "emit", "output", "watchers", "api", "edit", "nix", "manifests"),
    *("layout", "virtual", "plan_file", "nbd", "inputs", "distributed"),
}
"""Modules that plan and write. ``delta`` is not listed: it compares with an existing image."""
READS_SOURCES = {"plan_file.contents"}
"""It names content that a plan uses from an image, without reading it."""


def reads_while_writing(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """A reader is a second opinion, so readers and writers must not depend on each other."""
    wrong: set[str] = set()
    if module.top in WRITERS:
        wrong = {"read", "inspection"}
        if module.top not in ("api", "nix") and not module.lies_in(READS_SOURCES):
            wrong |= {"sources.ext4_image"}
    elif module.top == "read":
        wrong = {"sources", "edit", "manifests"}
    elif module.top == "inspection":
        wrong = {"edit", "manifests", "nix"}
    for node, name in imports(module):
        other = known(name)
        if any(other == place or other.startswith(f"{place}.") for place in wrong):
            yield node, f"imports {other}"


LATE = {package.__name__.partition(".")[2] or "__init__" for package in PACKAGES}


def loads_by_name(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Modules are loaded by string only for public names, which a test below compares."""
    for node, name in imports(module):
        if known(name) == "late" and module.name not in LATE:
            yield node, "imports late"


def imports_strangers(module: Module) -> Iterator[tuple[ast.AST, str]]:
    for node, name in foreign(module):
        places = THIRD_PARTY.get(name.partition(".")[0]) or STANDARD_IN.get(name, set())
        if name not in STANDARD and not module.lies_in(places):
            yield node, f"imports {name}"


def hides_a_module(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Aliases of modules would hide them from the other rules."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, f"calls it {alias.asname}") for alias in node.names if alias.asname)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node, "imports *") for alias in node.names if alias.name == "*")


def uses_a_banned_name(module: Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id in BANNED_NAMES:
            if (module.name, node.id) == ("late_dataclasses", "exec"):
                continue  # also the name of a field, as in the standard library's module
            yield node, f"uses {node.id}"


def attributes_of(module: Module, name: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield the attributes taken from the module ``name``, also by ``getattr`` and ``hasattr``."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == name:
            yield node, node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == name and not node.level:
            yield from ((node, alias.name) for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("getattr", "hasattr")
            and ast.unparse(node.args[0]) == name
        ):
            asked = node.args[1]
            yield node, str(asked.value) if isinstance(asked, ast.Constant) else ast.unparse(asked)


def asks_the_host(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Environment, users, processes, clocks and umasks are not on the lists of allowed names."""
    for name, allowed in ALLOWED.items():
        for node, attribute in attributes_of(module, name):
            if attribute not in allowed and not (
                name == "os" and attribute.startswith(OS_CONSTANTS)
            ):
                yield node, f"takes {name}.{attribute}"


COMPREHENSION = (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)


def words_of(node: ast.AST) -> set[str]:
    """The names of variables and attributes in an expression."""
    return {
        inner.id if isinstance(inner, ast.Name) else inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name | ast.Attribute)
    }


def names(node: ast.AST) -> bool:
    """Whether it is ``features.names()``: code may iterate over features by name."""
    return isinstance(node, ast.Call) and last_name(node.func) == "names"


def names_a_feature(node: ast.AST) -> bool:
    """Whether an expression contains the name of a feature as a string."""
    return any(
        isinstance(inner, ast.Constant) and inner.value in FEATURE_NAMES for inner in ast.walk(node)
    )


APART = {"damage", "fuzzing"}
"""Packages that write images with any feature, by its name."""
LISTS_FEATURES = {
    *("layout", "inspection.info", "inspection.words"),  # to print them
    *("planning.profiles", "planning.random_features", "planning.spec"),  # tables by name
    "mke2fs.settings",
}
STORES_WORDS = {"emit.superblock", "emit.journal_device", "planning.identity"}
"""Modules that store the three feature words, or digest them."""
OF_JOURNALS = {"read.journal", "inspection.check.special"}
"""Modules that read fields of the same names in the superblock of a journal."""
WORDS = {"compat", "incompat", "ro_compat"}
SET_QUESTIONS = {
    *("__contains__", "issuperset", "issubset", "isdisjoint", "contains", "and_"),
    *("intersection", "difference", "symmetric_difference"),
}
NUMBER_QUESTIONS = (ast.BitAnd, ast.RShift, ast.Mod, ast.FloorDiv)
AMBIGUOUS = {"quota", "project", "verity", "casefold", "encrypt", "extent", "mmp", "compression"}
"""Names of features that also have other meanings."""


def is_word(node: ast.AST) -> bool:
    return last_name(node) in WORDS


def is_stored_word(node: ast.AST) -> bool:
    """Whether it is the name of a feature field, as a string."""
    return isinstance(node, ast.Constant) and str(node.value).startswith("s_feature_")


def takes_a_word(module: Module, node: ast.AST) -> bool:
    """Whether it reads one of the three feature words, from a FeatureSet or a superblock."""
    if isinstance(node, ast.Attribute) and is_word(node):
        return not module.lies_in(STORES_WORDS)
    if module.lies_in(OF_JOURNALS):
        return False
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        return is_stored_word(node.slice)
    if isinstance(node, ast.Attribute):
        return node.attr.startswith("s_feature_")
    return (
        isinstance(node, ast.Call)
        and last_name(node.func) in ("number", "get", "unpacker", "parts")
        and "JOURNAL_SUPERBLOCK" not in words_of(node.func)
        and any(map(is_stored_word, node.args))
    )


def asks_for_a_feature(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Flags are tested only in format.py and in the rows of the features."""
    if module.lies_in({"ondisk.format", "ondisk.features"}):
        return
    for node in ast.walk(module.tree):
        asks = False
        if isinstance(node, ast.Compare):
            among = any(
                isinstance(operator, ast.In | ast.NotIn)
                and (("features" in words_of(right) and not names(right)) or names_a_feature(left))
                for operator, left, right in zip(
                    node.ops, [node.left, *node.comparators], node.comparators, strict=False
                )
            )
            asks = among or ("features" in words_of(node) and names_a_feature(node))
            if not module.lies_in(APART):
                sides = [node.left, *node.comparators]
                asks |= any(isinstance(each, ast.Constant) and is_flag(each) for each in sides)
        elif isinstance(node, COMPREHENSION):
            through = any("features" in words_of(each.iter) for each in node.generators)
            asks = through and names_a_feature(node)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, NUMBER_QUESTIONS):
            asks = is_word(node.left) or is_word(node.right)
        elif isinstance(node, ast.Call) and last_name(node.func) in SET_QUESTIONS:
            asks = (
                "features" in words_of(node)
                or names_a_feature(node)
                or any(map(is_word, node.args))
            )
        elif isinstance(node, ast.Call) and names(node) and "features" in ast.unparse(node.func):
            asks = not module.lies_in(LISTS_FEATURES | APART)
        elif isinstance(node, ast.Set | ast.MatchValue):
            asks = names_a_feature(node) and not module.lies_in(APART)
        if asks or (not module.lies_in(APART) and takes_a_word(module, node)):
            yield node, f"asks {ast.unparse(node)}"


def is_flag(node: ast.Constant) -> bool:
    return node.value in FEATURE_NAMES - AMBIGUOUS


MAKING = {
    *("pack", "packer", "pack_into", "packer_into", "pack_columns", "write_column", "build"),
    *("put", "putter", "set", "split", "declaration"),
}
PARSING = {"parse", "unpacker", "number", "get", "join", "declaration"}
OF_DICTS = {"get"}
MAKERS = {
    "ondisk",
    "emit",
    "damage",
    "planning.mapping",
    "planning.xattrs",
    "planning.encryption_policy",
    "inspection.host_flags",
    "nbd",
    "output",
    "watchers",
}
"""Modules that build bytes of units: emission, and what it calls for bytes that only a plan
determines. Network protocol messages and headers of virtual disks are not units.
"""
PARSERS = {"ondisk", "read", "inspection", "damage", "emit.older_versions"}
"""Modules that parse units: readers and what is built on them, and what builds earlier states."""


RECORDS = {
    name
    for module in modules()
    if module.top == "ondisk"
    for name, value in vars(import_module(f"ext4writer.{module.name}")).items()
    if type(value).__name__ == "Record"
}
"""The names of all declarations."""


def last_name(node: ast.AST) -> str:
    """``INODE`` of ``INODE`` and of ``inode.INODE``; "" for anything but a name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def record_uses(module: Module, methods: set[str]) -> Iterator[tuple[ast.AST, str]]:
    """Yield uses of ``methods`` of a record, or calls of a name in capitals, like a record's."""
    called = {node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in methods:
            name = last_name(node.value)
            if name in RECORDS or (name.isupper() and node in called and node.attr not in OF_DICTS):
                yield node, f"takes {ast.unparse(node)}"


PASSES_RECORDS = {"fuzzing.chance"}
"""It chooses records and fields at random."""


def renames_a_record(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Aliases of records, or calls with one, would hide their use from the next two rules."""
    if module.lies_in(MAKERS | PARSERS | PASSES_RECORDS):
        return
    taken = {node.value for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in RECORDS and alias.asname:
                    yield node, f"calls {alias.name} {alias.asname}"
        elif last_name(node) in RECORDS and node not in taken:
            yield node, f"passes {last_name(node)} on"


TURNS_NUMBERS = {
    *("ondisk", "read", "inspection", "emit", "damage"),
    *("bits", "forked", "plan_file.saved", "fuzzing.mutation", "nix.hashes", "nix.database"),
    *("sources.tar_archive.header", "sources.manifest_content"),
    *("sources.nar_format", "sources.nar_archive", "sources.nar_dump"),
    *("edit.automaton", "planning.checks"),  # many bits, or many values, in one number
}


def turns_numbers_into_bytes(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Such code could build or parse units by hand; ``struct`` has a list of importers."""
    if not module.lies_in(TURNS_NUMBERS):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr in ("to_bytes", "from_bytes"):
                yield node, f"uses {ast.unparse(node)}"


def makes_units(module: Module) -> Iterator[tuple[ast.AST, str]]:
    if not module.lies_in(MAKERS):
        yield from record_uses(module, MAKING)


def parses_units(module: Module) -> Iterator[tuple[ast.AST, str]]:
    if not module.lies_in(PARSERS):
        yield from record_uses(module, PARSING)


RULES: tuple[Rule, ...] = (
    imports_up,
    knows_the_format,
    reads_while_writing,
    loads_by_name,
    imports_strangers,
    hides_a_module,
    uses_a_banned_name,
    asks_the_host,
    asks_for_a_feature,
    renames_a_record,
    makes_units,
    parses_units,
    turns_numbers_into_bytes,
)


def test_modules_named_in_the_rules_exist() -> None:
    """A stale name would grant its permissions to the next module with that name."""
    names = [module.name for module in modules()]
    there = {*names, *(name.rpartition(".")[0] for name in names)}
    places = set().union(
        *(BELOW_ALL, FLOORS, HIGHER, FORMAT_FREE, *THIRD_PARTY.values(), *STANDARD_IN.values()),
        *(WRITERS, READS_SOURCES, LATE, APART, LISTS_FEATURES - {"mke2fs.settings"}),
        *(STORES_WORDS, OF_JOURNALS, MAKERS, PARSERS, PASSES_RECORDS, TURNS_NUMBERS),
        *(PAIRS, HOT, SPELLED_OUT, *ONE_PLACE.values()),
    )
    assert places - there == set()


def test_every_module_has_a_floor() -> None:
    assert len(modules()) > 30
    for module in modules():
        assert floor(module.name) >= 0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_library_keeps_the_rule(rule: Rule) -> None:
    wrong = [
        f"{module.path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {what}"
        for module in modules()
        for node, what in rule(module)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_command_asks_for_no_feature() -> None:
    found = modules("builder/ext4writer_cli")
    assert len(found) > 20
    assert not [what for module in found for _, what in asks_for_a_feature(module)]


def test_only_the_format_looks_at_flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This covers what syntax does not show: aliases, and functions that are passed a set."""
    looks_at = FeatureSet.__contains__
    found: set[str] = set()

    def noted(features: FeatureSet, name: object) -> bool:
        found.add(sys._getframe(1).f_code.co_filename)
        return looks_at(features, name)

    monkeypatch.setattr(FeatureSet, "__contains__", noted)
    tree = Tree()
    tree.file("/d/file", b"content", parents=True, xattrs={"user.name": b"value"})
    for profile in PROFILES.values():
        image = tmp_path / profile.name
        options = {"block_size": 1024, "size": 8 << 20, **profile.options}
        ext4writer.write_image(tree, image, Spec(features=profile.features, **options))
        with open_image(image) as opened:
            assert not check_image(opened).problems
            assert facts(opened)["features"] == list(profile.features.names())
            assert b"/d/file" in {each.path for each in opened.walk()}
        judge(image)
    allowed = {str(ROOT / f"ext4writer/ondisk/{name}.py") for name in ("format", "features")}
    assert found <= allowed
    assert found


@pytest.mark.parametrize(
    ("rule", "name", "line"),
    [
        (imports_up, "ondisk.record", "from ..tree import Node"),
        (imports_up, "planning.sizing", "from ext4writer.output.sink import Sink"),
        (imports_up, "planning.sizing", "def late():\n    from ..output import sink"),
        (imports_up, "emit.data", "from ..api import write_image"),
        (imports_up, "emit.data", "import ext4writer"),
        (imports_up, "content", "from .tree import Node"),
        (imports_up, "errors", "from . import progress"),
        (knows_the_format, "sources.directory", "from ..ondisk.inode import INODE"),
        (knows_the_format, "tree", "from . import ondisk"),
        (reads_while_writing, "emit.data", "from ..read import open_image"),
        (reads_while_writing, "planning.sizing", "from ..read.image import Image"),
        (reads_while_writing, "read.image", "from ..sources import directory"),
        (imports_up, "read.image", "from ..planning.geometry import Geometry"),
        (imports_up, "read.image", "if TYPE_CHECKING:\n    from ..planning import geometry"),
        (imports_up, "read.image", "from ... import ext4writer\nfrom .. import Spec"),
        (imports_up, "inspection.show", "from ..emit.units import PlannedUnits"),
        (reads_while_writing, "emit.data", "from ..inspection.check import check_image"),
        (reads_while_writing, "virtual.image", "from .. import read"),
        (reads_while_writing, "planning.sizing", "from ..sources.ext4_image import image"),
        (reads_while_writing, "inspection.show", "from ..edit import filters"),
        (loads_by_name, "read.image", "from ..late import late_names"),
        (imports_strangers, "read.image", "from importlib import import_module"),
        (imports_strangers, "planning.sizing", "from struct import pack"),
        (uses_a_banned_name, "read.image", "__builtins__['__import__']('ext4writer.emit')"),
        (imports_strangers, "api", "import ext4writer_cli"),
        (imports_strangers, "api", "from ext4writer_cli.cli import main"),
        (imports_strangers, "planning.layout", "import click"),
        (imports_strangers, "planning.layout", "import rich.progress"),
        (imports_strangers, "planning.layout", "import construct"),
        (imports_strangers, "planning.layout", "import os"),
        (imports_strangers, "planning.policy", "import random"),
        (imports_strangers, "planning.policy", "import secrets"),
        (imports_strangers, "planning.spec", "from time import time"),
        (imports_strangers, "planning.spec", "from datetime import datetime"),
        (imports_strangers, "output.path", "import tempfile"),
        (imports_strangers, "sources.directory", "import locale"),
        (imports_strangers, "sources.directory", "import pwd"),
        (hides_a_module, "tree", "import os as system"),
        (hides_a_module, "tree", "from os import *"),
        (uses_a_banned_name, "api", "print()"),
        (uses_a_banned_name, "api", "key = hash(b'')"),
        (asks_the_host, "tree", "os.environ['HOME']"),
        (asks_the_host, "tree", "os.getenv('HOME')"),
        (asks_the_host, "tree", "from os import getpid"),
        (asks_the_host, "tree", "getattr(os, 'getuid')()"),
        (asks_the_host, "tree", "getattr(os, name)()"),
        (asks_the_host, "tree", "os.urandom(16)"),
        (asks_the_host, "tree", "os.umask(0)"),
        (asks_the_host, "tree", "os.path.expanduser('~')"),
        (asks_the_host, "tree", "sys.getfilesystemencoding()"),
        (asks_the_host, "planning.identity", "from uuid import uuid4"),
        (asks_for_a_feature, "planning.spec", "'extent' in spec.features"),
        (asks_for_a_feature, "planning.spec", "name not in layout.features"),
        (asks_for_a_feature, "emit.superblock", "'64bit' in names"),
        (asks_for_a_feature, "emit.superblock", "features.incompat & 0x80"),
        (asks_for_a_feature, "emit.superblock", "flag in features.names"),
        (asks_for_a_feature, "emit.superblock", "flag in set(spec.features)"),
        (asks_for_a_feature, "emit.superblock", "{'64bit'} <= set(spec.features)"),
        (asks_for_a_feature, "emit.superblock", "None is not wanted in spec.features"),
        (asks_for_a_feature, "emit.superblock", "any(n == '64bit' for n in spec.features)"),
        (asks_for_a_feature, "emit.superblock", "features.incompat >> 7 & 1"),
        (asks_for_a_feature, "planning.sizing", "word = features.incompat"),
        (asks_for_a_feature, "planning.sizing", "and_(fmt.features.incompat, 0x80)"),
        (asks_for_a_feature, "read.image", "superblock['s_feature_incompat'] & 0x80"),
        (asks_for_a_feature, "read.image", "image.number('s_feature_incompat') & 0x80"),
        (asks_for_a_feature, "read.image", "SUPERBLOCK.number(raw, 0, 's_feature_incompat')"),
        (asks_for_a_feature, "planning.sizing", "spec.features.__contains__(name)"),
        (asks_for_a_feature, "planning.sizing", "names.issuperset({'64bit'})"),
        (asks_for_a_feature, "planning.sizing", "set(names) - {'64bit', 'extent'}"),
        (asks_for_a_feature, "planning.sizing", "contains(spec.features, name)"),
        (asks_for_a_feature, "planning.sizing", "name in spec.features.names()"),
        (asks_for_a_feature, "planning.sizing", "getattr(spec, 'features').names()"),
        (asks_for_a_feature, "planning.sizing", "for n in names:\n    if n == '64bit': pass"),
        (asks_for_a_feature, "planning.sizing", "match name:\n    case '64bit': pass"),
        (makes_units, "planning.sizing", "INODE.packer('i_mode')"),
        (makes_units, "read.image", "SUPERBLOCK.set(data, 0, 's_magic', 0)"),
        (parses_units, "planning.sizing", "SUPERBLOCK.parse(data)"),
        (parses_units, "emit.superblock", "SUPERBLOCK.number(data, 0, 's_magic')"),
        (parses_units, "planning.sizing", "superblock.SUPERBLOCK.parse(data)"),
        (makes_units, "planning.sizing", "inode.INODE.pack(values)"),
        (renames_a_record, "planning.sizing", "from ..ondisk.inode import INODE as record"),
        (renames_a_record, "planning.sizing", "record = INODE"),
        (renames_a_record, "planning.sizing", "record = inode.INODE"),
        (renames_a_record, "planning.sizing", "pack_all(INODE)"),
        (renames_a_record, "planning.sizing", "for record in (INODE, SUPERBLOCK): pass"),
        (renames_a_record, "planning.sizing", "getattr(INODE, 'pack')"),
        (makes_units, "planning.sizing", "pack = INODE.pack"),
        (makes_units, "planning.sizing", "map(INODE.pack, rows)"),
        (makes_units, "read.image", "INODE.declaration.build(values)"),
        (parses_units, "emit.inodes", "INODE.get(data, 0, 'i_mode')"),
        (parses_units, "planning.sizing", "list(map(SUPERBLOCK.parse, copies))"),
        (turns_numbers_into_bytes, "planning.sizing", "block.to_bytes(4, 'little')"),
        (turns_numbers_into_bytes, "planning.sizing", "int.from_bytes(data, 'little')"),
    ],
)
def test_the_rule_sees_a_fault(rule: Rule, name: str, line: str) -> None:
    path = ROOT / "ext4writer" / f"{name.replace('.', '/')}.py"
    assert path.exists()
    assert list(rule(Module(name, path, ast.parse(line))))


def test_no_modules_import_each_other() -> None:
    """Not even within a package, except for names that only annotations need."""
    below: dict[str, set[str]] = {}
    for module in modules():
        typing_only = {
            id(inner)
            for block in ast.walk(module.tree)
            if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
            for inner in ast.walk(block)
        }
        below[module.name] = {
            known(name) for node, name in imports(module) if id(node) not in typing_only
        } - {module.name, ""}
    while leaves := {name for name, others in below.items() if not others & below.keys()}:
        below = {name: others for name, others in below.items() if name not in leaves}
    assert not below, f"these import each other: {sorted(below)}"


def test_public_names_exist_once() -> None:
    for package in PACKAGES:
        assert len(set(package.__all__)) == len(package.__all__)
        for name in package.__all__:
            assert hasattr(package, name), (package, name)
        assert not hasattr(package, "nonsense")
        # Late names are public, so the floors see them where type checkers do.
        [homes] = [
            cell.cell_contents
            for cell in package.__getattr__.__closure__
            if isinstance(cell.cell_contents, dict)
        ]
        assert set(homes) <= set(package.__all__)


def for_type_checkers(module: Module) -> Iterator[ast.ImportFrom]:
    """The imports of a package with late names, as type checkers see them."""
    for node in module.tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from (inner for inner in node.body if isinstance(inner, ast.ImportFrom))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_name_that_a_package_imports_is_public(package: ModuleType) -> None:
    name = package.__name__.partition(".")[2] or "__init__"
    [module] = [module for module in modules() if module.name == name]
    taken = {alias.name for node in for_type_checkers(module) for alias in node.names}
    now = {
        alias.name
        for node in module.tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert taken <= set(package.__all__) <= taken | now


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_names_that_are_loaded_late_are_what_type_checkers_see(package: ModuleType) -> None:
    name = package.__name__.partition(".")[2]
    [module] = [module for module in modules() if module.name == (name or "__init__")]
    imported = list(for_type_checkers(module))
    assert imported
    for node in imported:
        home = import_module("." * node.level + (node.module or ""), package.__name__)
        for alias in node.names:
            assert getattr(package, alias.name) is getattr(home, alias.name), alias.name


def test_importing_the_library_imports_no_command() -> None:
    script = """
import sys, ext4writer
late = "ext4writer_cli click rich zstandard sqlite3 bz2 lzma locale random tempfile".split()
print([name for name in late if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "tool",
    ["ruff check --no-cache .", "ruff format --check --no-cache .", "mypy --cache-dir=/dev/null"],
)
def test_linters_and_type_checker_find_nothing(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *tool.split()], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


# These round up for every file of a tree, where a call would cost too much.
HOT = {"arithmetic", "content", "slices", "holes", "emit.batches", "ondisk.dirhash_bulk"}


def test_rounding_up_has_one_place() -> None:
    for module in modules():
        if module.name not in HOT:
            spelled = re.findall(r"-\(-[^/\n]*//", module.path.read_text())
            assert not spelled, f"{module.name}: {spelled}; arithmetic.py has ceil_div"


PAIRS = {"content": {"FileId"}, "sources.listing": {"Entry"}}
"""Module -> names of other pairs: st_dev and st_ino of a file."""


def names_a_pair(module: Module) -> Iterator[tuple[ast.AST, str]]:
    """Find other classes or aliases for what ``spans`` declares."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and node.name in ("Span", "Run"):
            yield node, f"declares {node.name}"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            name = ast.unparse(targets[0])
            if name in ("Span", "Run") or (
                "tuple[int, int]" in ast.unparse(node.value)
                and name not in PAIRS.get(module.name, ())
            ):
                yield node, f"declares {name}"


def test_spans_and_runs_have_one_place() -> None:
    found = [(module.name, what) for module in modules() for _, what in names_a_pair(module)]
    assert sorted(found) == [("spans", "declares Run"), ("spans", "declares Span")]
    for line in ("class Span: pass", "Run = tuple[int, int]", "Ranges = list[tuple[int, int]]"):
        path = ROOT / "ext4writer/holes.py"
        assert list(names_a_pair(Module("holes", path, ast.parse(line))))


# These use a trick in a loop over all inodes, names, extents or groups, with a comment.
SPELLED_OUT = {
    "bits",
    *("ondisk.dirhash", "ondisk.dirhash_bulk", "ondisk.checksum"),
    *("ondisk.inode", "planning.directories", "damage.checksums"),
}
TRICK = re.compile(
    r"& 0xFFFF\b|& 0xFFFFFFFF\b|& MASK_32\b|\w & \(\w+ - 1\)|\.bit_length\(\) - 1|"
    r"& -\w|-\w[\w.]* % |int\.from_bytes\([^()]*\[[^\]]* : [^\]]*\], \"little\"\)|"
    r"S_IF\w+ >> 12|\(1 << (?:\w+\.)*[a-z_]\w*\) - 1|(\b\w+) // (\w+) \* \2\b"
)


def tricks(source: str) -> list[str]:
    """Tricks that ``bits`` and ``arithmetic`` have names for, without a comment that says why."""
    return [
        line.strip()
        for line in source.splitlines()
        if TRICK.search(line) and "#" not in line and '"""' not in line
    ]


def test_tricks_of_bits_have_names() -> None:
    for module in modules():
        if module.name not in SPELLED_OUT | HOT:
            found = tricks(module.path.read_text())
            assert not found, f"{module.name}: {found}; bits.py and arithmetic.py have names"
    for line in (
        "crc & 0xFFFF",
        "block & 0xFFFFFFFF",
        "size & (size - 1)",
        "size.bit_length() - 1",
        "bits & -bits",
        "-size % BLOCK",
        'int.from_bytes(data[at : at + 4], "little")',
        "S_IFREG >> 12",
        "size // unit * unit",
        "(1 << count) - 1",
    ):
        assert tricks(line), line


def errors() -> Iterator[type[Exception]]:
    """Every deliberate error of the library."""
    for module in modules():
        if any(
            isinstance(node, ast.ClassDef) and node.name.endswith("Error")
            for node in module.tree.body
        ):
            loaded = import_module(f"ext4writer.{module.name}")
            classes = [value for value in vars(loaded).values() if isinstance(value, type)]
            yield from (
                each
                for each in classes
                if issubclass(each, ext4writer.Ext4WriterError)
                and each.__module__ == loaded.__name__
            )


def test_every_public_error_is_exported_and_documented() -> None:
    page = (ROOT / "docs/library.md").read_text()
    found = set(errors())
    assert len(found) > 15
    for error in found:
        home = error.__module__.split(".")
        package = ext4writer if home[1] == "errors" else import_module(".".join(home[:2]))
        assert error.__name__ in package.__all__, error
        assert getattr(package, error.__name__) is error
        assert f"`{error.__name__}`" in page, error


ONE_PLACE = {
    "os.replace(": {"output.atomic_file"},
    "os.rename(": set(),
    "(1 << 32) - 2": {"arguments"},
    ".read_whole(memoryview(": set(),
}
"""Code that one module has for all -> that module; others call it."""


def in_other_places(module: Module, source: str) -> Iterator[str]:
    for text, places in ONE_PLACE.items():
        if text in source and module.name not in places:
            yield text


def test_code_with_one_home_is_not_repeated() -> None:
    for module in modules():
        source = module.path.read_text()
        assert not list(in_other_places(module, source)), module.name
    holes = next(module for module in modules() if module.name == "holes")
    for text in ONE_PLACE:
        assert list(in_other_places(holes, f"x = {text}")) == [text]
