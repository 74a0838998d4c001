"""`/reset-ai` in a chat: the account's content becomes unreadable, now."""

from dataclasses import dataclass
from pathlib import Path

from safecase.evidence import Ledger
from safecase.monitor._content import ContentVault

RESET = "/reset-ai"
BY_SUBJECT = "account holder"
"""Who asked for it, in the ledger: whoever holds a key of the account. Their pseudonym would stay there for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetCommand:
    """What a gateway calls with a message that looks like a command. May travel to worker processes.

    Args:
        ledger: file of the case's ledger.
    """

    contents: ContentVault
    ledger: Path

    def __call__(self, account: str, text: str) -> str | None:
        """Answer a command; None for what is none, which goes to the model like any other message."""
        if text.strip() != RESET:
            return None
        done = self.contents.forget(account, ledger=Ledger(self.ledger), actor=BY_SUBJECT)
        if not done.key:
            return "Nothing that you wrote here is kept."
        return f"What was kept of your conversations can no longer be read by anyone. Receipt: {done.key}"
