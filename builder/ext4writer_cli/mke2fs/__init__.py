"""The command line of mke2fs(8), based on the same library."""
