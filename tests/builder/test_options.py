from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from uuid import UUID

import click
import pytest
from click.testing import CliRunner

from ext4writer import Spec, Tree, plan, write_image
from ext4writer.edit.rules import AllTimes, Owner
from ext4writer.errors import SpecError
from ext4writer.ondisk.features import DEFAULT_FEATURES, FEATURES
from ext4writer.planning.spec import declaration
from ext4writer_cli import options
from ext4writer_cli.cli import commands, image_options
from ext4writer_cli.failures import explain
from ext4writer_cli.options import ImageOptions, ScanOptions, flag_of, of_spec
from ext4writer_cli.rule_options import RuleOptions
from tests.builder.command import assert_one_line, report, run


def parse(*arguments: str) -> dict[str, object]:
    """The values that a command with all shared options receives."""
    received: dict[str, object] = {}

    @click.command(cls=options.GroupedCommand)
    @options.options("scan", ScanOptions)
    @image_options
    def probe(**chosen: object) -> None:
        received.update(chosen)

    result = CliRunner().invoke(probe, arguments)
    assert result.exit_code == 0, result.output
    return received


def image(*arguments: str) -> ImageOptions:
    parsed = parse(*arguments)["image"]
    assert isinstance(parsed, ImageOptions)
    return parsed


@pytest.fixture(autouse=True)
def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def test_without_options_the_spec_is_the_default_one() -> None:
    spec, default = image().spec(), Spec()
    for field in fields(Spec):
        name = field.name
        if name != "policy":
            assert getattr(spec, name) == getattr(default, name), name


def test_every_option_reaches_the_spec() -> None:
    arguments = (
        "--size 2G --free 1M --free-inodes 9 --grow-to 1T -L root --block-size 1K -I 512 "
        "-U 12345678-1234-5678-1234-567812345678 --hash-seed 87654321-1234-5678-1234-567812345678 "
        "-O ^huge_file -O metadata_csum_seed,^dir_index -m 2.5 --journal 8M --epoch 77 "
        "--policy random:5"
    )
    spec = image(*arguments.split()).spec()
    assert (spec.size, spec.free, spec.free_inodes, spec.grow_to) == (2 << 30, 1 << 20, 9, 1 << 40)
    assert (spec.label, spec.block_size, spec.inode_size) == (b"root", 1024, 512)
    assert spec.uuid == UUID("12345678-1234-5678-1234-567812345678")
    assert spec.hash_seed == UUID("87654321-1234-5678-1234-567812345678")
    dropped = DEFAULT_FEATURES.without("huge_file", "dir_index")
    assert spec.features == dropped.with_("metadata_csum_seed")
    assert (spec.reserved_percent, spec.journal, spec.epoch) == (2.5, 8 << 20, 77)
    assert spec.policy is not None and spec.policy.name == "random:5"


def test_options_of_the_tree() -> None:
    parsed = parse("--owner", "0:100", "--exclude", "*.pyc", "--exclude", "b", "--all-times", "-5")
    rules = parsed["rules"]
    assert rules == RuleOptions(owner=((0, 100),), all_times=(-5,), exclude=("*.pyc", "b"))
    assert isinstance(rules, RuleOptions)
    assert rules.compiled() == [Owner(0, 100), AllTimes(-5)]


def test_rules_are_in_the_order_of_the_options() -> None:
    received: list[object] = []

    @click.command(cls=options.GroupedCommand)
    @options.options("rules", RuleOptions)
    def probe(rules: RuleOptions) -> None:
        received.extend(rules.in_order())

    arguments = "--owner 1:1 --include a --all-times 3 --owner 2:2 --exclude b --include c"
    assert CliRunner().invoke(probe, arguments.split()).exit_code == 0
    assert received == [
        ("owner", (1, 1)),
        ("include", "a"),
        ("all_times", 3),
        ("owner", (2, 2)),
        ("exclude", "b"),
        ("include", "c"),
    ]


