"""What can go wrong around a sandbox.

SandboxError
├── NoSandbox       no engine is here that could hold a sandbox; a run stops with this one line
├── Uncontained     an engine is here and its containment does not hold; a run stops
└── SandboxBroken   one sandbox could not start, or ended on its own; the attempt in it is an error

What a command does inside (fails, floods, runs out of time) is no error but its `ExecResult`.
"""


class SandboxError(Exception):
    """A sandbox cannot be used."""


class NoSandbox(SandboxError):
    """No engine is here that could hold a sandbox."""


class Uncontained(SandboxError):
    """An engine is here and its containment does not hold."""


class SandboxBroken(SandboxError):
    """One sandbox could not start, or ended on its own."""
