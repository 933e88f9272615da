"""The benchmarks compare ext4writer with other tools, on the same machine and at the same time."""
