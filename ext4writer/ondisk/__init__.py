"""Floor 0: the on-disk format of ext4. Declarations and pure functions; no I/O and no policy."""
