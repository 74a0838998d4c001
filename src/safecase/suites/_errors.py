"""SuiteMissing."""


class SuiteMissing(Exception):
    """A suite cannot be had here; the message says what it would take."""
