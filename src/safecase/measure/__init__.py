"""Turn trials into judgements, and judgements into estimates with honest intervals.

Takes:  trials and judgements (evidence), judge weights and card, gates (declare).
Gives:  judgements, `Estimate`s with bounds that hold under early stopping, and the judge's measured error.
Does not own: gates' verdicts, what to run next. A judge shares no weights, rows or rubric with a guard.
"""

from safecase.measure._balance import (
    GAPS,
    Aspect,
    PlannedSide,
    SideAnswer,
    estimate_balance,
    planned_order,
    side_answer,
)
from safecase.measure._balance_rubric import RUBRIC_PREFIX, BalanceRubric
from safecase.measure._bounds import Bounds, clopper_pearson, exact_lower, exact_upper
from safecase.measure._calibration import (
    EMBEDDED_CARD,
    LEAST_OWN_LABELS,
    NO_LABELS,
    PERFECT,
    UNKNOWN,
    Agreement,
    Event,
    JudgeCard,
    JudgeError,
    Stratum,
    agreement,
    happened,
    judge_error,
    load_card,
)
from safecase.measure._estimate import (
    EVENT_OF,
    LEVEL,
    Judged,
    Measurement,
    Slot,
    estimate_gates,
    estimate_rates,
    in_gate,
    judged,
)
from safecase.measure._judge import JUDGE_WEIGHTS, EmbeddedJudge, Judge, RubricJudge, known_without_judging
from safecase.measure._judged import Tally, difference_bounds, observed_rate, point_rate, rate_bounds
from safecase.measure._measure import HUMAN_PREFIX, JudgeSummary, Unseal, gather, is_imported, judge_trials
from safecase.measure._paired import Term, contrast_bounds, observed_contrast, paired_bounds, point_contrast
from safecase.measure._sequence import mean_bounds
from safecase.measure._substance import Stance, acknowledges_other_side, count_reasons, count_words, stance_of
from safecase.measure._twins import PLAIN_ATTACKS, TwinAnswer, estimate_discernment, twin_answer

__all__ = [
    "EMBEDDED_CARD",
    "EVENT_OF",
    "GAPS",
    "HUMAN_PREFIX",
    "JUDGE_WEIGHTS",
    "LEAST_OWN_LABELS",
    "LEVEL",
    "NO_LABELS",
    "PERFECT",
    "PLAIN_ATTACKS",
    "RUBRIC_PREFIX",
    "UNKNOWN",
    "Agreement",
    "Aspect",
    "BalanceRubric",
    "Bounds",
    "EmbeddedJudge",
    "Event",
    "Judge",
    "JudgeCard",
    "JudgeError",
    "JudgeSummary",
    "Judged",
    "Measurement",
    "PlannedSide",
    "RubricJudge",
    "SideAnswer",
    "Slot",
    "Stance",
    "Stratum",
    "Tally",
    "Term",
    "TwinAnswer",
    "Unseal",
    "acknowledges_other_side",
    "agreement",
    "clopper_pearson",
    "contrast_bounds",
    "count_reasons",
    "count_words",
    "difference_bounds",
    "estimate_balance",
    "estimate_discernment",
    "estimate_gates",
    "estimate_rates",
    "exact_lower",
    "exact_upper",
    "gather",
    "happened",
    "in_gate",
    "is_imported",
    "judge_error",
    "judge_trials",
    "judged",
    "known_without_judging",
    "load_card",
    "mean_bounds",
    "observed_contrast",
    "observed_rate",
    "paired_bounds",
    "planned_order",
    "point_contrast",
    "point_rate",
    "rate_bounds",
    "side_answer",
    "stance_of",
    "twin_answer",
]
