"""A case from end to end: each stage does only what is missing, and `verify` does all of it again.

Takes:  a case directory, a target.
Gives:  plan, evidence, estimates, signed findings, determination and decision, permits, report; a `Verification`.
Does not own: any stage's own work; it calls the rooms in order and keeps the case's files.
"""

from safecase.assess._assess import DEMO_GATES, Outcome, assess, changes, demo, redecide, verify_path
from safecase.assess._bundle import bundle_case
from safecase.assess._case import Case, NothingToRead, home, open_case
from safecase.assess._distributed import Cluster, run_case_distributed
from safecase.assess._labels import LabelError, draw_for_labels, read_labels, write_labels
from safecase.assess._new import CaseExists, new_case
from safecase.assess._report import report_case
from safecase.assess._roster import write_roster
from safecase.assess._signing import NotSupported, due_reasons, sign_decision, write_exception, write_permit
from safecase.assess._stages import decide_case, import_case, measure_case, plan_case, run_case
from safecase.assess._verify import Check, Verification, verify_case

__all__ = [
    "DEMO_GATES",
    "Case",
    "CaseExists",
    "Check",
    "Cluster",
    "LabelError",
    "NotSupported",
    "NothingToRead",
    "Outcome",
    "Verification",
    "assess",
    "bundle_case",
    "changes",
    "decide_case",
    "demo",
    "draw_for_labels",
    "due_reasons",
    "home",
    "import_case",
    "measure_case",
    "new_case",
    "open_case",
    "plan_case",
    "read_labels",
    "redecide",
    "report_case",
    "run_case",
    "run_case_distributed",
    "sign_decision",
    "verify_case",
    "verify_path",
    "write_exception",
    "write_labels",
    "write_permit",
    "write_roster",
]
