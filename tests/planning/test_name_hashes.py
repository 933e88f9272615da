"""How names are hashed and compared: every hash version, and casefolded directories."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import Directory, Layout, RandomPolicy, Spec, SpecError, Tree, TreeError
from ext4writer.edit.rules import apply_rules
from ext4writer.edit.rules_flags import casefold
from ext4writer.inspection.check import check_image
from ext4writer.layout import plan_of
from ext4writer.ondisk.casefold import casefold as fold_name
from ext4writer.ondisk.htree import HASH_ALGS
from ext4writer.read import open_image
from tests.builder.command import report
from tests.builder.command import run as command
from tests.judges import debugfs
from tests.judges.fsck import judge, problems
from tests.judges.kernel import drop_caches, mounted
from tests.judges.tools import require_root

NAMES = [f"Straße {number} ñandú" if number % 3 else f"plain{number:05}" for number in range(900)]
NAMES += ["\udcff\udcfe\udc80 no UTF-8"]


def many() -> Tree:
    tree = Tree()
    tree.directory("many")
    for name in NAMES:
        tree.file(f"many/{name}", b"")
    return tree


def written(tree: Tree, image: Path, spec: Spec) -> Layout:
    layout = ext4writer.write_image(tree, image, spec)
    judge(image, "quick")
    with open_image(image) as opened:
        assert not check_image(opened).problems
    return layout


# -- hash versions ---------------------------------------------------------------------------------


@pytest.mark.judged("quick")
@pytest.mark.parametrize("hash_alg", HASH_ALGS)
def test_the_kernel_finds_every_name(hash_alg: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    written(many(), image, Spec(hash_alg=hash_alg, block_size=1024))
    said = debugfs.superblock(image)
    plain = hash_alg.removesuffix("_unsigned")
    assert said["Default directory hash"] == plain
    assert (
        said["Filesystem flags"].strip()
        == ("signed" if plain == hash_alg else "unsigned") + "_directory_hash"
    )
    shape = debugfs.htree(image, "/many")
    assert shape is not None
    assert shape.hash_version == HASH_ALGS[plain]
    with open_image(image) as opened:
        for name in NAMES:
            opened.lookup(os.fsencode(f"/many/{name}"))
    require_root()
    with mounted(image, rw=True) as point:
        drop_caches()
        for name in NAMES:
            assert (point / "many" / name).exists()
        for number in range(300):
            (point / "many" / f"új-{number}").touch()
            (point / "many" / NAMES[number]).unlink()
    judge(image, "quick")


def test_hash_algs_of_the_command(tmp_path: Path) -> None:
    image = tmp_path / "image"
    (tmp_path / "source").mkdir()
    done = command("build", tmp_path / "source", "-o", image, "--hash-alg", "TEA_unsigned")
    assert not done.returncode, done.stderr
    assert debugfs.superblock(image)["Default directory hash"] == "tea"
    shown = command("show", image, "superblock").stdout
    assert re.search(r"s_def_hash_version.*tea", shown)
    assert re.search(r"s_flags.*unsigned_directory_hash", shown)
    for word, reason in (("siphash", "needs the key of a directory"), ("md5", "not one of legacy")):
        done = command("build", tmp_path / "source", "-o", tmp_path / "no", "--hash-alg", word)
        assert done.returncode and reason in done.stderr and done.stderr.count("\n") == 1


def test_a_default_is_not_part_of_the_identity() -> None:
    uuids = {
        spec: ext4writer.plan(many(), spec).uuid
        for spec in (Spec(), Spec(hash_alg="half_md4"), Spec(hash_alg="tea"), Spec(encoding="utf8"))
    }
    assert uuids[Spec()] == uuids[Spec(hash_alg="HALF_MD4")] != uuids[Spec(hash_alg="tea")]
    assert uuids[Spec(encoding="utf8")] == ext4writer.plan(many(), Spec(features="casefold")).uuid


@pytest.mark.judged("quick")
@pytest.mark.parametrize("features", ["^dir_index", "^filetype", "^filetype,^dir_index,casefold"])
def test_directories_without_types_or_an_index(features: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    written(many(), image, Spec(features=features))
    found = debugfs.htree(image, "/many")
    assert (found is None) is ("^dir_index" in features)
    with open_image(image) as opened:
        kinds = {entry.file_type for entry in opened.entries(opened.lookup("/many"))}
    assert kinds == ({0} if "^filetype" in features else {1, 2})
    if "casefold" in features:
        return
    require_root()
    with mounted(image, rw=True) as point:
        drop_caches()
        assert sorted(os.listdir(point / "many")) == sorted(NAMES)
        (point / "many" / "plain00000").rename(point / "many" / "renamed")
        (point / "many" / "dir").mkdir()
    judge(image, "quick")


# -- directories that ignore case ------------------------------------------------------------------


def folding(names: list[str | bytes], flags: str = "casefold") -> Tree:
    tree = Tree()
    tree.directory("fold", flags=flags)
    for name in names:
        tree.file(b"fold/" + (name if isinstance(name, bytes) else name.encode()), b"")
    return tree


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("README", "readme"),
        ("Straße", "STRASSE"),
        ("\u00e9", "e\u0301"),
        ("ﬁle", "FILE"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\u03a3", "\u03c2"),
    ],
)
def test_two_names_that_fold_alike_are_refused_by_path(one: str, other: str) -> None:
    names: list[str | bytes] = [one, other, *(f"other{number}" for number in range(200))]
    spec = Spec(features="casefold")
    with pytest.raises(TreeError, match="^/fold/.* are the same name in their directory"):
        ext4writer.plan(folding(names), spec)
    ext4writer.plan(folding(names, flags="none"), spec)


def test_names_that_are_not_valid_are_refused_where_the_encoding_is_strict(tmp_path: Path) -> None:
    tree = folding([b"\xff\xfe", "ok"])
    with pytest.raises(TreeError, match=r"^/fold/\\xff\\xfe.*: is not valid UTF-8.*strict"):
        ext4writer.plan(tree, Spec(encoding="utf8", encoding_flags="strict"))
    image = tmp_path / "image"
    written(tree, image, Spec(encoding="utf8"))
    tree = folding(["ok"])
    tree.file(b"\xff\xfe", b"outside of it")
    layout = written(tree, tmp_path / "strict", Spec(encoding="utf8", encoding_flags="strict"))
    assert "casefold" in layout.features
    shown = command("show", tmp_path / "strict", "superblock").stdout
    assert re.search(r"s_encoding +\S+ +.*utf8-12.1", shown) and "strict" in shown
    facts = report("info", tmp_path / "strict", "--json")
    assert facts["encoding"] == "utf8-12.1, strict" and facts["hash_characters"] == "signed"


def test_contradictory_casefold_options_are_refused() -> None:
    with pytest.raises(TreeError, match="^/fold: the inode flag casefold needs the feature"):
        ext4writer.plan(folding([]))
    with pytest.raises(SpecError, match="encoding_flags: needs the feature casefold"):
        Spec(encoding_flags="strict")
    for wrong in ({"encoding": "latin1"}, {"encoding": "utf8", "encoding_flags": "loose"}):
        with pytest.raises(SpecError, match="is neither"):
            Spec(**wrong)  # type: ignore[arg-type]
    assert Spec(encoding="utf8").encoding == "utf8-12.1"
    assert Spec(features="casefold", encoding_flags="nostrict") == Spec(features="casefold")


@pytest.mark.judged("quick")
def test_subdirectories_ignore_case_too_if_a_rule_says_so(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("Media/Photos/Old", "media2", "Exact/Sub"):
        (source / folder).mkdir(parents=True)
    (source / "Media/Photos/Old/Ünï.JPG").write_bytes(b"photo")
    image = tmp_path / "image"
    done = command(
        *("build", source, "-o", image, "--casefold", "Media", "--encoding-flags", "strict"),
        *("--set", "Exact: flags=+casefold", "--strict"),
    )
    assert not done.returncode, done.stderr
    judge(image, "quick")
    assert not report("check", image, "--json")["problems"]
    with open_image(image) as opened:
        found = opened.open("/Media/photos/OLD/üNÏ.jpg").read()
        flagged = {each.path for each in opened.walk() if "CASEFOLD" in each.inode.flag_names}
    assert found == b"photo"
    assert flagged == {b"/Media", b"/Media/Photos", b"/Media/Photos/Old", b"/Exact"}
    # A setting of one source adds the feature, too.
    assert "casefold" in report("plan", f"{source},casefold=Exact", "--json")["features"]
    # A tree read from an image has the flags, too.
    again = tmp_path / "again"
    done = command("build", image, "-o", again)
    assert done.returncode and "/Exact: the inode flag casefold needs" in done.stderr
    done = command("build", image, "-o", again, "-O", "casefold")
    assert not done.returncode, done.stderr
    done = command("build", source, "-o", tmp_path / "no", "--casefold", "nothing", "--strict")
    assert "--casefold 'nothing' matched nothing" in done.stderr


def test_the_rule_reaches_the_root_and_all_below() -> None:
    tree = Tree()
    tree.directory("a/b/c", parents=True)
    apply_rules(tree, [casefold("/")])
    assert all(node.flags for _, node in tree.walk() if isinstance(node, Directory))
    with pytest.raises(SpecError, match="casefold: the pattern .* is empty"):
        casefold("")


@pytest.mark.damaged
def test_the_check_is_as_strict_as_e2fsck(tmp_path: Path) -> None:
    """Names that fold alike, written as if the directory were case-sensitive."""
    for flags in ("", "strict"):
        image = tmp_path / f"image{flags}"
        tree = folding(["Name", "name", b"\xff"], flags="none")
        spec = Spec(encoding="utf8", encoding_flags=flags)
        override = ext4writer.Override.parse("inode[/fold].i_flags=0x40080000")
        ext4writer.write_image(tree, image, spec, overrides=[override])
        with open_image(image) as opened:
            result = check_image(opened)
        codes = {problem.code for problem in result.problems}
        assert result.is_clean is (not problems(image)) is (not flags)
        assert "PR_2_NON_UNIQUE_FILE" in codes
        assert ("PR_2_BAD_ENCODED_NAME" in codes) is bool(flags)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40),
        max_size=150,
    ),
    st.sampled_from(sorted(HASH_ALGS)),
    st.integers(0, 3),
)
@pytest.mark.judged("quick")
def test_any_names(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], hash_alg: str, seed: int
) -> None:
    """e2fsck, with its own Unicode tables, confirms the order of the names that we accept."""
    tree = Tree()
    tree.directory("fold", flags="casefold")
    kept = {
        fold_name(name.encode()): name
        for name in names
        if len(name.encode()) <= 200 and name not in (".", "..")
    }
    for name in kept.values():
        tree.file(f"fold/{name}", b"")
    policy = RandomPolicy(seed) if seed else None
    spec = Spec(features="casefold", hash_alg=hash_alg, block_size=1024, policy=policy)
    image = tmp_path_factory.mktemp("fold") / "image"
    layout = written(tree, image, spec)
    assert plan_of(layout).table.entries["file"] == len(kept)
    with open_image(image) as opened:
        for name in kept.values():
            opened.lookup(f"/fold/{name}")
