"""mke2fs's own command line, in front of the same library."""
