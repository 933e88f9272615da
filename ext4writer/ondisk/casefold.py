"""Folds names for directories with the casefold flag, as the kernel does, with Unicode 12.1.

The kernel compares and hashes the NFDICF form: full case folding, then canonical decomposition,
without default ignorable code points (fs/unicode/README.utf8data, mkutf8data.c). Its tables are
those of Unicode 12.1 (``EXT4_ENC_UTF8_12_1``). The standard guarantees that an assigned character
keeps its folding and its decomposition. So Python's own tables of any later version are right for
the code points that 12.1 assigned.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from functools import lru_cache

# Spans of code points that 12.1 assigned; they include all that fold, decompose or combine in it.
# From DerivedAge.txt, CaseFolding.txt and UnicodeData.txt of the Unicode Character Database.
_SPANS = """
    41-5a b5-376 37e-37f 385-38a 38c 38e-3a1 3a3-52e 531-556 587 591-5c7 610-61a 622-6ed 711-74a
    7eb-7f3 7fd-82d 859-85b 8d3-95f 9bc 9cb-9cd 9dc-9dd 9df 9fe a33 a36 a3c a4d a59-a5b a5e abc
    acd b3c b48 b4b-b4d b5c-b5d b94 bca-bcd c48 c4d c55-c56 cbc-cc0 cc7-cc8 cca-ccd d3b-d3c
    d4a-d4d dca dda-dde e38-e3a e48-e4b eb8-eba ec8-ecb f18-f43 f4d-f69 f71-f93 f9d-fb9 fc6
    1026-10c5 10c7 10cd 135d-135f 13f8-13fd 1714 1734 17d2-17dd 18a9 1939-193b 1a17-1a18 1a60-1a7c
    1a7f 1ab0-1abd 1b06-1b44 1b6b-1b73 1baa-1bf3 1c37 1c80-1c88 1c90-1cba 1cbd-1cbf 1cd0-1cf9
    1dc0-1df9 1dfb-1f15 1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4
    1fb6-1fc4 1fc6-1fd3 1fd6-1fdb 1fdd-1fef 1ff2-1ff4 1ff6-1ffd 2000-2001 20d0-20f0 2126-2183
    219a-232a 24b6-2adc 2c00-2c2e 2c60-2cf2 2d7f 2de0-2dff 302a-302f 304c-3094 3099-30fe a640-a6f1
    a722-a7be a7c2-a7c6 a806 a8c4 a8e0-a953 a9b3-a9c0 aab0-aac1 aaf6 ab70-abed ac00-d7a3 f900-fa6d
    fa70-fad9 fb00-fb06 fb13-fb17 fb1d-fb36 fb38-fb3c fb3e fb40-fb41 fb43-fb44 fb46-fb4e fe20-fe2f
    ff21-ff3a 101fd 102e0 10376-1037a 10400-10427 104b0-104d3 10a0d-10a0f 10a38-10a3a 10a3f
    10ae5-10ae6 10c80-10cb2 10d24-10d27 10f46-10f50 11046 1107f-110ba 11100-11134 11173
    111c0-111ca 11235-11236 112e9-112ea 1133b-1133c 1134b-1134d 11366-1136c 11370-11374
    11442-11446 1145e 114bb-114c3 115ba-115c0 1163f 116b6-116b7 1172b 11839-1183a 118a0-118bf
    119e0 11a34-11a47 11a99 11c3f 11d42-11d45 11d97 16af0-16af4 16b30-16b36 16e40-16e5f 1bc9e
    1d15e-1d1c0 1d242-1d244 1e000-1e006 1e008-1e018 1e01b-1e021 1e023-1e024 1e026-1e02a
    1e130-1e136 1e2ec-1e2ef 1e8d0-1e8d6 1e900-1e94a 2f800-2fa1d
"""

# Default_Ignorable_Code_Point of DerivedCoreProperties.txt, including unassigned code points.
_IGNORED = """
    ad 34f 61c 115f-1160 17b4-17b5 180b-180e 200b-200f 202a-202e 2060-206f 3164 fe00-fe0f feff ffa0
    fff0-fff8 1bca0-1bca3 1d173-1d17a e0000-e0fff
"""


class _Spans:
    """Sorted spans of code points, searched by bisection."""

    def __init__(self, text: str) -> None:
        spans = [span.partition("-") for span in text.split()]
        self._firsts = [int(first, 16) for first, _, _ in spans]
        self._lasts = [int(last or first, 16) for first, _, last in spans]

    def __contains__(self, code: int) -> bool:
        place = bisect_right(self._firsts, code) - 1
        return place >= 0 and code <= self._lasts[place]


_KNOWN, _IGNORABLE = _Spans(_SPANS), _Spans(_IGNORED)


def casefold(name: bytes) -> bytes | None:
    """The form of ``name`` that is compared and hashed; None if ``name`` is not valid UTF-8.

    Rules: fs/unicode/utf8-core.c:utf8_casefold. Without strict mode the kernel compares and hashes
    the bytes of an invalid name unchanged.
    """
    if name.isascii():
        return name.lower()
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return None
    folded: list[str] = []
    run: list[tuple[int, str]] = []
    # utf8-norm.c:utf8byte sorts the code points between two of combining class 0 by their class.
    # A decomposition has one class for all that it yields only where it begins with class 0.
    for part in map(_folded, text):
        for character, combining in part or (("", 0),):
            if combining:
                run.append((combining, character))
                continue
            folded += _in_order(run)
            run.clear()
            folded.append(character)
    folded += _in_order(run)
    return "".join(folded).encode()


def _in_order(run: list[tuple[int, str]]) -> list[str]:
    return [character for _, character in sorted(run, key=lambda each: each[0])]


@lru_cache(maxsize=4096)
def _folded(character: str) -> tuple[tuple[str, int], ...]:
    """The characters that one code point folds to, each with its combining class.

    The result is empty for an ignorable code point.
    """
    code = ord(character)
    if code in _IGNORABLE:
        return ()
    if code not in _KNOWN:
        return ((character, 0),)
    before, text = "", character
    while text != before:
        before, text = text, unicodedata.normalize("NFD", text.casefold())
    return tuple((each, unicodedata.combining(each)) for each in text)