def test_the_environment_gives_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "123")
    assert image().spec().epoch == 123
    assert image("--epoch", "0").spec().epoch == 0
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert image().spec().epoch is None


@pytest.mark.parametrize("value", ["yesterday", "-1", "1.5", str(1 << 32), " 1"])
def test_a_wrong_epoch_in_the_environment_is_named(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    with pytest.raises(click.UsageError, match="SOURCE_DATE_EPOCH"):
        image().spec()
    assert image("--epoch", "5").spec().epoch == 5


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ("--label 12345678901234567", "label"),
        ("-b 3000", "block_size"),
        ("-I 100", "inode_size"),
        ("-O nonsense", "features"),
        ("-O resize_inode,^sparse_super", "features"),
        ("--journal 0", "journal"),
        ("--epoch -1", "epoch"),
    ],
)
def test_the_spec_refuses(arguments: str, option: str) -> None:
    with pytest.raises(SpecError) as caught:
        image(*arguments.split()).spec()
    assert caught.value.option == option


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build"], ["--output"]),
        (["build", "x"], ["--output"]),
        (["plan", "x", "--size", "5s"], ["--size", "'5s'", "'fit'"]),
        (["plan", "x", "--journal", "some"], ["--journal", "auto", "none"]),
        (["plan", "x", "-m", "nan"], ["--reserved-percent", "nan"]),
        (["plan", "x", "-m", "51"], ["--reserved-percent", "between 0 and 50"]),
        (["plan", "x", "--mmp-update-interval", "301"], ["--mmp-update-interval", "300"]),
        (["plan", "x", "--policy", "random"], ["--policy", "random:SEED"]),
        (["plan", "x", "--owner", "root"], ["--owner", "UID:GID"]),
        (["plan", "x", "--owner", "4294967295:0"], ["--owner", "4294967294"]),
        (["plan", "x", "-U", "x"], ["--uuid"]),
        (["plan", "x", "--hash-seed", "x"], ["--hash-seed", "'x' is not a UUID"]),
        (["plan", "x", "--free-inodes", "-1"], ["--free-inodes"]),
        (["plan", "x", "--workers", "0"], ["--workers"]),
        (["plan", "x", "--keep-times", "--all-times", "0"], ["--keep-times", "--all-times"]),
        (["plan", "x", "--no\nsuch"], ["--no", "such"]),
        (["plan", "x", "--override", "nonsense"], ["--override"]),
        (["plan", "x", "-O", "^extent,^64bit,bigalloc"], ["--features", "bigalloc", "extent"]),
        (["plan", "x", "-C", "/tmp"], ["-C", "SOURCE"]),
        (["plan", "x", "-O", "bigalloc", "-C", "3000"], ["--cluster-size", "power of two"]),
        (["plan", "x", "-C", "64K"], ["--cluster-size", "bigalloc"]),
        (["plan", "x", "--policy", "odd"], ["--policy", "odd"]),
        (["bild"], ["bild"]),
        ([], ["--help"]),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str], words: list[str]) -> None:
    assert_one_line(run(*arguments), 2, *words)


NEEDED = {
    "cluster_size": "bigalloc",
    "encoding_flags": "casefold",
    "fast_commit_size": "fast_commit",
    "first_meta_bg": "meta_bg,^resize_inode",
    "mmp_update_interval": "mmp",
    "num_backup_sb": "sparse_super2",
    "orphan_file_size": "orphan_file",
    "verity_block_size": "verity",
}
"""The features that make numeric options meaningful."""


def answer(*arguments: str) -> str:
    """The line with which the command reports an error, in this process."""
    result = CliRunner().invoke(commands, [*arguments], standalone_mode=False)
    assert result.exception is not None, result.output
    explained = explain(result.exception)
    assert explained is not None and explained[1] == 2, result.exception
    return explained[0]


