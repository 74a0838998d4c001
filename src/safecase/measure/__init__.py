"""Turn trials into judgements, and judgements into estimates with honest intervals.

Takes:  trials and judgements (evidence), judge weights and card, gates (declare).
Gives:  judgements, `Estimate`s with bounds that hold under early stopping, and the judge's measured error.
Does not own: gates' verdicts, what to run next. A judge shares no weights, rows or rubric with a guard.
"""

from safecase.measure._agreement import Coefficient, cohen_kappa, krippendorff_alpha
from safecase.measure._attempts import attempt_curves
from safecase.measure._bounds import Bounds, clopper_pearson, exact_lower, exact_upper
from safecase.measure._calibration import (
    BOX_ALPHA,
    EMBEDDED_CARD,
    LEAST_OWN_LABELS,
    NO_LABELS,
    PERFECT,
    UNKNOWN,
    WIDE,
    Agreement,
    Event,
    JudgeCard,
    JudgeError,
    Stratum,
    agreement,
    happened,
    judge_error,
    labels_needed,
    load_card,
)
from safecase.measure._columns import Slot
from safecase.measure._errors import JudgeNotIndependent
from safecase.measure._estimate import (
    EVENT_OF,
    LEVEL,
    Measurement,
    estimate_gates,
    estimate_rates,
    in_gate,
)
from safecase.measure._independent import must_be_independent
from safecase.measure._index import VerdictIndex
from safecase.measure._judge import JUDGE_WEIGHTS, EmbeddedJudge, Judge, RubricJudge, known_without_judging
from safecase.measure._judged import Tallies, Tally, difference_bounds, observed_rate, point_rate, rate_bounds
from safecase.measure._labels import (
    By,
    ByVerdict,
    Candidate,
    Drawn,
    Panel,
    Settled,
    Side,
    by_verdict,
    draw_panel,
    one_per_unit,
    settle,
    weighted_points,
)
from safecase.measure._measure import HUMAN_PREFIX, JudgeSummary, Unseal, gather, is_imported, judge_batch, judge_trials
from safecase.measure._sequence import mean_bounds
from safecase.measure._stop import GateStanding, Standing, Stopper

__all__ = [
    "BOX_ALPHA",
    "EMBEDDED_CARD",
    "EVENT_OF",
    "HUMAN_PREFIX",
    "JUDGE_WEIGHTS",
    "LEAST_OWN_LABELS",
    "LEVEL",
    "NO_LABELS",
    "PERFECT",
    "UNKNOWN",
    "WIDE",
    "Agreement",
    "Bounds",
    "By",
    "ByVerdict",
    "Candidate",
    "Coefficient",
    "Drawn",
    "EmbeddedJudge",
    "Event",
    "GateStanding",
    "Judge",
    "JudgeCard",
    "JudgeError",
    "JudgeNotIndependent",
    "JudgeSummary",
    "Measurement",
    "Panel",
    "RubricJudge",
    "Settled",
    "Side",
    "Slot",
    "Standing",
    "Stopper",
    "Stratum",
    "Tallies",
    "Tally",
    "Unseal",
    "VerdictIndex",
    "agreement",
    "attempt_curves",
    "by_verdict",
    "clopper_pearson",
    "cohen_kappa",
    "difference_bounds",
    "draw_panel",
    "estimate_gates",
    "estimate_rates",
    "exact_lower",
    "exact_upper",
    "gather",
    "happened",
    "in_gate",
    "is_imported",
    "judge_batch",
    "judge_error",
    "judge_trials",
    "known_without_judging",
    "krippendorff_alpha",
    "labels_needed",
    "load_card",
    "mean_bounds",
    "must_be_independent",
    "observed_rate",
    "one_per_unit",
    "point_rate",
    "rate_bounds",
    "settle",
    "weighted_points",
]
