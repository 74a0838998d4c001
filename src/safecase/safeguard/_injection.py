"""Instructions hidden in what a tool or a retrieved page gave back."""

from dataclasses import dataclass

from safecase.detect import OVERRIDE_RULES, Head, find_rules
from safecase.evidence import digest_value
from safecase.safeguard._spelling import readings
from safecase.safeguard._values import Exchange, Ruling, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionLayer:
    """Withholds where a tool's result or description tries to override the conversation's instructions.

    A rule alone withholds: people quote such phrases to a model, tools have no reason to address it. The head of
    jailbreak prompts is asked too, where the stack names it.

    Attributes:
        heads: none, or the shipped `jailbreak-prompt` with its threshold.
    """

    name: str
    stage: Stage
    heads: tuple[Head, ...] = ()
    weights_digest: str | None = None
    principle: str | None = None
    reach: int = 8_000

    @property
    def digest(self) -> str:
        """Configuration and weights; the rules are in the stack's code digest."""
        heads = [[head.name, head.threshold] for head in self.heads]
        return digest_value([self.name, self.stage, "injection", heads, self.weights_digest, self.principle])

    async def check(self, exchange: Exchange) -> Ruling:
        """Withhold on a rule, or on a head over its threshold."""
        parts = exchange.asked() if exchange.stage == "input" else exchange.replied()
        texts = [part.text for part in parts if part.channel in ("tool-result", "description")]
        if any(find_rules(reading, OVERRIDE_RULES) for text in texts for reading in readings(text)):
            return Ruling(action="withhold", score=1.0, principle=self.principle)
        scores = [(head.score(text), head.threshold) for head in self.heads for text in texts if text.strip()]
        crossed = any(score >= threshold for score, threshold in scores)
        top = max((score for score, _ in scores), default=0.0)
        return Ruling(
            action="withhold" if crossed else "allow", score=top, principle=self.principle if crossed else None
        )
