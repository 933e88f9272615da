"""References are found wherever a hash occurs, and nowhere else."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ext4writer.nix.references import STEP_BYTES, Candidates, ReferenceScanner
from ext4writer.nix.store_paths import BASE32

DIGITS = BASE32.encode()


def found(data: bytes, names: list[str], cuts: list[int]) -> set[str]:
    """The hashes that a scanner finds in ``data``, passed to it in pieces."""
    scanner = ReferenceScanner(Candidates(names))
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        scanner.feed(memoryview(data)[start:end])
    return scanner.found


def names_of(chance: random.Random, count: int, alphabet: bytes) -> list[str]:
    hashes = {bytes(chance.choices(alphabet, k=32)).decode() for _ in range(count)}
    return [f"{digits}-name" for digits in sorted(hashes)]


@given(
    seed=st.integers(0, 1 << 40),
    alphabet=st.sampled_from([b"ab", b"abc0", DIGITS]),
    cuts=st.lists(st.integers(0, 10_000), max_size=6),
)
@settings(max_examples=400, deadline=None)
def test_every_hash_is_found_and_no_other(seed: int, alphabet: bytes, cuts: list[int]) -> None:
    """A small alphabet gives hashes that overlap themselves and each other."""
    chance = random.Random(seed)
    names = names_of(chance, 8, alphabet)
    pieces = []
    for _ in range(chance.randrange(12)):
        match chance.randrange(5):
            case 0:
                pieces.append(chance.choice(names)[:32].encode())
            case 1:
                pieces.append(chance.choice(names)[: chance.randrange(32)].encode())
            case 2:
                pieces.append(bytes(chance.choices(alphabet, k=chance.randrange(70))))
            case 3:
                pieces.append(chance.choice([b"/nix/store/", b"-", b"\0", b"e", b"\xff", b""]))
            case _:
                pieces.append(chance.randbytes(chance.randrange(40)))
    data = b"".join(pieces)
    expected = {name for name in names if name[:32].encode() in data}
    assert found(data, names, cuts) == expected


def test_a_hash_across_every_edge_of_a_step() -> None:
    [name] = names_of(random.Random(1), 1, DIGITS)
    for start in range(STEP_BYTES - 33, STEP_BYTES + 2):
        for fill in (b"\0", b"a"):
            data = fill * start + name[:32].encode() + fill * 100
            assert found(data, [name], []) == {name}
            assert found(data, [name], [start + 5, start + 6, start + 31]) == {name}


def test_two_names_with_one_hash() -> None:
    digits = "0" * 32
    assert found(digits.encode(), [f"{digits}-a", f"{digits}-b"], []) == {
        f"{digits}-a",
        f"{digits}-b",
    }
