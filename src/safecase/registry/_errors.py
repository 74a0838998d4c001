"""What can go wrong in a registry.

RegistryError
├── NoSuchRecord         no record of that kind has that id
├── AlreadyRecorded      a record of that id is there
├── ContentErased        the key of a content was destroyed; nobody can read it again
├── ContentUnreadable    a content does not open under this registry's key, or its bytes were changed
├── RegistryBroken       the chain of events does not hold, or the tables are of another version
└── RegistryUnavailable  the database cannot be reached or written
"""


class RegistryError(Exception):
    """The registry cannot do what was asked."""


class NoSuchRecord(RegistryError):
    """No record of that kind has that id."""


class AlreadyRecorded(RegistryError):
    """A record of that id is there already; records are changed, not added twice."""


class ContentErased(RegistryError):
    """The key of a content was destroyed."""


class ContentUnreadable(RegistryError):
    """A content does not open: another key, or changed bytes."""


class RegistryBroken(RegistryError):
    """What the database holds cannot be trusted."""


class RegistryUnavailable(RegistryError):
    """The database cannot be reached or written; nothing of this step was kept."""