NUMBERS = [
    each.name
    for each in of_spec(ImageOptions)
    if declaration(each.name).form.startswith(("SIZE", "N", "auto|", "middle|", "UID", "GID"))
    or declaration(each.name).form in ("SECONDS", "MAJOR:MINOR", "PERCENT")
]


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "hole_size"])
@pytest.mark.parametrize("number", [10**19, -2])
def test_a_number_that_no_image_has_is_refused_by_its_own_name(
    name: str, number: int, tmp_path: Path
) -> None:
    [each] = [each for each in of_spec(ImageOptions) if each.name == name]
    features = NEEDED.get(name)
    given = {name: number} | ({"features": features} if features else {})
    given |= {"size": "1M"} if name == "journal_location" else {}
    given |= {"journal_device": True} if name == "journal_dev" else {}
    with pytest.raises(SpecError) as caught:
        plan(Tree(), Spec(**given))  # type: ignore[arg-type]
    assert caught.value.option == name
    words = [*(["-O", features] if features else [])]
    words += ["--size", "1M"] if name == "journal_location" else []
    words += ["--journal-device", str(tmp_path / "j")] if name == "journal_dev" else []
    line = answer("plan", *words, f"{flag_of(each)}={number}")
    assert line.startswith((f"{flag_of(each)}: ", "Invalid value for")), line
    assert flag_of(each) in line.partition(": ")[0]


def test_all_numeric_options_were_tested() -> None:
    assert len(NUMBERS) > 30
    assert NEEDED.keys() - {"encoding_flags"} <= set(NUMBERS)


@pytest.mark.parametrize(
    ("words", "begins", "says"),
    [
        ("--inodes 5 --free-inodes 5", "--inodes", "and --free-inodes are two ways"),
        ("--reserved-blocks 5 -m 5", "--reserved-blocks", "and --reserved-percent are two ways"),
        ("--reserved-gdt-blocks 5 --grow-to 1T", "--reserved-gdt-blocks", "and --grow-to are two"),
        (f"--journal-uuid {UUID(int=5)}", "--journal-uuid", "needs --journal-device"),
        ("--quota-limit user:0:0:0 -O project", "--quota-limit", None),
        ("--quota-limit project:0:0:0 -O quota", "--quota-limit", "or project to --quotatype"),
        ("--encoding utf8 -O encrypt,^extent,64bit", "--features", None),
        ("--encrypt-policy a=0123456789abcdef -t ext2 --creator-os Hurd", "--encrypt-policy", None),
        ("--encoding utf8 --creator-os Hurd -O none", "--creator-os", "leave out --encoding"),
        ("--group-tables mke2fs", "--group-tables", "of a given size; set size"),
        ("--free-inodes 9999999999", "--free-inodes", "the maximum is"),
        ("--inodes 9999999999", "--inodes", "9999999999 inodes are needed"),
        ("--free 9000P", "--free", "blocks are needed"),
        ("--reserved-blocks 9000000000000000", "--reserved-blocks", "blocks are needed"),
        ("--lost-and-found-size 3G", "--lost-and-found-size", "large_dir"),
        ("-O fast_commit --fast-commit-size 99T", "--fast-commit-size", "of the journal"),
    ],
)
def test_other_options_in_an_answer_have_the_names_that_are_typed(
    words: str, begins: str, says: str | None
) -> None:
    line = answer("plan", *words.split())
    assert line.startswith(begins), line
    assert (says or "") in line
    internal = {name for name in options_of_spec() if "_" in name and name not in FEATURE_NAMES}
    assert not internal & set(re.findall(r"\w+", line)), line


def options_of_spec() -> Iterator[str]:
    return (each.name for each in of_spec(ImageOptions))


FEATURE_NAMES = {row.name for row in FEATURES}


