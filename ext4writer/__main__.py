"""``python -m ext4writer`` runs the command, if its package is installed, too."""

from ext4writer_cli.__main__ import main

if __name__ == "__main__":
    main()
