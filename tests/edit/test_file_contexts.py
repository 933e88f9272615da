"""SELinux labels by path equal the answers of libselinux for the same files."""

from __future__ import annotations

import os
import random
import re
import time
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import Directory, Loss, SourceError, SpecError, Symlink, Tree
from ext4writer.edit.selinux.file_contexts import KINDS, FileContexts
from ext4writer.edit.selinux.pcre import translate
from ext4writer.tree import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK
from tests.builder import command
from tests.judges.tools import run

WORDS = {
    S_IFREG: "file",
    S_IFDIR: "dir",
    S_IFLNK: "link",
    S_IFBLK: "block",
    S_IFCHR: "char",
    S_IFSOCK: "sock",
    S_IFIFO: "pipe",
}
"""The names of file kinds for matchpathcon -m."""

LABEL = b"system_u:object_r:%b_t:s0"


def judged(path: Path, asked: list[tuple[bytes, int]]) -> list[bytes | None]:
    """The answers of libselinux, from one process for each file kind and thousand paths."""
    by_kind: dict[int, list[int]] = defaultdict(list)
    for number, (_, kind) in enumerate(asked):
        by_kind[kind].append(number)
    answers: list[bytes | None] = [None] * len(asked)
    for kind, numbers in by_kind.items():
        for start in range(0, len(numbers), 1000):
            part = numbers[start : start + 1000]
            names = [asked[number][0] for number in part]
            done = run(["matchpathcon", "-n", "-N", "-f", path, "-m", WORDS[kind], *names])
            lines = done.stdout.splitlines()
            assert len(lines) == len(part), done.stdout[:300]
            for number, line in zip(part, lines, strict=True):
                answers[number] = None if line == "<<none>>" else line.encode()
    return answers


def compare(path: Path, asked: list[tuple[bytes, int]]) -> int:
    """Assert that we and libselinux agree on all; return how many have a label."""
    ours = FileContexts.load(path)
    labels = 0
    for (name, kind), expected in zip(asked, judged(path, asked), strict=True):
        found = ours.lookup(name, kind)
        assert found == expected, (name, WORDS[kind])
        labels += found is not None
    return labels


COMPONENTS = ["a", "b", "ab", "lib", "lib64", "x.y", "x-y", "Z_9", ".hid", "+"]
PIECES = [
    *(
        "a",
        "b",
        "ab",
        "lib",
        "lib(64)?",
        r"x\.y",
        r"x\-y",
        "Z_9",
        r"\.hid",
        r"\+",
        "[^/]*",
        "[^/]+",
    ),
    *(".*", ".+", "[ab]", "[a-c]+", "(a|b)", "(a|b)?", "a?b", "ab*", "(x.y|lib)", "[[:alpha:]]+"),
    *(r"\w+", "[^a]", "a{1,2}b?", "(?:ab|Z_9)", "[.]hid", "[]x]", "x[.-]y", r"[\w.]+"),
]
TAILS = ["", "(/.*)?", "/.*", "/?", "(/[^/]*)?", "/[^/]+", "(/a)?(/b)?"]


def random_contexts(rng: random.Random, count: int) -> bytes:
    lines = [b"# random"]
    for number in range(count):
        pieces = [rng.choice(PIECES) for _ in range(rng.randrange(1, 4))]
        # libselinux 3.4 compares such a first component including its backslash; later ones do not.
        pieces[0] = pieces[0].replace(r"x\-y", "x-y")
        if rng.random() < 0.4:
            pieces = [rng.choice(COMPONENTS[:4]) for _ in pieces]
        pattern = "/" + "/".join(pieces) + rng.choice(TAILS)
        if rng.random() < 0.05:
            pattern += "|/" + rng.choice(PIECES)
        kind = rng.choice([b"", b"", *KINDS])
        label = b"<<none>>" if rng.random() < 0.1 else LABEL % (b"t%d" % number)
        lines.append(b"\t".join([pattern.encode(), *([kind] if kind else []), label]))
    return b"\n".join([*lines, b""])


