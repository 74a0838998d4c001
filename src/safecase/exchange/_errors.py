"""What can go wrong with others' files.

ExchangeError
├── TranscriptError   a transcript file
├── LogError          another tool's log
└── ExportError       a file of ours
"""


class ExchangeError(Exception):
    """A file cannot be taken in or given out; the message names file and place, and nothing of it was kept."""


class TranscriptError(ExchangeError):
    """A transcript file cannot be imported."""


class LogError(ExchangeError):
    """Another tool's log cannot be imported."""


class ExportError(ExchangeError):
    """What was asked for cannot be exported."""


class MissingExtra(ExchangeError):
    """A data frame was asked for and its package is not installed."""
