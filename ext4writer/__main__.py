"""Runs the command for ``python -m ext4writer``, if its package is installed."""

from ext4writer_cli.__main__ import main

if __name__ == "__main__":
    main()
