"""Randomness that a name decides: the same name, the same draws, on every machine."""

from random import Random


def seeded(name: str) -> Random:
    """A generator seeded by a text. Nothing secret hangs on it."""
    return Random(name)  # noqa: S311  reproducible on purpose
