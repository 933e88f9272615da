"""The command line ``ext4writer``: it reads options, calls the library and prints a report."""
