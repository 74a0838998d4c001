"""Turn trials into judgements, and judgements into estimates with honest intervals.

Takes:  trials and judgements (evidence), judge weights and card, gates (declare).
Gives:  judgements, `Estimate`s with bounds that hold under early stopping, and the judge's measured error.
Does not own: gates' verdicts, what to run next. A judge shares no weights, rows or rubric with a guard.
"""

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
from safecase.measure._cells import Cell, JudgedCell, cell_order, weighted_bounds, weighted_rate_bounds
from safecase.measure._clears import clearance_times, clears_at
from safecase.measure._errors import MeasureError, NoEvidence, TooFewEvents
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
from safecase.measure._passk import Attempts, PassAtK, mean_pass_at_k, pass_at_k
from safecase.measure._power import (
    Census,
    GateNeed,
    LineNeed,
    Supposed,
    census,
    chance_to_clear,
    intents_needed,
    most_events,
    plan_gate,
    simulated_power,
    underpowered,
)
from safecase.measure._ppi import LEAST_LABELLED_EVENTS, PredictionPowered, Seen, prediction_powered
from safecase.measure._sequence import mean_bounds

__all__ = [
    "EMBEDDED_CARD",
    "EVENT_OF",
    "HUMAN_PREFIX",
    "JUDGE_WEIGHTS",
    "LEAST_LABELLED_EVENTS",
    "LEAST_OWN_LABELS",
    "LEVEL",
    "NO_LABELS",
    "PERFECT",
    "UNKNOWN",
    "Agreement",
    "Attempts",
    "Bounds",
    "Cell",
    "Census",
    "EmbeddedJudge",
    "Event",
    "GateNeed",
    "Judge",
    "JudgeCard",
    "JudgeError",
    "JudgeSummary",
    "Judged",
    "JudgedCell",
    "LineNeed",
    "MeasureError",
    "Measurement",
    "NoEvidence",
    "PassAtK",
    "PredictionPowered",
    "RubricJudge",
    "Seen",
    "Slot",
    "Stratum",
    "Supposed",
    "Tally",
    "TooFewEvents",
    "Unseal",
    "agreement",
    "cell_order",
    "census",
    "chance_to_clear",
    "clearance_times",
    "clears_at",
    "clopper_pearson",
    "difference_bounds",
    "estimate_gates",
    "estimate_rates",
    "exact_lower",
    "exact_upper",
    "gather",
    "happened",
    "in_gate",
    "intents_needed",
    "is_imported",
    "judge_error",
    "judge_trials",
    "judged",
    "known_without_judging",
    "load_card",
    "mean_bounds",
    "mean_pass_at_k",
    "most_events",
    "observed_rate",
    "pass_at_k",
    "plan_gate",
    "point_rate",
    "prediction_powered",
    "rate_bounds",
    "simulated_power",
    "underpowered",
    "weighted_bounds",
    "weighted_rate_bounds",
]