def random_paths(rng: random.Random, count: int) -> list[tuple[bytes, int]]:
    found = []
    for _ in range(count):
        path = "/" + "/".join(rng.choice(COMPONENTS) for _ in range(rng.randrange(1, 5)))
        found.append((path.encode(), rng.choice(list(WORDS))))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_random_contexts_over_random_paths(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = tmp_path / "file_contexts"
    path.write_bytes(random_contexts(rng, 120))
    assert compare(path, random_paths(rng, 1500)) > 300


def test_the_additional_files_of_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "file_contexts"
    label = "system_u:object_r:%s_t:s0"
    path.write_text(f"/usr/lib/.*\t{label % 'lib'}\n/a/.*\t{label % 'a'}\n/h/.*\t{label % 'h'}\n")
    (tmp_path / "file_contexts.homedirs").write_text(f"/h/[^/]+/x\t{label % 'home'}\n")
    (tmp_path / "file_contexts.local").write_text(f"/h/u/x\t--\t{label % 'local'}\n")
    (tmp_path / "file_contexts.subs_dist").write_text(
        "# x\n/lib /usr/lib\n/lib/special /a\n/rescue /\n\n/lone\n"
    )
    (tmp_path / "file_contexts.subs").write_text("/mine /lib\n")
    names = [
        *(b"/usr/lib/x", b"/lib/x", b"/lib", b"/libx/y", b"/lib/special/q", b"/lib/specialq/q"),
        *(
            b"/mine/x",
            b"/mine/special/x",
            b"/rescue/a/b",
            b"/rescue",
            b"/h/u/x",
            b"/h/v/x",
            b"/a/x",
        ),
        b"/h/u/y",
    ]
    asked = [(name, kind) for name in names for kind in (S_IFREG, S_IFDIR)]
    assert compare(path, asked) > 15


def test_apply_labels_a_tree(tmp_path: Path) -> None:
    text = (
        b"/.*\tsystem_u:object_r:default_t:s0\n/\tsystem_u:object_r:root_t:s0\n"
        b"/etc/.*\t--\tsystem_u:object_r:etc_t:s0\n/tmp/.*\t<<none>>\n"
    )
    tree = Tree()
    tree.directory("/etc")
    tree.file("/etc/f", b"", xattrs={b"user.a": b"1", b"security.selinux": b"old\0"})
    tree.symlink("/etc/l", "f")
    tree.directory("/tmp")
    tree.file("/tmp/f", b"", xattrs={b"security.selinux": b"kept\0"})
    tree.link("/tmp/g", "/etc/f")
    tree.link("/z", "/etc/f")
    FileContexts([(text, "contexts")]).apply(tree)
    found = {path: (node.xattrs or {}).get(b"security.selinux") for path, node in tree.walk()}
    default = b"system_u:object_r:default_t:s0\0"
    assert found[b"/"] == b"system_u:object_r:root_t:s0\0"
    assert found[b"/etc"] == found[b"/etc/l"] == found[b"/tmp"] == default
    assert found[b"/tmp/f"] == b"kept\0"
    # The first name in the walk decides, not the first in the order of creation.
    assert found[b"/z"] == default
    assert tree["/z"].xattrs is not None and tree["/z"].xattrs[b"user.a"] == b"1"
    assert [loss.path for loss in tree.losses] == [b"/etc/f"]
    assert "has the label of b'/z'" in tree.losses[0].what


@pytest.mark.parametrize("mount_point", ["/", "/vendor", "/a/b/", b"//usr//lib64"])
def test_a_tree_that_is_mounted_below_the_root(mount_point: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "file_contexts"
    where = os.path.normpath(os.fsencode(mount_point).replace(b"//", b"/"))
    first = where.decode().split("/")[1] or "a"
    lines = [b"/.*\t" + LABEL % b"other", f"/{first}\t".encode() + LABEL % b"exact"]
    lines += [f"/{first}(/.*)?\t".encode() + LABEL % b"below", b"/[^/]+/b/a\t-d\t" + LABEL % b"dir"]
    path.write_bytes(b"\n".join(lines) + b"\n" + random_contexts(random.Random(1), 40))
    (tmp_path / "file_contexts.subs").write_text("/usr/lib64 /a/b\n")
    tree = Tree()
    tree.directory("/a/b/ab", parents=True)
    tree.file("/b", b"")
    tree.symlink("/a/lib", "x")
    FileContexts.load(path, mount_point=mount_point).apply(tree)
    asked = [
        (where if name == b"/" else where.rstrip(b"/") + name, node.file_type)
        for name, node in tree.walk()
    ]
    expected = [None if label is None else label + b"\0" for label in judged(path, asked)]
    found = [(node.xattrs or {}).get(b"security.selinux") for _, node in tree.walk()]
    assert found == expected


@pytest.mark.parametrize("wrong", ["", "vendor", "/a/../b", "/./a", b"/a\0"])
def test_an_invalid_mount_point_is_refused(wrong: str | bytes) -> None:
    with pytest.raises(SpecError, match="mount_point: .* is not an absolute path"):
        FileContexts([(b"/.* label\n", "file")], mount_point=wrong)


def test_the_command_passes_the_mount_point(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    contexts = tmp_path / "contexts"
    contexts.write_text("/.* other\n/vendor(/.*)? vendor\n")
    image = tmp_path / "a.img"
    options = ["--file-contexts", contexts, "-o", image]
    done = command.run("build", tmp_path / "etc", "--mount-point", "/vendor", *options)
    assert done.returncode == 0, done.stderr
    labels = run(["debugfs", "-R", "ea_get / security.selinux", image]).stdout
    assert b"vendor\0".hex(" ") in labels
    for wrong, status in (
        (["--mount-point", "/a"], "is for the labels"),
        (["--mount-point", "/a", "--mount-point", "/b", *options], "one mount point"),
        (["--mount-point", "a", *options], "--mount-point: 'a' is not an absolute path"),
    ):
        done = command.run("build", tmp_path / "etc", *wrong, "-o", tmp_path / "b.img")
        command.assert_one_line(done, 2, status)


def test_contexts_that_match_nothing_are_reported() -> None:
    tree = Tree()
    FileContexts([(b"/nowhere/x\tlabel\n", "contexts")]).apply(tree)
    assert tree.losses == [Loss(b"/", "the file contexts of contexts matched nothing")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/a", "it is not PATTERN"),
        ("/a -x label", "is not one of the types --, -d"),
        ("/\u00e9 label", "not ASCII"),
        ("/a( label", "a parenthesis is not closed"),
        (f"/{'(' * 101}a{')' * 101} label", "more than 100 groups are nested"),
        (f"/{'(?=' * 1200} label", "more than 100 groups are nested"),
        ("/a) label", "is closed but was not opened"),
        ("/a[ label", "a set is not closed"),
        ("/[z-a] label", "it is wrong"),
        ("/a\\ label", "it ends with a backslash"),
        ("/*+* label", "nothing to repeat"),
        ("+ label", "nothing to repeat"),
        ("/a(*VERB) label", "is not supported"),
        ("/a(?R) label", "is not supported"),
        ("/a(?i)b label", "is not supported"),
        ("/(?<n>a) label", "is not supported"),
        ("/\\Q.\\E label", "\\Q is not supported"),
        ("/\\p{L} label", "\\p is not supported"),
        ("/(a)\\1 label", "\\1 is not supported"),
        ("/a{,3} label", "is not supported"),
        ("/[[.a.]] label", "is not supported"),
        ("/[[:nope:]] label", "is not supported"),
        ("/(?<=a+)b label", "it is wrong"),
        ("/a{3,2} label", "it is wrong"),
        ("/" + "a" * 4096 + " label", "longer than 4095 bytes"),
    ],
)
def test_errors_name_the_line(line: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "contexts"
    path.write_text("# x\n" + line + "\n")
    with pytest.raises(SourceError) as caught:
        FileContexts.load(path)
    assert f"{path}: line 2: " in str(caught.value)
    assert problem in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        FileContexts.load(tmp_path / "none")


EXPRESSIONS = st.text(alphabet=list("/ab.*+?()[]{}|^$\\-:dw1,x!=<>"), min_size=1, max_size=14)


@settings(max_examples=500, deadline=None)
@given(text=st.one_of(st.binary(max_size=80), EXPRESSIONS.map(lambda e: f"/{e} label".encode())))
def test_any_text_is_contexts_or_an_error(text: bytes) -> None:
    tree = Tree()
    tree.file("/ab", b"")
    tree.directory("/a")
    tree.file("/a/b", b"")
    try:
        FileContexts([(text, "contexts")]).apply(tree)
    except ext4writer.Ext4WriterError as error:
        assert "contexts: line " in str(error)


@settings(max_examples=200, deadline=None)
@given(text=EXPRESSIONS)
def test_the_literal_prefix_of_an_expression_starts_its_matches(text: str) -> None:
    try:
        found = translate(text)
    except ValueError:
        return
    try:
        compiled = re.compile(found.expression)
    except re.error as error:
        raise AssertionError(f"{text!r} became {found.expression!r}: {error}") from error
    for subject in ("/a", "/ab", "/a/b", "a", "b", "/", "ab", "aa", "/aa", "-", ""):
        if compiled.fullmatch(subject) and not found.alternatives:
            assert subject.startswith(found.prefix)
            assert not found.literal or subject == found.prefix


@pytest.mark.slow
def test_thousands_of_contexts_over_many_entries() -> None:
    """With a policy's size, 5,000 contexts and 30,000 entries, this costs at most a few scans."""
    lines = []
    for number in range(5000):
        folder = f"/usr/d{number % 100}"
        form = ("/f%d", "/f%d(/.*)?", "/x%d[^/]*", "/(.*/)?g%d")[number % 4] % number
        lines.append(f"{folder}{form}\t--\tsystem_u:object_r:t{number}_t:s0")
    lines.append("/.*\tsystem_u:object_r:default_t:s0")
    contexts = FileContexts([("\n".join(lines).encode(), "contexts")])
    tree = Tree()
    usr = tree.directory("/usr")
    for number in range(100):
        folder = usr.children[b"d%d" % number] = Directory()
        assert isinstance(folder, Directory)
        for name in range(300):
            folder.children[b"f%d" % (name * 100 + number)] = Symlink(b"x")
    contexts.apply(tree)
    began = time.process_time()
    contexts.apply(tree)
    assert time.process_time() - began < 6
    assert contexts.lookup(b"/usr/d0/f0", S_IFREG) == b"system_u:object_r:t0_t:s0"


def test_a_deep_tree_takes_linear_time() -> None:
    """Every prefix of every path was once looked up, which is cubic in the depth."""
    tree = Tree()
    folder = tree.root
    for _ in range(10_000):
        below = Directory()
        folder.children[b"a"] = below
        folder = below
    contexts = FileContexts([(b"/.* root\n/a/a/a(/.*)? low\n/x/y/z/.* none\n", "file")])
    began = time.monotonic()
    contexts.apply(tree)
    assert time.monotonic() - began < 60
    assert tree["/a/a"].xattrs == {b"security.selinux": b"root\0"}
    assert folder.xattrs == {b"security.selinux": b"low\0"}
