"""What can go wrong.

MonitorError
+-- SourceTrouble     a source cannot be read now
+-- StoreTrouble      the monitor's own file cannot be used
+-- AlertTrouble      an alert could not be delivered now
+-- ContentGone       content whose key was destroyed, or whose time is over
+-- ContentBroken     content that does not open otherwise
"""


class MonitorError(Exception):
    """The monitor cannot do what was asked."""


class SourceTrouble(MonitorError):
    """A source cannot be read now, or a line of it is not what it should be."""


class StoreTrouble(MonitorError, ValueError):
    """The monitor's file is of another version or another set of watchers, or another monitor holds it."""


class AlertTrouble(MonitorError):
    """A sink did not take an alert. It stays undelivered and is tried again."""


class ContentGone(MonitorError):
    """Content that nobody reads any more: its key was destroyed, or its time is over."""


class ContentBroken(MonitorError):
    """Content that does not open although its key is there: changed, or of another call."""
