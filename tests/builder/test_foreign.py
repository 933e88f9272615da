"""Options and sources of other programs are answered with the equivalent of ours."""

from __future__ import annotations

import re
import string
from pathlib import Path

import click
import pytest

from ext4writer_cli.cli import commands
from ext4writer_cli.foreign import ANSWERS, OPTIONS
from ext4writer_cli.foreign_options import ROWS
from tests.builder.command import assert_one_line, report, run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build", "-d", "rootfs", "-o", "x.img"], ["-d", "SOURCE"]),
        (["build", ".", "-j", "-o", "x.img"], ["-j", "--journal"]),
        (["plan", ".", "-E", "lazy_itable_init=0"], ["-E", "--hash-seed"]),
        (["plan", ".", "-Ehash_seed=x"], ["-E", "--hash-seed"]),
        (["plan", ".", "-F"], ["-F"]),
        (["plan", ".", "--uid-offset=1000"], ["--uid-offset", "--uid-map"]),
        (["plan", ".", "--all-root"], ["--all-root", "--owner 0:0"]),
        (["plan", ".", "-all-root"], ["-all-root", "--owner 0:0"]),
        (["plan", ".", "--numeric-owner"], ["--numeric-owner", "numeric"]),
        (["plan", ".", "--mtime", "0"], ["--mtime", "--all-times"]),
        (["plan", ".", "-C", "/tmp"], ["-C", "SOURCE"]),
        (["nix", "--all-root", "-o", "x.img"], ["--all-root", "--owner 0:0"]),
        (["manifest", ".", "--all-root"], ["--all-root", "--owner 0:0"]),
        (["plan", ".", "--no-such-option"], ["--no-such-option"]),
        (["build", ".", "-o", "x.img", "-one-file-system"], ["-one-file-system", "--one-file-sys"]),
        (["build", ".", "-o", "x.img", "-overcommit"], ["-overcommit", "existing image"]),
        (["build", ".", "-o", "x.img", "-offset", "4096"], ["-offset", "--offset"]),
        (["build", ".", "-o", "x.img", "-root-becomes", "x"], ["-root-becomes", "SOURCE::/FOLDER"]),
        (["build", ".", "-o", "x.img", "-mkfs-time", "0"], ["-mkfs-time", "--epoch SECONDS"]),
        (["plan", ".", "--files-from", "list"], ["--files-from", "--include"]),
        (["plan", ".", "--pax-option=delete=atime"], ["--pax-option", "no archive is written"]),
        (["plan", "-xf", "a.tar"], ["-xf", "give the archive as SOURCE"]),
    ],
)
def test_a_foreign_option_is_answered_in_one_line(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    assert_one_line(run(*arguments, cwd=tmp_path), 2, *words)
    assert not list(tmp_path.iterdir())


def flags(command: str) -> set[str]:
    return {
        flag
        for param in commands.commands[command].params
        if isinstance(param, click.Option)
        for flag in (*param.opts, *param.secondary_opts)
    }


def test_answers_name_existing_options() -> None:
    known = flags("build")
    assert not OPTIONS.keys() & known, "these are ours"
    for answer in OPTIONS.values():
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", answer):
            assert flag in known | {"--help", "--version"}, answer


# Listed without dashes, as by tar 1.34.
LONG_OPTIONS_OF_TAR = (
    "absolute-names acls add-file after-date anchored append atime-preserve auto-compress backup "
    "block-number blocking-factor bzip2 catenate check-device check-links checkpoint "
    "checkpoint-action clamp-mtime compare compress concatenate confirmation create "
    "delay-directory-restore delete dereference diff directory exclude exclude-backups "
    "exclude-caches exclude-caches-all exclude-caches-under exclude-from exclude-ignore "
    "exclude-ignore-recursive exclude-tag exclude-tag-all exclude-tag-under exclude-vcs "
    "exclude-vcs-ignores extract file files-from force-local format full-time get group group-map "
    "gunzip gzip hard-dereference help hole-detection ignore-case ignore-command-error "
    "ignore-failed-read ignore-zeros incremental index-file info-script interactive "
    "keep-directory-symlink keep-newer-files keep-old-files label level list listed-incremental "
    "lzip lzma lzop mode mtime multi-volume new-volume-script newer newer-mtime no-acls "
    "no-anchored no-auto-compress no-check-device no-delay-directory-restore no-ignore-case "
    "no-ignore-command-error no-null no-overwrite-dir no-quote-chars no-recursion no-same-owner "
    "no-same-permissions no-seek no-selinux no-unquote no-verbatim-files-from no-wildcards "
    "no-wildcards-match-slash no-xattrs null numeric-owner occurrence old-archive one-file-system "
    "one-top-level overwrite overwrite-dir owner owner-map pax-option portability posix "
    "preserve-order preserve-permissions quote-chars quoting-style read-full-records record-size "
    "recursion recursive-unlink remove-files restrict rmt-command rsh-command same-order "
    "same-owner same-permissions seek selinux show-defaults show-omitted-dirs "
    "show-snapshot-field-ranges show-stored-names show-transformed-names skip-old-files sort "
    "sparse sparse-version starting-file strip-components suffix tape-length test-label "
    "to-command to-stdout totals touch transform uncompress ungzip unlink-first unquote update "
    "usage use-compress-program utc verbatim-files-from verbose verify version volno-file warning "
    "wildcards wildcards-match-slash xattrs xattrs-exclude xattrs-include xform xz zstd "
)


def test_every_letter_and_every_option_of_tar_is_ours_or_has_an_answer() -> None:
    given = {f"-{letter}" for letter in string.ascii_letters} - {"-Q", "-Y"}  # neither exists
    given |= {f"--{name}" for name in LONG_OPTIONS_OF_TAR.split()}
    assert given <= OPTIONS.keys() | flags("build") | {"--help", "-h"}


def test_every_answer_is_given() -> None:
    """None of these words is read as a short option of ours and its value, as in ``-o ne-file``."""
    assert sum(len(words.split()) for _, words in ROWS) == len(OPTIONS)
    for option, answer in OPTIONS.items():
        with pytest.raises(click.UsageError) as caught:
            commands.main(["build", ".", "-o", "x.img", option], standalone_mode=False)
        assert caught.value.message.startswith(f"There is no {option} here: "), option
        assert answer in caught.value.message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("docker://alpine:3", ["skopeo copy docker://alpine:3 oci:image", "oci:image"]),
        ("docker-daemon:alpine:3", ["docker save -o image.tar alpine:3"]),
        ("oci-archive:image.tar", ["use oci:image.tar"]),
        ("https://example.org/a.tar.gz", ["curl -fLO https://example.org/a.tar.gz"]),
        ("containers-storage:alpine", ["podman save"]),
        ("file:///srv/root.tar", ["/srv/root.tar"]),
        ("tar:root.tar", ["without a prefix, root.tar"]),
        ("what://ever", ["nothing is downloaded"]),
        ("docker:alpine", ["skopeo copy docker://alpine oci:image"]),
        ("lxc:web", ["/var/lib/lxc/web/rootfs"]),
        ("squashfs:root.sqfs", ["sqfs2tar root.sqfs"]),
        ("cpio:initrd.cpio", ["bsdtar -cf - @initrd.cpio"]),
        ("qcow2:disk.qcow2", ["image:disk.qcow2:1"]),
    ],
)
def test_a_foreign_source_is_answered_with_the_kinds_and_what_fetches_it(
    source: str, words: list[str]
) -> None:
    kinds = ["a folder", "tar archive", "oci:LAYOUT", "docker-archive:FILE", "manifest:FILE"]
    assert_one_line(run("plan", source), 2, source, *words, *kinds)


