"""Images of Nix closures: read store paths, registrations and binary caches; make the tree."""

STORE = "/nix/store"
"""Where every store path lies in an image, wherever the host has it."""