def every_option(group: click.Group = commands) -> Iterator[click.Option]:
    """The options of all commands and their subcommands."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from every_option(command)
        else:
            yield from (each for each in command.params if isinstance(each, click.Option))


def test_options_accept_numbers_as_printed_in_reports() -> None:
    def outcome(option: click.Option, text: str) -> object:
        try:
            return option.type.convert(text, option, None)
        except click.BadParameter as error:
            return error.message.replace(",", "")

    taken = 0
    for option in every_option():
        words = re.split(r"\W+", option.metavar or "")
        if "N" in words or "SIZE" in words:
            assert outcome(option, "1,024") == outcome(option, "1024"), option.name
            taken += outcome(option, "1,024") == 1024
            for wrong in ("1,08", "1,0240", "0,024", "1_024"):
                assert isinstance(outcome(option, wrong), str), (option.name, wrong)
    assert taken > 40


def test_counts_in_groups_of_digits(tmp_path: Path) -> None:
    facts = report("plan", tmp_path, "--inodes", "1,088", "--free", "1,088 KiB")
    assert facts["inodes"] == 1088
    assert_one_line(run("plan", tmp_path, "--inodes", "1,08"), 2, "--inodes", "1,08")
    done = run("plan", f"{tmp_path},strip-components=1,0")
    assert_one_line(done, 2, "strip-components: ", "1,0")


def test_every_option_has_a_help_text() -> None:
    for command in commands.commands.values():
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, param.opts


@pytest.mark.parametrize("words", ["", "build", "fuzz run", "mke2fs"])
def test_help_is_also_a_command(words: str) -> None:
    done, same = run("help", *words.split()), run(*words.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == same.stdout != ""


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ("build .", 2, "Missing option '--output'. Add -o FILE."),
        ("fuzz", 2, "Missing command. See ext4writer fuzz --help."),
        ("--label x build . -o x", 2, "options go after it: ext4writer build --label"),
        ("plan . -o x", 2, "this command writes no file; 'ext4writer build' has -o"),
        ("serve . --nbd 10809", 2, "--nbd: '10809' is neither unix:PATH nor HOST:PORT"),
        ("plan .::srv", 1, "a folder in the image begins with a slash: .::/srv"),
        ("plan . --platform linux/arm64", 2, "--platform: is for container images"),
        ("plan . --users users", 2, "--users: is for manifests, and no SOURCE is one"),
        ("build . -o x.gzip", 1, "has the suffix .gzip of a format"),
        ("info i.zst", 1, "is compressed; decompress it with 'zstd -d'"),
        ("plan i.zst", 1, "decompress an image first"),
        ("plan . --epoch 1700000000000", 2, "give seconds since 1970"),
    ],
)
def test_beginners_mistakes_are_answered_with_a_remedy(
    words: str, status: int, says: str, tmp_path: Path
) -> None:
    with contextlib.chdir(tmp_path):
        (tmp_path / "users").write_text("root:x:0:0:::\n")
        write_image(Tree(), tmp_path / "i.zst", Spec(journal="none", free=0))
        assert_one_line(run(*words.split()), status, says)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["i.zst", "users"]


def test_help_groups_the_options() -> None:
    text = CliRunner().invoke(commands, ["build", "--help"]).output
    for kind in (ScanOptions, RuleOptions, ImageOptions, options.OverrideOptions):
        assert f"\n{kind.HEADING}:\n" in text
    assert text.index("Other options:") > text.index("--quiet")


def test_help_imports_neither_rich_nor_what_makes_images() -> None:
    script = """
import sys, ext4writer_cli.cli
try:
    ext4writer_cli.cli.main(["build", "--help"])
except SystemExit as end:
    assert end.code == 0
late = "rich ext4writer.tree ext4writer.sources ext4writer.emit ext4writer.planning.planner"
print([name for name in late.split() if name in sys.modules])
"""
    done = run(script=script)
    assert done.stdout.endswith("\n[]\n"), done


def test_usable_cpus() -> None:
    assert 1 <= options.usable_cpus() <= min(options.WORKERS_MAX, os.cpu_count() or 1)
