"""The Nix database and profile that images contain already: a real Nix accepts them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
import stat
from itertools import pairwise
from pathlib import Path

import pytest

from ext4writer import SpecError, Tree, TreeError, nix
from ext4writer.nix.database import make_database
from ext4writer.nix.derivations import outputs_of
from ext4writer.nix.registration import PathInfo
from tests.builder.command import assert_one_line, report, run
from tests.judges import tools
from tests.judges.kernel import mounted
from tests.nix.host import NixHost

from .conftest import RealClosure
from .test_closures import nix_store, registered

DATABASE = "nix/var/nix/db/db.sqlite"


def rows(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, with paths instead of ids, and without registration times."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = connection.execute
        assert query("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert query("PRAGMA foreign_key_check").fetchall() == []
        paths = "path, hash, deriver, narSize, ultimate, sigs, ca"
        name = "(SELECT path FROM ValidPaths WHERE id = {})".format
        refs = f"{name('referrer')}, {name('reference')}"
        return {
            "paths": query(f"SELECT {paths} FROM ValidPaths ORDER BY path").fetchall(),
            "refs": sorted(query(f"SELECT {refs} FROM Refs").fetchall()),
            "outputs": sorted(
                query(f"SELECT {name('drv')}, id, path FROM DerivationOutputs").fetchall()
            ),
        }


def schema(database: Path) -> dict[str, object]:
    """The schema: columns, keys, indexes, and the text of triggers."""
    found: dict[str, object] = {}
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in tables.fetchall():
            for what in ("table_info", "foreign_key_list", "index_list"):
                found[f"{name} {what}"] = sorted(
                    str(row[1:]) for row in connection.execute(f"PRAGMA {what}({name})")
                )
        triggers = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
        for (text,) in triggers.fetchall():
            found["trigger"] = "".join(text.lower().replace("if not exists", "").split())
    return found


def unpacked(image: Path, folder: Path) -> Path:
    """A copy of what the kernel reads from an image."""
    with mounted(image) as root:
        tools.run(["cp", "-a", root, folder])
    return folder


def test_nix_knows_every_path_without_loading_any(
    closure: RealClosure, out: Path, tmp_path: Path
) -> None:
    tools.require_root()
    image = out / "a.img"
    done = run("nix", *closure.options, "--database", "--no-registration", "-o", image)
    assert (done.returncode, done.stderr) == (0, "")
    copy, home = unpacked(image, tmp_path / "copy"), tmp_path / "home"
    assert not (copy / "nix-path-registration").exists()
    first = (copy / DATABASE).read_bytes()
    (tmp_path / "loaded").mkdir()
    host = NixHost(tmp_path / "loaded")
    tools.run(["cp", "-a", closure.store, host.nix])
    host.run("nix-store", "--load-db", stdin=(closure.folder / "registration").read_bytes())
    theirs = host.nix / "var/nix/db/db.sqlite"
    assert rows(copy / DATABASE) == rows(theirs)
    assert schema(copy / DATABASE) == schema(theirs)
    assert (copy / "nix/var/nix/db/schema").read_bytes() == (theirs.parent / "schema").read_bytes()

    assert registered(copy, home) == closure.paths
    said = nix_store(copy, home, "--verify", "--check-contents").stderr
    assert "checking store hashes" in said
    for word in ("modified", "disappeared", "error", "not valid"):
        assert word not in said
    referred = nix_store(copy, home, "--query", "--requisites", *closure.roots).stdout.split()
    assert sorted(referred) == closure.paths
    # Nix continues from there, and adds a new path.
    (tmp_path / "new").write_text("new")
    added = nix_store(copy, home, "--add", str(tmp_path / "new")).stdout.strip()
    assert registered(copy, home) == sorted([*closure.paths, added])
    # A second image is the same, and nothing in either shows which library wrote it.
    again = out / "b.img"
    assert run("nix", *closure.options, "--database", "-o", again, "--workers", "1").returncode == 0
    with mounted(again) as root:
        assert (root / DATABASE).read_bytes() == first
        assert (root / "nix-path-registration").exists()
    tools.run(["chmod", "-R", "u+w", copy, host.nix])


def test_a_root_that_stays_read_only(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    """The database can be read where nothing can be written, not even files next to it."""
    tools.require_root()
    image = out / "a.img"
    assert run("nix", *closure.options, "--database", "-o", image).returncode == 0
    with mounted(image) as root:
        assert len(rows(root / DATABASE)["paths"]) == len(closure.paths)
        header = (root / DATABASE).read_bytes()[:100]
        assert header[18:20] == b"\1\1"  # a rollback journal; WAL would have to write


SYSTEM_LINKS = {
    "nix/var/nix/profiles/system": "system-1-link",
    "nix/var/nix/gcroots/profiles": "/nix/var/nix/profiles",
    "sbin/init": "/nix/var/nix/profiles/system/init",
}


def test_the_system_is_the_first_generation(
    closure: RealClosure, out: Path, tmp_path: Path
) -> None:
    """Nix lists it, and its garbage collector keeps what it needs and nothing else."""
    tools.require_root()
    image = out / "a.img"
    [system] = [path for path in closure.roots if path.endswith("-program-1.0")]
    options = ["--database", "--system", system]
    assert run("nix", *closure.options, *options, "-o", image).returncode == 0
    folder = tmp_path / "booted"
    folder.mkdir()
    with mounted(image) as root:
        links = SYSTEM_LINKS | {"nix/var/nix/profiles/system-1-link": system}
        assert {path: os.readlink(root / path) for path in links} == links
        assert (root / "etc/NIXOS").read_bytes() == b""
        assert stat.S_IMODE((root / "nix/var/nix/db").stat().st_mode) == 0o755
        host = NixHost(folder)
        tools.run(["cp", "-a", f"{root}/nix/.", host.nix])
    host.run("nix-store", "--gc", alone=True)
    lines = host.run("nix-store", "--dump-db").stdout.split("\n")
    kept = sorted(path for path, digest in pairwise(lines) if re.fullmatch("[0-9a-f]{64}", digest))
    assert kept == host.closure(system) == closure.host.closure(system)
    said = host.run("nix-env", "-p", "/nix/var/nix/profiles/system", "--list-generations").stdout
    assert said.split()[0] == "1" and "(current)" in said
    tools.run(["chmod", "-R", "u+w", host.nix])


def test_a_system_that_is_not_there(closure: RealClosure, out: Path) -> None:
    done = run("nix", *closure.options, "--system", f"/nix/store/{'0' * 32}-x", "-o", out / "a.img")
    assert_one_line(done, 1, "is to be the system, but is not in the closure")
    assert os.listdir(out) == []


@pytest.mark.parametrize(
    ("at", "state"),
    [("/store", "var/nix"), ("/nix/store/", "nix/var/nix"), ("/a/store", "a/var/nix")],
)
def test_a_store_at_another_path(at: str, state: str, closure: RealClosure, out: Path) -> None:
    tools.require_root()
    image = out / "a.img"
    options = ["--store-at", at, "--database", "--system", closure.roots[0], "--dedupe"]
    facts = report("nix", *closure.options, *options, "-o", image)
    assert facts["linked_files"] > 0 and facts["losses"] == []
    with mounted(image) as root:
        names = os.listdir(root / at.strip("/"))
        assert sorted(f"/nix/store/{name}" for name in names) == closure.paths
        assert len(rows(root / state / "db/db.sqlite")["paths"]) == 5
        assert os.readlink(root / state / "profiles/system-1-link") == closure.roots[0]
        # The links are those that the system's programs expect.
        assert os.readlink(root / state / "gcroots/profiles") == "/nix/var/nix/profiles"
        assert (root / "nix-path-registration").exists()
        assert (root / "sbin/init").is_symlink() == (at == "/nix/store/")


def test_a_store_and_nothing_else(closure: RealClosure, out: Path) -> None:
    """A disk that is mounted at /nix/store."""
    tools.require_root()
    image = out / "a.img"
    facts = report("nix", *closure.options, "--store-at", "/", "-o", image)
    assert facts["losses"] == []
    with mounted(image) as root:
        names = {f"/nix/store/{name}" for name in os.listdir(root)}
        others = {"/nix/store/lost+found", "/nix/store/nix-path-registration"}
        assert names == {*closure.paths, *others}
    for option in (["--database"], ["--system", closure.roots[0]]):
        done = run("nix", *closure.options, "--store-at", "/", *option, "-o", out / "b.img")
        assert_one_line(done, 2, "--store-at: '/' is not called 'store'")
    assert os.listdir(out) == ["a.img"]


# -- the file itself -------------------------------------------------------------------------------


def infos(count: int) -> dict[str, PathInfo]:
    names = [f"{number:032}-{'n' * (number % 200 + 1)}" for number in range(count)]
    return {
        name: PathInfo(
            name,
            number.to_bytes(32, "little"),
            number,
            tuple(sorted(names[max(0, number - 7) : number + 1 : 2])),
            f"{names[0]}.drv" if number % 3 else None,
        )
        for number, name in enumerate(names)
    }


DIGEST = "548610b052e0e06692376f6b915b13a6271ca970bc9aa28cbc73f708d2f17748"


def test_the_bytes_are_the_same_everywhere(tmp_path: Path) -> None:
    """The bytes are pinned, like images; the order of the paths does not matter."""
    known = infos(3000)
    data = make_database(known, {})
    shuffled = dict(sorted(known.items(), key=lambda item: item[1].nar_hash[::-1]))
    assert make_database(shuffled, {}) == data
    assert hashlib.sha256(data).hexdigest() == DIGEST
    assert data[:16] == b"SQLite format 3\0"
    database = tmp_path / "db.sqlite"
    database.write_bytes(data)
    found = rows(database)
    assert len(found["paths"]) == 3000
    assert len(found["refs"]) == sum(len(info.references) for info in known.values())


def test_a_registration_of_nothing(tmp_path: Path) -> None:
    database = tmp_path / "db.sqlite"
    database.write_bytes(make_database({}, {}))
    assert rows(database) == {"paths": [], "refs": [], "outputs": []}


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        (
            rb'Derive([("out","/nix/store/x-a","","")],[],[],"s","b",[],[])',
            [("out", "/nix/store/x-a")],
        ),
        (
            rb'Derive([("dev","/d","",""),("out","/o\"\\","r:sha256","00")],[("/x.drv",["out"])],[]',
            [("dev", "/d"), ("out", '/o"\\')],
        ),
        (rb'Derive([("out","","r:sha256","")],[],', []),
        (rb'DrvWithVersion("xp-dyn-drv",[("out","/o","","")],[]', [("out", "/o")]),
    ],
)
def test_outputs_of_derivations(text: bytes, outputs: list[tuple[str, str]]) -> None:
    assert outputs_of(text) == outputs


@pytest.mark.parametrize("text", [b"", b"Derive(", b"Derive([(", b'Derive([("out","/o","")],'])
def test_malformed_derivations_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="Nix"):
        outputs_of(text)


def test_derivations_in_a_closure(tmp_path: Path) -> None:
    """The database built from them has their outputs, like Nix's own."""
    tools.require_root()
    host = NixHost(tmp_path)
    expression = tmp_path / "two.nix"
    expression.write_text(
        'derivation { name = "two"; system = builtins.currentSystem; outputs = [ "out" "dev" ]; '
        'builder = "/bin/sh"; args = [ "-c" "echo 1 > $out; echo 2 > $dev" ]; }\n'
    )
    derivation = host.run("nix-instantiate", expression).stdout.split()[-1]
    host.run("nix-build", "--no-out-link", expression)
    paths = host.run("nix-store", "-qR", "--include-outputs", derivation).stdout.split()
    assert len(paths) == 3
    (tmp_path / "store-paths").write_text("".join(f"{path}\n" for path in sorted(paths)))
    registration = host.run("nix-store", "--dump-db", *paths).stdout
    (tmp_path / "registration").write_text(registration)
    image = tmp_path / "a.img"
    done = run(
        *("nix", "--closure", tmp_path, "--store-dir", host.nix / "store", "--database"),
        *("-o", image),
    )
    assert (done.returncode, done.stderr) == (0, "")
    with mounted(image) as root:
        found = rows(root / DATABASE)
    theirs = rows(host.nix / "var/nix/db/db.sqlite")
    assert found["outputs"] == theirs["outputs"] and len(found["outputs"]) == 2
    assert found["refs"] == theirs["refs"]
    derivers = {row[0]: row[2] for row in found["paths"]}
    assert list(derivers.values()).count(derivation) == 2


