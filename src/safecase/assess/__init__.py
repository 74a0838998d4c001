"""A case from end to end: each stage does only what is missing, and `verify` does all of it again.

Takes:  a case directory, a target.
Gives:  plan, evidence, estimates, signed findings, determination and decision, permits, report; a `Verification`.
Does not own: any stage's own work; it calls the rooms in order and keeps the case's files.

The package is also a function: `safecase.assess("openai/...")` is the one call of a notebook (see `assess_now`).
Python binds a subpackage as an attribute of its parent whenever anything imports it, so a function of that name in
`safecase` would be one thing before that and another after. Instead the module itself can be called, and
`safecase.assess` means the same at any time.
"""

import sys
from inspect import signature
from types import ModuleType

from safecase.assess._assess import DEMO_GATES, Outcome, assess, changes, demo, redecide, verify_path
from safecase.assess._bundle import bundle_case
from safecase.assess._case import Case, Clock, NothingToRead, home, open_case, utc_now
from safecase.assess._distributed import Cluster, run_case_distributed
from safecase.assess._export import Exported, export_inspect, export_tables, tables_of
from safecase.assess._import import Imported, import_case, import_file
from safecase.assess._labels import (
    Scope,
    Wanted,
    draw_for_labels,
    draw_sheets,
    open_disputes,
    read_labels,
    sheets_again,
    take_final,
    take_sheets,
    write_disputes,
    write_labels,
)
from safecase.assess._labels_kept import Draw, Labels, load_draws, load_labels
from safecase.assess._labels_report import (
    Agreed,
    CalibrationReport,
    Caution,
    DrawState,
    Known,
    calibration_report,
)
from safecase.assess._labels_sheet import LabelError
from safecase.assess._new import CaseExists, new_case
from safecase.assess._notebook import Assessment, assess_async, assess_now
from safecase.assess._report import report_case
from safecase.assess._roster import write_roster
from safecase.assess._signing import NotSupported, due_reasons, sign_decision, write_exception, write_permit
from safecase.assess._stages import decide_case, identify, measure_case, plan_case, record, run_case
from safecase.assess._verify import Check, Verification, verify_case

__all__ = [
    "DEMO_GATES",
    "Agreed",
    "Assessment",
    "CalibrationReport",
    "Case",
    "CaseExists",
    "Caution",
    "Check",
    "Clock",
    "Cluster",
    "Draw",
    "DrawState",
    "Exported",
    "Imported",
    "Known",
    "LabelError",
    "Labels",
    "NotSupported",
    "NothingToRead",
    "Outcome",
    "Scope",
    "Verification",
    "Wanted",
    "assess",
    "assess_async",
    "assess_now",
    "bundle_case",
    "calibration_report",
    "changes",
    "decide_case",
    "demo",
    "draw_for_labels",
    "draw_sheets",
    "due_reasons",
    "export_inspect",
    "export_tables",
    "home",
    "identify",
    "import_case",
    "import_file",
    "load_draws",
    "load_labels",
    "measure_case",
    "new_case",
    "open_case",
    "open_disputes",
    "plan_case",
    "read_labels",
    "record",
    "redecide",
    "report_case",
    "run_case",
    "run_case_distributed",
    "sheets_again",
    "sign_decision",
    "tables_of",
    "take_final",
    "take_sheets",
    "utc_now",
    "verify_case",
    "verify_path",
    "write_disputes",
    "write_exception",
    "write_labels",
    "write_permit",
    "write_roster",
]


class _Room(ModuleType):
    """This package, callable."""

    __call__ = staticmethod(assess_now)
    __signature__ = signature(assess_now)  # else tools would take its first parameter for `self`


sys.modules[__name__].__class__ = _Room
