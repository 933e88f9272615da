"""File capabilities by name give the bytes that the kernel stores for setcap."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer import Tree, sources
from ext4writer.edit.capabilities import NAMES, XATTR, capability_value
from ext4writer.edit.rules import apply_rules
from ext4writer.edit.rules_set import set_rule
from tests.judges import tools
from tests.judges.kernel import mounted
from tests.judges.tools import require_root, run

TEXTS = [
    "cap_net_bind_service=ep",
    "cap_net_raw,cap_kill+ep",
    "CAP_SYS_ADMIN=i",
    "cap_chown=p cap_fowner=p",
    "cap_chown=eip cap_kill=eip",
    "cap_checkpoint_restore,cap_bpf,cap_perfmon=ep",
    "cap_chown=e+p",
    "cap_chown,cap_kill=ep cap_kill-ep",
    "cap_chown=p+e",
    "cap_chown+p cap_chown+e",
]


def set_by_setcap(text: str, place: Path) -> bytes | None:
    """What the kernel stores for ``text``, or None if setcap refuses it."""
    place.write_bytes(b"")
    done = subprocess.run([tools.require("setcap"), text, place], capture_output=True)
    if done.returncode:
        return None
    return os.getxattr(place, "security.capability")


@pytest.mark.parametrize("text", TEXTS)
def test_the_bytes_are_those_that_the_kernel_has(text: str, tmp_path: Path) -> None:
    require_root()
    assert capability_value(text) == set_by_setcap(text, tmp_path / "f")


def test_every_name_has_the_number_that_libcap_has(tmp_path: Path) -> None:
    require_root()
    for number, name in enumerate(NAMES):
        expected = set_by_setcap(f"cap_{name}=p", tmp_path / "f")
        assert expected == capability_value(f"cap_{name}=p"), number


def test_random_texts(tmp_path: Path) -> None:
    """This includes texts that a file cannot hold."""
    require_root()
    rng = random.Random(3)
    refused = 0
    for _ in range(60):
        clauses = []
        for _ in range(rng.randrange(1, 4)):
            names = ",".join(f"cap_{name}" for name in rng.sample(NAMES, rng.randrange(1, 4)))
            signs = [rng.choice("=+-") + "".join(rng.sample("eip", rng.randrange(1, 4)))]
            clauses.append(names + "".join(signs))
        text = " ".join(clauses)
        expected = set_by_setcap(text, tmp_path / "f")
        try:
            assert capability_value(text) == expected, text
        except ValueError:
            refused += 1
            assert expected is None, text
    assert 5 < refused < 55


def test_capabilities_in_a_user_namespace(tmp_path: Path) -> None:
    require_root()
    place = tmp_path / "f"
    place.write_bytes(b"")
    run(["setcap", "-n", "1000", "cap_net_raw=ep", place])
    assert os.getxattr(place, XATTR) == capability_value("cap_net_raw=ep", 1000)


def test_getcap_reads_them_in_the_image(make_image) -> None:
    tree = Tree()
    for number, text in enumerate(TEXTS):
        tree.file(f"/f{number}", b"")
        apply_rules(tree, [set_rule(f"f{number}: caps='{text}'")])
    with mounted(make_image(tree)) as point:
        for number, text in enumerate(TEXTS):
            assert run(["setcap", "-v", text, point / f"f{number}"]).stdout.endswith(": OK\n")
        found = sources.directory(point)
        assert found["/f0"].xattrs == tree["/f0"].xattrs


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no capabilities are named"),
        ("cap_kill", "is not like"),
        ("cap_kill=x", "is not like"),
        ("=ep cap_", "is not like"),
        ("cap_nothing=ep", "'cap_nothing' is not a capability"),
        ("+ep", "'' is not a capability"),
        ("cap_kill,=p", "'' is not a capability"),
        ("cap_kill=e cap_chown=p", "all of its capabilities effective or none"),
    ],
)
def test_invalid_values_are_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        capability_value(text)


def test_all() -> None:
    assert capability_value("all=ep") == capability_value("=ep")
    everything = ",".join(f"cap_{name}" for name in NAMES)
    assert capability_value("=ep") == capability_value(f"{everything}=ep")
    assert capability_value("=ep cap_kill-ep") != capability_value("=ep")


@settings(max_examples=200)
@given(text=st.text(alphabet="cap_kilehown,=+-ip ", max_size=40))
def test_any_text_is_a_value_or_an_error(text: str) -> None:
    try:
        assert len(capability_value(text)) == 20
    except ValueError as error:
        assert "\n" not in str(error)
