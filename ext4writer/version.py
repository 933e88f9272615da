"""The version of this release; pyproject.toml states it, too."""

__version__ = "0.1.0"
