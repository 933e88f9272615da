"""The benchmarks: ext4writer beside other tools, on the same machine and in the same minutes."""
