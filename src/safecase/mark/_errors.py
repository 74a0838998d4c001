"""What can go wrong with marks.

MarkError
├── MissingExtra     the extra `mark` is not installed
├── KeysUnusable     a keys folder cannot be used
└── NotMarkable      this file cannot carry the mark that was asked for
"""


class MarkError(Exception):
    """A file cannot be marked or read; the message names it, and nothing was written."""


class MissingExtra(MarkError):
    """A package of the extra `mark` is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"{package} is not installed; pip install 'safecase[mark]'")


class KeysUnusable(MarkError):
    """A keys folder is missing, incomplete or unreadable."""


class NotMarkable(MarkError):
    """A file cannot carry the mark that was asked for."""
