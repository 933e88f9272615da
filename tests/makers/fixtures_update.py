"""Rewrites the digests in ``fixtures/`` after an intended change of the images.

    python -m tests.makers.fixtures_update [NAME...]

A digest is a promise to everyone who compares images. Say in ``CHANGELOG.md`` why it changed.
"""

from __future__ import annotations

import sys

from tests.makers.manifests import DIGEST, digest, load, manifests


def main(names: list[str]) -> None:
    """Update the manifests of these names, or all."""
    unknown = set(names) - {path.stem for path in manifests()}
    if unknown:
        sys.exit(f"no such manifest: {', '.join(sorted(unknown))}")
    for path in manifests():
        if names and path.stem not in names:
            continue
        manifest = load(path)
        found = digest(manifest.tree, manifest.spec)
        if found != manifest.sha256:
            path.write_text(DIGEST.sub(f'sha256 = "{found}"', path.read_text(), count=1))
        print(f"{'same   ' if found == manifest.sha256 else 'CHANGED'} {path.stem} {found}")


if __name__ == "__main__":
    main(sys.argv[1:])
