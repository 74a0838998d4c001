"""What the arena cannot do.

ArenaError
├── ActionUnread     a model's answer holds no action
├── ScoreUnread      a model's answer holds no score
├── UnknownName      no protocol, policy or task has this name
└── SettingRefused   a foreign setting lacks what the seam asks for
"""


class ArenaError(Exception):
    """The arena cannot go on."""


class ActionUnread(ArenaError, ValueError):
    """A model's answer holds no action."""


class ScoreUnread(ArenaError, ValueError):
    """A model's answer holds no score."""


class UnknownName(ArenaError, ValueError):
    """No protocol, policy or task has this name."""


class SettingRefused(ArenaError, ValueError):
    """A foreign setting lacks what the seam asks for."""