# -- what the files say beside it ------------------------------------------------------------------


def test_a_database_among_the_files(closure: RealClosure, out: Path, tmp_path: Path) -> None:
    files = tmp_path / "files"
    (files / "nix/var/nix/db").mkdir(parents=True)
    (files / DATABASE).write_text("theirs")
    options = ["--files", files, "-o", out / "a.img"]
    done = run("nix", *closure.options, "--database", *options)
    assert_one_line(done, 1, "/nix/var/nix/db/db.sqlite", "is a database already")
    assert os.listdir(out) == []
    assert run("nix", *closure.options, *options).returncode == 0


def test_an_init_of_the_caller_is_kept(closure: RealClosure, tmp_path: Path) -> None:
    files = Tree()
    files.directory("/sbin", mode=0o700)
    files.file("/sbin/init", b"mine")
    tree = nix.closure(closure.paths, store_dir=closure.store, files=files, system=closure.roots[0])
    assert tree["/sbin"].mode == 0o700 and tree["/sbin/init"].content.size == 4
    files = Tree()
    files.symlink("/nix/var/nix/profiles/system", "elsewhere", parents=True)
    with pytest.raises(TreeError, match="is a profile of the system already"):
        nix.closure(closure.paths, store_dir=closure.store, files=files, system=closure.roots[0])
    with pytest.raises(SpecError, match="store_at"):
        nix.closure(closure.paths, store_dir=closure.store, store_at="/a", database=True)
