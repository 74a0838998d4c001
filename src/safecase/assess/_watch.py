"""A watch that ends a run once every planned gate is decided on every arm."""

from safecase.assess._case import Case
from safecase.assess._slots import is_counted_import, sampled, slot
from safecase.declare import Sampling
from safecase.evidence import (
    Judgement,
    Trial,
)
from safecase.measure import (
    JudgeCard,
    Stopper,
    is_imported,
    standing_verdicts,
)
from safecase.run import (
    Plan,
)


class GateWatch:
    """Stops a run once every planned gate is decided on every arm; told first what is on record.

    Never where the case asks for political balance: its scenarios come last, and no gate of these decides on them.
    """

    def __init__(self, case: Case, plan: Plan, card: JudgeCard) -> None:
        gates = [gate for gate in case.framework.gates if gate.id in plan.gates]
        self._stopper = Stopper(
            case.framework,
            gates,
            card,
            (slot(trial) for trial in sampled(case, plan)),
            allocation=Sampling.model_validate(plan.sampling).allocation,
        )
        self._asks_balance = case.spec.balance is not None
        self._news: list[tuple[Trial, Judgement | None]] = []
        verdicts = standing_verdicts(case.judgements, judge_digest=card.judge_digest)
        for trial in case.standing():
            if not is_imported(trial) or is_counted_import(trial, plan):
                self.saw(trial, verdicts.get(trial.trial_id))

    def saw(self, trial: Trial, judgement: Judgement | None) -> None:
        self._news.append((trial, judgement))

    def enough(self) -> str | None:
        self._stopper.feed(self._news)
        self._news.clear()
        if self._asks_balance:
            return None
        standing = self._stopper.decided()
        return f"every one of {len(standing.gates)} gate readings is decided" if standing.may_stop else None
