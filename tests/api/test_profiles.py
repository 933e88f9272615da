"""The readers that a profile promises can read it, and it refuses what they cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ext4writer import DEFAULT_FEATURES, FeatureSet, Spec, SpecError, plan
from ext4writer.inspection.check import check_image
from ext4writer.ondisk.features import FEATURES
from ext4writer.planning.profiles import PROFILES, READERS, REFUSED_BY, TRAITS
from ext4writer.read import open_image
from tests.builder.command import assert_one_line, run
from tests.judges import debugfs
from tests.judges.foreign import assert_listing_equal, directory_listing, tree_listing
from tests.judges.fsck import judge
from tests.judges.kernel import mounted
from tests.makers import compatibility_update
from tests.makers.compatibility_update import (
    NO,
    WRONG,
    YES,
    Row,
    assert_has_features,
    feature_rows,
    measured,
    other_rows,
    pinned,
    policy_rows,
    profile_rows,
    sample,
    write,
)

WRITTEN = [row.name for row in FEATURES if row.support == "write"]


@pytest.mark.qemu
@pytest.mark.judged("quick")
def test_every_reader_of_a_profile_reads_it(tmp_path: Path) -> None:
    """All images are judged by e2fsck, as in any test, and by our own check."""
    table = measured(profile_rows(), tmp_path)
    for name, profile in PROFILES.items():
        cells = table[f"`{name}`"]
        assert {reader: cells[reader] for reader in profile.readers} == dict.fromkeys(
            profile.readers, YES
        ), name
    for image in tmp_path.iterdir():
        with open_image(image) as opened:
            assert check_image(opened).is_clean


@pytest.mark.judged("full")
@pytest.mark.parametrize("kind", ["ext2", "ext3"])
def test_linux_mounts_these_profiles_by_their_names(tmp_path: Path, kind: str) -> None:
    spec = Spec.of_profile(kind, free=10 << 20)
    image = tmp_path / "image"
    tree = write(Row(kind, spec), image)
    # The kernel reports that it mounts ext2 with its driver for ext4
    with mounted(image, rw=True, kind=kind, quiet=False) as point:
        assert_listing_equal(directory_listing(point), tree_listing(tree, spec))
        (point / "new").write_bytes(bytes(100_000))
    judge(image, "quick")


def test_the_page_is_true(tmp_path: Path) -> None:
    """This checks some cells, for readers that need no other machine."""
    rows = {row.name: row for row in [*feature_rows(), *other_rows()]}
    chosen = ["`inline_data`", "`bigalloc`", "`meta_bg`", "`quota`", "blocks of 65536"]
    readers = ("GRUB", "debugfs", "7zz", "dissect.extfs")
    found = measured([rows[name] for name in chosen], tmp_path, readers)
    page = pinned()
    for name in chosen:
        assert found[name] == {reader: page[name][reader] for reader in readers}, name


@pytest.mark.judged("quick")
def test_each_image_has_what_its_row_names(tmp_path: Path) -> None:
    """An image that is too small for a journal has no ``fast_commit``."""
    image = tmp_path / "image"
    for row in feature_rows():
        write(row, image)
        assert_has_features(image, row)
        assert row.name.strip("`") in debugfs.superblock(image)["Filesystem features"].split()
        image.unlink()


def test_the_page_has_every_row() -> None:
    page = pinned()
    names = [*(f"`{name}`" for name in WRITTEN), *(row.name for row in other_rows())]
    names += [row.name for row in policy_rows()]
    assert list(page) == [*names, *(f"`{name}`" for name in PROFILES if f"`{name}`" not in names)]
    assert compatibility_update.PAGE.read_text() == compatibility_update.page(page)


def refused_by(spec: Spec) -> set[str]:
    """The readers that cannot read an image of ``spec``, by the tables of profiles."""
    features = spec.features.names()
    found = {reader for name in features for reader in REFUSED_BY.get(name, ())}
    return found | {reader for trait in TRAITS if trait.is_in(spec) for reader in trait.refused_by}


def test_profiles_refuse_what_their_readers_cannot_read() -> None:
    page = pinned()
    rows = [*feature_rows(), *other_rows(), *policy_rows()]
    for row in rows:
        unable = {reader for reader in READERS if page[row.name][reader] in (NO, WRONG)}
        assert unable == refused_by(row.spec), row.name
    for name in REFUSED_BY:
        assert any(name in row.spec.features.names() for row in rows)
    for trait in TRAITS:
        assert any(trait.is_in(row.spec) for row in rows), trait.words


def with_needs(name: str) -> str:
    row = next(each for each in FEATURES if each.name == name)
    against = {*row.conflicts, *(each.name for each in FEATURES if name in each.conflicts)}
    return ",".join([*(f"^{each}" for each in sorted(against)), *row.needs, name])


@pytest.mark.parametrize("profile", PROFILES)
def test_refusals_name_profile_feature_and_reader(profile: str) -> None:
    promised = PROFILES[profile].readers
    tried = 0
    for name in WRITTEN:
        unable = [reader for reader in REFUSED_BY.get(name, ()) if reader in promised]
        if unable and name not in PROFILES[profile].refuses:
            with pytest.raises(SpecError) as caught:
                Spec.of_profile(profile, features=with_needs(name))
            told = str(caught.value)
            assert f"the profile {profile} refuses" in told, told
            tried += 1
    assert tried or profile in ("android", "ext2", "ext3")
    for name in PROFILES[profile].refuses:
        if name in WRITTEN:
            with pytest.raises(SpecError, match=f"the profile {profile} "):
                Spec.of_profile(profile, features=with_needs(name))


@pytest.mark.parametrize(
    ("profile", "options", "words"),
    [
        ("boot", {"features": "inline_data"}, ("features", "boot", "inline_data", "GRUB")),
        ("boot", {"features": "metadata_csum,metadata_csum_seed"}, ("features", "boot", "GRUB")),
        ("boot", {"leading_hole": True}, ("leading_hole", "boot", "GRUB")),
        ("boot", {"encoding": "utf8"}, ("encoding", "boot", "casefold", "GRUB")),
        ("ext2", {"features": "has_journal"}, ("features", "ext2", "has_journal", "ext3")),
        ("ext2", {"type": "ext4"}, ("type", "ext2", "ext4")),
        ("ext3", {"features": "^has_journal"}, ("features", "ext3", "has_journal")),
        ("ext3", {"journal": "none"}, ("journal", "ext3", "has_journal")),
        ("ext3", {"features": "extent"}, ("features", "ext3", "extent")),
        ("readonly", {"journal": "8M"}, ("journal", "readonly")),
        ("readonly", {"features": "orphan_file"}, ("features", "profile readonly", "orphan_file")),
        ("readonly", {"features": 5}, ("features", "5")),
        ("readonly", {"features": "^read-only"}, ("features", "readonly", "read-only")),
        ("default", {"features": "bigalloc"}, ("features", "default", "bigalloc", "7zz")),
        ("default", {"features": "fast_commit"}, ("features", "fast_commit", "libfsext")),
        ("default", {"desc_size": 128}, ("desc_size", "default", "64 bytes", "7zz", "libfsext")),
        ("default", {"inode_size": 2048}, ("inode_size", "default", "2048", "libfsext")),
        ("default", {"blocks_per_group": 256}, ("blocks_per_group", "meta_bg", "U-Boot")),
        ("default", {"groups_per_flex": 1 << 16}, ("groups_per_flex", "65536", "libfsext")),
        ("default", {"policy": "block-maps"}, ("policy", "default", "ext4")),
        ("android", {"policy": "fast-commit"}, ("policy", "journal", "fuse2fs", "debugfs")),
        ("android", {"policy": "random-features:1"}, ("policy", "android", "features")),
        ("minimal", {"block_size": 65536}, ("block_size", "minimal", "metadata_csum", "7zz")),
        ("boot", {"features": "bigalloc", "block_size": 1024}, ("block_size", "bigalloc", "GRUB")),
        ("floppy", {}, ("profile", "floppy", "minimal")),
    ],
)
def test_contradictions_are_refused_with_both_names(
    profile: str, options: dict[str, object], words: tuple[str, ...]
) -> None:
    with pytest.raises(SpecError) as caught:
        Spec.of_profile(profile, **options)
    assert caught.value.option == words[0]
    for word in words:
        assert word in str(caught.value)


def test_errors_unrelated_to_the_profile_do_not_name_it() -> None:
    with pytest.raises(SpecError) as caught:
        Spec.of_profile("minimal", label="l" * 17)
    assert "profile" not in str(caught.value)
    assert caught.value.option == "label"


def test_a_profile_is_nothing_but_its_options() -> None:
    assert Spec.of_profile("default") == Spec()
    assert Spec.of_profile("ext2") == Spec(type="ext2")
    assert Spec.of_profile("ext3", label="x") == Spec(type="ext3", label="x")
    boot = DEFAULT_FEATURES.without("metadata_csum", "64bit")
    assert Spec.of_profile("boot", features="^huge_file").features == boot.without("huge_file")
    given = FeatureSet.of("extent", "filetype", "read-only")
    assert Spec.of_profile("readonly", features=given).features == given
    minimal = Spec.of_profile("minimal", block_size=4096, free="1M", inodes=99)
    assert (minimal.block_size, minimal.free, minimal.inodes) == (4096, 1 << 20, 99)
    sizes = [
        plan(sample(), Spec.of_profile(name)).size_bytes for name in ("minimal", "readonly", "boot")
    ]
    assert sizes == sorted(sizes)


def test_the_command_has_profiles(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"x")
    for profile in PROFILES:
        image = tmp_path / profile
        assert run("build", source, "-o", image, "--profile", profile).returncode == 0
        with open_image(image) as opened:
            assert opened.format.features == Spec.of_profile(profile).features
    policy = f"/none={'0123456789abcdef' * 2}"
    told = run("build", "-o", tmp_path / "x", "--profile", "default", "--encrypt-policy", policy)
    assert "--encrypt-policy: the profile default refuses encrypt" in told.stderr
    chosen = tmp_path / "chosen"
    run("build", source, "-o", chosen, "--profile", "minimal", "-b", "4096", "-O", "64bit")
    with open_image(chosen) as opened:
        assert opened.block_size == 4096
        assert opened.format.features == PROFILES["minimal"].features.with_("64bit")
    done = run("build", source, "-o", tmp_path / "no", "--profile", "ext2", "--type", "ext4")
    assert_one_line(done, 2, "--type", "ext4", "ext2")
    done = run("plan", source, "--profile", "boot", "-O", "inline_data")
    assert_one_line(done, 2, "--features", "boot", "inline_data", "GRUB")
    done = run("plan", source, "--profile", "boot", "--encoding", "utf8")
    assert_one_line(done, 2, "--encoding", "boot", "casefold")
