"""``python -m ext4writer`` is the command, where its package is installed too."""

from ext4writer_cli.__main__ import main

if __name__ == "__main__":
    main()
