"""Any tree with any Spec gives a clean image, from which the kernel reads back the tree."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import RandomPolicy, Spec, SpecError, Tree, TreeError
from tests.judges.compare import assert_tree_equal
from tests.judges.kernel import mounted
from tests.judges.tools import require_root
from tests.makers.strategies import specs, trees

EXAMPLES = 120


@pytest.mark.judged("quick")
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(tree=trees(), spec=specs(), policy=st.none() | st.integers(0, 99), workers=st.integers(1, 3))
def test_tree_survives_image(
    tree: Tree, spec: Spec, policy: int | None, workers: int, tmp_path: Path
) -> None:
    require_root()
    spec = replace(spec, policy=None if policy is None else RandomPolicy(policy))
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        image = Path(folder, "image")
        try:
            layout = ext4writer.write_image(tree, image, spec, workers=workers)
        except (TreeError, SpecError) as error:
            # Trees that do not fit the Spec, as to block size or attributes, are refused by name.
            assert str(error)
            assume(False)
        assert image.stat().st_size == layout.size_bytes == sum(layout.space.values())
        with mounted(image) as point:
            assert_tree_equal(tree, point, spec)
