"""What a SOURCE may be, and how several of them are combined."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest

import ext4writer
from ext4writer import Directory, sources
from ext4writer.edit import filters
from ext4writer_cli.source_arguments import NO_PREFIX, SourceArgument, parse_source
from tests.builder.command import assert_one_line, assert_untouched, report, run
from tests.judges import fsck
from tests.judges.debugfs import inode
from tests.makers.containers import Entry, docker_archive, layer_tar


@pytest.mark.parametrize(
    ("text", "kind", "place", "reference", "target"),
    [
        ("rootfs", NO_PREFIX, "rootfs", None, b"/"),
        ("rootfs::/", NO_PREFIX, "rootfs", None, b"/"),
        ("rootfs::/opt//app/", NO_PREFIX, "rootfs", None, b"/opt/app"),
        ("a::b", NO_PREFIX, "a::b", None, b"/"),
        ("a::/b::/c", NO_PREFIX, "a::/b", None, b"/c"),
        ("./oci:x", NO_PREFIX, "./oci:x", None, b"/"),
        ("C:x", NO_PREFIX, "C:x", None, b"/"),
        ("-", NO_PREFIX, "-", None, b"/"),
        ("-::/srv", NO_PREFIX, "-", None, b"/srv"),
        ("oci:layout", "oci", "layout", None, b"/"),
        ("oci:layout:latest", "oci", "layout", "latest", b"/"),
        ("oci:layout:host:5000/name:1.0::/srv", "oci", "layout", "host:5000/name:1.0", b"/srv"),
        ("oci:layout:sha256:abc", "oci", "layout", "sha256:abc", b"/"),
        ("docker-archive:saved.tar", "docker-archive", "saved.tar", None, b"/"),
        ("docker-archive:a/b.tar:name:tag", "docker-archive", "a/b.tar", "name:tag", b"/"),
        ("\udcff::/\udcfe", NO_PREFIX, "\udcff", None, b"/\xfe"),
    ],
)
def test_the_grammar(
    text: str, kind: str, place: str, reference: str | None, target: bytes
) -> None:
    assert parse_source(text) == SourceArgument(text, kind, place, reference, target)


@pytest.mark.parametrize(
    "text", ["", "::/srv", "oci:", "oci::latest", "oci:x:", "a::/../b", "a::/./b", "oci:::/x"]
)
def test_invalid_sources_are_refused(text: str, out: Path) -> None:
    with pytest.raises(ValueError, match="path|name|folder"):
        parse_source(text)
    assert_one_line(run("build", text, "-o", out / "a.img"), 2, "SOURCE")
    assert_untouched(out)


def test_no_source_is_an_empty_file_system(out: Path) -> None:
    facts = report("build", "-o", out / "a.img")
    assert (facts["entries"]["directory"], facts["entries"]["file"]) == (2, 0)
    assert facts["sources"] == []
    fsck.assert_clean(out / "a.img")


def test_later_sources_overlay_earlier_ones(source: Path, tmp_path: Path, out: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "etc").mkdir(parents=True, mode=0o750)
    (upper / "etc" / "hosts").write_text("another\n")
    (upper / "link").mkdir()
    os.utime(upper, (1_800_000_000, 1_800_000_000))
    arguments = [source, f"{upper}", f"{source}::/a/b", f"{upper}/etc::/etc/more"]
    facts = report("build", *arguments, "-o", out / "a.img")
    assert [(one["source"], one["kind"], one["target"]) for one in facts["sources"]] == [
        (str(source), "directory", "/"),
        (str(upper), "directory", "/"),
        (str(source), "directory", "/a/b"),
        (f"{upper}/etc", "directory", "/etc/more"),
    ]
    tree = sources.directory(source).overlay(sources.directory(upper))
    tree.overlay(sources.directory(source), "/a/b")
    tree.overlay(sources.directory(upper / "etc"), "/etc/more")
    ext4writer.write_image(tree, out / "b.img")
    assert (out / "a.img").read_bytes() == (out / "b.img").read_bytes()


def test_a_source_alone_in_a_folder(source: Path, out: Path) -> None:
    """Its parents have owner 0:0, mode 755 and time 0, on every host and at any time."""
    run("build", f"{source}::/srv/data", "-o", out / "a.img", "--owner", "0:0")
    tree = ext4writer.Tree()
    tree.directory("/srv")
    tree.overlay(filters.set_owner(sources.directory(source), 0, 0), "/srv/data")
    ext4writer.write_image(tree, out / "b.img")
    assert (out / "a.img").read_bytes() == (out / "b.img").read_bytes()


def test_the_report_names_the_sources(source: Path) -> None:
    done = run("plan", source, f"{source}::/again")
    assert f"\nSources\n  directory  {source}\n  directory  {source} at /again\n" in done.stdout


def test_patterns_go_from_the_root_of_each_source(source: Path) -> None:
    entries = report("plan", source, f"{source}::/x", "--exclude", "etc/hosts")["entries"]
    assert entries["file"] == 4
    entries = report("plan", source, f"{source}::/x", "--exclude", "x/etc/hosts")["entries"]
    assert entries["file"] == 6


def test_a_parent_that_is_not_a_directory_is_refused(source: Path, out: Path) -> None:
    done = run("build", source, f"{source}::/link/x", "-o", out / "a.img")
    assert_one_line(done, 1, "/link/x", "/link to etc/hosts", "not a directory")
    assert_untouched(out)


def test_a_later_folder_keeps_links_and_the_root(tmp_path: Path, out: Path) -> None:
    base, later = tmp_path / "base", tmp_path / "later"
    (base / "usr/lib").mkdir(parents=True)
    (base / "lib").symlink_to("usr/lib")
    (later / "lib").mkdir(parents=True)
    (later / "lib/new").write_text("new")
    later.chmod(0o700)
    base.chmod(0o755)
    image = out / "a.img"
    done = run("build", base, later, "-o", image, "--strict")
    assert done.returncode == 0, done.stderr
    assert inode(image, "/usr/lib/new").kind == "regular"
    assert inode(image, "/lib").kind == "symlink"
    assert inode(image, "/").mode == 0o755
    done = run("build", base, later, "-o", image, "--root-from", "2")
    assert inode(image, "/").mode == 0o700, done.stderr
    fsck.assert_clean(image)
    facts = report("plan", base, later, "--no-keep-directory-symlink")
    assert [loss["path"] for loss in facts["losses"]] == ["/lib"]
    done = run("plan", base, later, "--no-keep-directory-symlink", "--strict")
    assert_one_line(done, 1, "--strict", "/lib", "symbolic link to usr/lib", "directory /lib")


def test_sources_that_can_provide_the_root(source: Path, tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(layer_tar([Entry(b"x", Directory())]))
    for sources_given, number, words in (
        ([source], "2", ["there is no source 2"]),
        ([source, f"{source}::/x"], "2", ["source 2", "goes to /x"]),
        ([source, archive], "2", ["source 2", "does not state a root"]),
    ):
        done = run("build", *sources_given, "-o", out / "a.img", "--root-from", number)
        assert_one_line(done, 2, "--root-from", *words)
    assert_untouched(out)


def test_standard_input_may_be_given_once(out: Path) -> None:
    assert_one_line(run("build", "-", "-::/b", "-o", out / "a.img"), 2, "only once")
    assert_untouched(out)


def test_archives_on_standard_input(source: Path, tmp_path: Path, out: Path) -> None:
    saved = tmp_path / "saved.tar"
    layer = layer_tar([Entry(b"x", Directory(0o700))])
    docker_archive(saved, [layer], config={"User": "5:6"})
    packed = tmp_path / "layer.tar.gz"
    packed.write_bytes(gzip.compress(layer))
    images = []
    for text, path in (("docker-archive:-", saved), ("-", packed), (str(packed), packed)):
        with path.open("rb") as stream:
            facts = report("build", text, "-o", out / "a.img", stdin=stream)
        images.append((out / "a.img").read_bytes())
        assert facts["sources"][0]["source"] == text.removeprefix("docker-archive:")
        assert os.listdir(out) == ["a.img"]
    assert len(set(images)) == 1
    with saved.open("rb") as stream:
        done = run("plan", source, "docker-archive:-::/app", stdin=stream)
    assert "  Docker image  standard input at /app\n" in done.stdout
    assert re.search(r"\n    user +5:6\n", done.stdout)


def test_a_broken_archive_leaves_nothing(tmp_path: Path, out: Path) -> None:
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(gzip.compress(os.urandom(5000))[:-20])
    for text in (str(broken), f"docker-archive:{broken}", f"oci:{broken}", f"oci:{out}"):
        assert_one_line(run("build", text, "-o", out / "a.img"), 1, text.split(":")[-1])
        assert_untouched(out)
    assert_one_line(run("plan", f"oci:{out}", "--platform", "x"), 2, "--platform")


@pytest.mark.parametrize("kind", ["mtree", "dump"])
def test_a_manifest_piped_from_one_command_to_another(kind: str, source: Path, out: Path) -> None:
    text = run("manifest", source.name, "--format", kind, cwd=source.parent).stdout
    done = run("build", "manifest:-", "-o", out / "a.img", input=text, cwd=source.parent)
    assert done.returncode == 0, done.stderr
    run("build", source, "-o", out / "b.img")
    assert (out / "a.img").read_bytes() == (out / "b.img").read_bytes()
    done = run("build", "manifest:-", "-o", out / "a.img", input=text, cwd=out)
    assert_one_line(done, 1, "<stdin>: line", "does not exist")


def test_limits_of_archives_are_options(tmp_path: Path, out: Path) -> None:
    archive, saved = tmp_path / "archive.tar", tmp_path / "saved.tar"
    layer = layer_tar([Entry(b"%d" % number, Directory()) for number in range(20)])
    archive.write_bytes(layer)
    docker_archive(saved, [layer])
    for source in (archive, f"docker-archive:{saved}"):
        arguments = ("build", source, "-o", out / "a.img", "--limit", "path_bytes=1K")
        done = run(*arguments, "--limit", "members=19")
        assert_one_line(done, 1, "more than 19 members", "raised with --limit members=N")
        assert_untouched(out)
        done = run(*arguments, "--limit", "members=19", "--limit", "members=21")
        assert done.returncode == 0, done.stderr
        (out / "a.img").unlink()


@pytest.mark.parametrize(
    ("limit", "words"),
    [("members", "is not NAME=N"), ("=5", "is not NAME=N"), ("members=x", "not a size")],
)
def test_invalid_limits_are_refused(limit: str, words: str, source: Path) -> None:
    assert_one_line(run("plan", source, "--limit", limit), 2, "--limit", words)


def test_a_limit_that_does_not_exist(source: Path) -> None:
    done = run("plan", source, "--limit", "entries=5")
    assert_one_line(done, 2, "--limit: 'entries' is not one of members, path_bytes")
