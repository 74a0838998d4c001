"""The judge of a case, and how often it errs."""

from safecase.assess._case import Case
from safecase.measure import (
    EMBEDDED_CARD,
    EmbeddedJudge,
    Judge,
    JudgeCard,
    RubricJudge,
    load_card,
)
from safecase.models import open_model


class CaseJudge:
    """The judge of a case, with its card; an LLM judge's model is closed afterwards."""

    def __init__(self, case: Case) -> None:
        name = case.spec.judge
        self._model = open_model(name.removeprefix("llm/")) if name.startswith("llm/") else None

    async def __aenter__(self) -> tuple[Judge, JudgeCard]:
        judge: Judge = RubricJudge(self._model) if self._model else EmbeddedJudge()
        return judge, judge_card(judge)

    async def __aexit__(self, *_: object) -> None:
        if self._model:
            await self._model.aclose()


def judge_card(judge: Judge) -> JudgeCard:
    """The card that ships for the embedded judge; an empty one for a judge (or a state of it) never measured."""
    if EMBEDDED_CARD.exists():
        card = load_card(EMBEDDED_CARD)
        if card.judge_digest == judge.digest:
            return card
    return unmeasured_card(judge.id, judge.digest)


def unmeasured_card(judge_id: str, judge_digest: str) -> JudgeCard:
    """The card of a judge that nobody measured: only an arm's own labels calibrate it."""
    return JudgeCard(
        judge=judge_id, judge_digest=judge_digest, margin=1.0, strata=(), sources={}, limits=("never measured",)
    )
