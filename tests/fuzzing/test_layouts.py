"""Any choice of a policy is valid for all; ``python -m tests.fuzzing.layouts`` tests more."""

from __future__ import annotations

import pytest

from tests.judges.tools import require, require_root

from . import layouts

# All images are judged here, in memory and by the kernel.
pytestmark = pytest.mark.damaged


def test_layouts_of_a_thousand_seeds() -> None:
    require("e2fsck")
    seen = layouts.run(1000, e2fsck_each=3)
    assert len(seen) > 20 and seen["random"] > 200 and seen["random-features"] > 50


def test_the_kernel_reads_some_of_them() -> None:
    require("e2fsck")
    require_root()
    assert layouts.run(20, 1000, kernel_each=1)["mounted"] == 20
