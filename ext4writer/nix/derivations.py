"""Parses the outputs of a store derivation, a file ``NAME.drv``.

The file is an ATerm: ``Derive([("out","/nix/store/...","",""),...],...)``
(``src/libstore/derivations.cc``, parseDerivation).
"""

from __future__ import annotations

import re

SUFFIX = ".drv"

_STRING = rb'"((?:[^"\\]|\\.)*)"'
_OUTPUT = re.compile(rb"\(%b,%b,%b,%b\)" % ((_STRING,) * 4), re.DOTALL)
_BEGINNING = re.compile(rb'Derive\(\[|DrvWithVersion\("[^"\\]*",\[')
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def outputs_of(derivation: bytes) -> list[tuple[str, str]]:
    """(symbolic name, path) of each output with a path known before the build.

    Raises ``ValueError`` if ``derivation`` is not a derivation.
    """
    begins = _BEGINNING.match(derivation)
    if begins is None:
        raise ValueError("is not a derivation in the form Nix writes")
    found = []
    position = begins.end()
    while (output := _OUTPUT.match(derivation, position)) is not None:
        name, path = (_text(each) for each in output.groups()[:2])
        if path:
            found.append((name, path))
        position = output.end()
        if derivation[position : position + 1] == b",":
            position += 1
    if derivation[position : position + 1] != b"]":
        raise ValueError("has a list of outputs that Nix does not write")
    return found


def _text(quoted: bytes) -> str:
    plain = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), quoted)
    return plain.decode("utf-8", "surrogateescape")
