"""For any features and sizes that affect the groups: e2fsck, our check and the promises hold."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ext4writer
from ext4writer import RandomPolicy, SizeError, Spec, SpecError, Tree
from ext4writer.inspection.check import check_image
from ext4writer.layout import plan_of
from ext4writer.planning.spec import MIB
from ext4writer.read import open_image
from tests.judges.fsck import judge
from tests.makers.strategies import trees

pytestmark = pytest.mark.judged("quick")

LARGEST_BYTES = 600 * MIB


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    """Options of a Spec that affect the size and the metadata of groups."""
    block_size = draw(st.sampled_from([1024, 2048, 4096, 16384, 65536]))
    options: dict[str, Any] = {"block_size": block_size}
    meta_bg, clusters, is_64bit = (draw(st.booleans()) for _ in range(3))
    words = ["64bit" if is_64bit else "^64bit"]
    words.append(draw(st.sampled_from(["", "^sparse_super", "sparse_super2"])))
    if meta_bg:
        words.append("meta_bg")
        options["first_meta_bg"] = draw(st.integers(0, 2))
    if meta_bg or words[1] == "^sparse_super" or draw(st.booleans()):
        words.append("^resize_inode")
    if clusters:
        words.append("bigalloc")
        options["cluster_size"] = block_size << draw(st.integers(0, 9))
    elif draw(st.booleans()):
        options["blocks_per_group"] = draw(st.sampled_from([256, 1024, 4096]))
    if is_64bit:
        options["desc_size"] = draw(st.sampled_from([None, 64, 128, 1024]))
    elif not clusters and draw(st.booleans()):
        words.append("^extent")
    if draw(st.booleans()):
        words.append("^flex_bg")
    else:
        options["groups_per_flex"] = 1 << draw(st.integers(0, 31))
        options["packed_meta_blocks"] = draw(st.booleans())
    words.append(draw(st.sampled_from(["", "^metadata_csum", "^metadata_csum,uninit_bg"])))
    options["features"] = ",".join(filter(None, words))
    if draw(st.booleans()):
        odd = draw(st.sampled_from([0, 512, 4096, 65536]))
        options["size"] = draw(st.integers(1, 400)) * MIB + odd
        options["group_tables"] = draw(st.sampled_from(["compact", "mke2fs"]))
        options["raid_stride"] = draw(st.sampled_from([0, 0, 7, 5000]))
        options["lazy_itable_init"] = draw(st.booleans())
    else:
        options["free"] = draw(st.integers(0, 300)) * MIB // draw(st.sampled_from([1, 3, 17]))
        options["align"] = draw(st.sampled_from([None, "100K", "3M"]))
    options["reserved_percent"] = draw(st.sampled_from([0, 0, 5, 33.3, 50]))
    options["policy"] = draw(st.sampled_from([None, None, RandomPolicy(3), RandomPolicy(11)]))
    options["journal"] = draw(st.sampled_from(["auto", "auto", "none"]))
    return options


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.filter_too_much,
        HealthCheck.too_slow,
    ],
)
@given(tree=trees(max_nodes=8), options=geometries(), seed=st.integers(0, 5))
def test_any_geometry(
    tree: Tree, options: dict[str, Any], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(seed)
    for number in range(seed):
        # Runs of data and holes that do not end at clusters.
        parts = (
            chance.randbytes(chance.randrange(1, 9000)) + bytes(chance.randrange(100_000))
            for _ in range(8)
        )
        tree.file(f"holes of the test {number}", b"".join(parts))
    try:
        spec = Spec(**options)
        layout = ext4writer.plan(tree, spec)
    except (SpecError, SizeError):
        assume(False)
        raise
    assume(layout.size_bytes <= LARGEST_BYTES)
    image = tmp_path_factory.mktemp("geometry") / "image"
    ext4writer.write_layout(layout, image)
    judge(image, "quick")
    with open_image(image) as opened:
        # An image records which groups have backups, but not the policy's choice behind them.
        assert opened.format == replace(plan_of(layout).format, backup_numbers=None)
        assert check_image(opened).is_clean
    if spec.size is None:
        assert layout.available_bytes >= spec.fitted_free
    if spec.align is not None:
        assert layout.size_bytes % spec.align == 0
    image.unlink()
