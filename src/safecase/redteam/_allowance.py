"""What one participant has used up, held against the campaign's limits."""

from collections import deque
from dataclasses import dataclass, field

from safecase.redteam._campaign import Limits
from safecase.web import Refused

_MINUTE_S = 60.0


@dataclass(slots=True)
class Allowance:
    """One participant's use. Counts come from evidence when a server starts; the pace of the last minute does not.

    Attributes:
        reserved: tokens that messages in flight may still take.
    """

    limits: Limits
    conversations: int = 0
    messages: int = 0
    tokens: int = 0
    findings: int = 0
    reserved: int = 0
    sent_at: deque[float] = field(default_factory=deque)

    def take_conversation(self) -> None:
        """Count a conversation.

        Raises:
            Refused: none is left.
        """
        if self.conversations >= self.limits.conversations:
            raise _spent("conversations", self.limits.conversations)
        self.conversations += 1

    def take_message(self, *, reserve: int, monotonic_s: float) -> None:
        """Count a message and set tokens aside for it.

        Raises:
            Refused: too fast (with the time to wait), or the tokens are used up.
        """
        while self.sent_at and monotonic_s - self.sent_at[0] >= _MINUTE_S:
            self.sent_at.popleft()
        if len(self.sent_at) >= self.limits.messages_per_minute:
            wait = _MINUTE_S - (monotonic_s - self.sent_at[0])
            text = f"{self.limits.messages_per_minute} messages a minute are allowed; wait {wait:.0f} s"
            raise Refused(429, "too-fast", text, retry_after_s=wait)
        if self.tokens + self.reserved + reserve > self.limits.tokens:
            raise _spent("tokens", self.limits.tokens)
        self.sent_at.append(monotonic_s)
        self.messages += 1
        self.reserved += reserve

    def give_back(self) -> None:
        """Uncount the last message: nobody looked at it. What was set aside for it is settled as ever."""
        self.messages -= 1
        if self.sent_at:
            self.sent_at.pop()

    def settle(self, *, reserved: int, tokens: int) -> None:
        """Put the tokens really used in place of those set aside."""
        self.reserved -= reserved
        self.tokens += tokens

    def take_finding(self) -> None:
        """Count a finding.

        Raises:
            Refused: none is left.
        """
        if self.findings >= self.limits.findings:
            raise _spent("findings", self.limits.findings)
        self.findings += 1

    def left(self) -> dict[str, int]:
        """What is left, for the participant."""
        return {
            "conversations": self.limits.conversations - self.conversations,
            "tokens": max(0, self.limits.tokens - self.tokens - self.reserved),
            "findings": self.limits.findings - self.findings,
        }


def _spent(what: str, limit: int) -> Refused:
    return Refused(403, "limit-spent", f"your {limit} {what} are used up; ask whoever gave you the key")
