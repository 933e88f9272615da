"""The command ``ext4writer nix``: its options, its recipe and its report."""