def test_other_prefixes_are_answered_where_nothing_has_that_name() -> None:
    assert_one_line(run("plan", "odd:thing"), 1, "odd:thing", "No such file", "oci:LAYOUT")


@pytest.mark.parametrize(
    "image", ["alpine:latest", "docker.io/library/alpine", "localhost:5000/a/b:1", "a/b:1"]
)
def test_the_name_of_an_image_in_a_registry_is_answered_with_what_fetches_it(
    image: str, tmp_path: Path
) -> None:
    done = run("plan", image, cwd=tmp_path)
    fetched = f"skopeo copy docker://{image} oci:image:latest"
    assert_one_line(done, 1, image, "No such file", fetched)


def test_missing_images_are_answered(tmp_path: Path) -> None:
    for given, words in (
        ("oci:alpine:3", "skopeo copy docker://NAME oci:alpine:3"),
        ("oci:alpine", "oci:alpine:latest"),
        ("docker-archive:image.tar:alpine:3", "docker save -o image.tar alpine:3"),
    ):
        assert_one_line(run("plan", given, cwd=tmp_path), 1, "No such file", words)


def test_names_without_their_prefix(tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "oci-layout").write_text("{}")
    (tmp_path / "disk").write_bytes(b"")
    (tmp_path / "build.d").mkdir()
    for given, words in (
        ("layout:name", "is oci:layout:name\n"),
        ("disk:1", "is image:disk:1\n"),
        ("build.d/no", "No such file or directory\n"),
        ("no/such", "No such file or directory\n"),
    ):
        done = run("plan", given, cwd=tmp_path)
        assert_one_line(done, 1, given)
        assert done.stderr.endswith(words)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hello\n", ["is not a tar archive", "it holds text", "manifest:file"]),
        ("wörld ".encode() * 99 + b"\xc3", ["is not a tar archive", "it holds text"]),
        (b"", ["is empty"]),
        (bytes(range(1, 256)) * 9, ["is not a tar archive, plain or compressed with gzip"]),
        (b"\x90" * 510 + b"\x55\xaa" + bytes(99), ["boot sector", "image:file:1"]),
        (b"hsqs" + bytes(99), ["SquashFS", "sqfs2tar file"]),
        (b"\x3a\xff\x26\xed" + bytes(99), ["is Android sparse image data", "simg2img file image"]),
        (b"070701" + b"0" * 104, ["cpio", "bsdtar -cf - @file"]),
        (b"\x04\x22\x4d\x18" + bytes(99), ["lz4", "decompress it"]),
    ],
    ids=["text", "utf-8", "empty", "bytes", "disk", "squashfs", "android", "cpio", "lz4"],
)
def test_a_file_that_is_not_a_source_is_identified(
    data: bytes, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(data)
    done = run("plan", "file", cwd=tmp_path)
    assert_one_line(done, 1, "file: is not a directory", *words)
    assert "at byte" not in done.stderr


def test_a_folder_with_a_prefix_like_name_is_read(tmp_path: Path) -> None:
    (tmp_path / "docker:alpine").mkdir()
    assert report("plan", "docker:alpine", cwd=tmp_path)["entries"]["directory"] == 2
    assert set(ANSWERS) > {"docker", "https"}
