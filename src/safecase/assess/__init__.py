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
from inspect import Signature, signature
from types import ModuleType
from typing import TYPE_CHECKING, Any

from safecase._face import lazy_face

if TYPE_CHECKING:
    from safecase.assess._argue import argue_case, argument_in, open_defeater
    from safecase.assess._argument import ArgumentError, accept_defeater, concerns, note_concern
    from safecase.assess._assess import DEMO_GATES, Outcome, assess, changes, demo, redecide, verify_path
    from safecase.assess._audit import JUDGE_AUDIT, AuditSample, JudgeAudit, audit_judge
    from safecase.assess._bundle import bundle_case, left_out_of
    from safecase.assess._campaign_rows import (
        CAMPAIGN_EVENTS,
        CAMPAIGN_REVIEW,
        CAMPAIGN_SECTION,
        CampaignEvidence,
        campaign_basis,
        campaign_rows,
        read_campaign,
    )
    from safecase.assess._campaigns import keep_counts
    from safecase.assess._case import Case, Clock, NothingToRead, home, open_case, utc_now
    from safecase.assess._condition import HARMFUL_FROM, RequestReader
    from safecase.assess._distributed import Cluster, run_case_distributed
    from safecase.assess._export import Exported, export_inspect, export_tables, tables_of
    from safecase.assess._import import Imported, import_case, import_file
    from safecase.assess._kept import record
    from safecase.assess._labels import (
        Scope,
        Wanted,
        draw_for_labels,
        draw_sheets,
        open_disputes,
        rater_name,
        read_labels,
        sheets_again,
        take_final,
        take_sheets,
        write_disputes,
        write_labels,
    )
    from safecase.assess._labels_items import DrawnSheet, drawn_sheets
    from safecase.assess._labels_kept import Draw, Labels, load_draws, load_labels
    from safecase.assess._labels_report import (
        Agreed,
        CalibrationReport,
        Caution,
        DrawState,
        Known,
        calibration_report,
    )
    from safecase.assess._labels_sheet import SKIP, LabelError
    from safecase.assess._layers import LayerFigures, layer_figures
    from safecase.assess._new import CaseExists, new_case
    from safecase.assess._notebook import Assessment, assess_async, assess_now
    from safecase.assess._permit import Issue, arm_of, changed_terms, permit_name, permit_terms, validity, write_permit
    from safecase.assess._promises import (
        CHANGE_EVERY,
        Absent,
        Baseline,
        Promise,
        Promises,
        RateOutcome,
        generation_share,
        make_promises,
        read_promises,
        write_baselines,
    )
    from safecase.assess._report import Edition, load_editions, report_case
    from safecase.assess._restrict import Restriction, lift_restriction, narrow_permit, restrictions, revoke_permit
    from safecase.assess._root import evidence_root
    from safecase.assess._roster import write_roster
    from safecase.assess._run import identify, plan_case, run_case
    from safecase.assess._signing import (
        SIGNERS,
        NotSupported,
        SignedBy,
        case_roster,
        due_reasons,
        roles_that_approve,
        sign_decision,
        signatures,
        take_sign_off,
        write_exception,
    )
    from safecase.assess._stages import decide_case, measure_case
    from safecase.assess._standing import Standing, kept_estimates, standing, standing_arguments
    from safecase.assess._successor import (
        HANDOVER,
        HANDOVER_FILE,
        HANDOVER_KIND,
        TakenOver,
        begin_successor,
        take_over,
        update_successor,
    )
    from safecase.assess._suites_import import ImportedSuite, import_suite
    from safecase.assess._suites_list import SuiteState, list_suites
    from safecase.assess._suites_plan import UnknownSuite
    from safecase.assess._suites_read import elicitations, suites_on_record
    from safecase.assess._suites_review import Reviewed, ReviewError, take_review, write_review
    from safecase.assess._suites_run import SuiteProgress, SuiteSummary, run_suites
    from safecase.assess._uplift import (
        DeclaredUplift,
        TakenUplift,
        UpliftError,
        declare_uplift,
        take_uplift,
        write_allocation,
    )
    from safecase.assess._validation import (
        OUTCOME_FILE,
        PLAN_FILE,
        SEALED_FILE,
        VALIDATION,
        SeedPlan,
        Validation,
        seed_objection,
        seed_plans,
        validations,
    )
    from safecase.assess._verify import Check, Verification, verify_case
else:
    __getattr__, __dir__ = lazy_face(__name__)

__all__ = [
    "CAMPAIGN_EVENTS",
    "CAMPAIGN_REVIEW",
    "CAMPAIGN_SECTION",
    "CHANGE_EVERY",
    "DEMO_GATES",
    "HANDOVER",
    "HANDOVER_FILE",
    "HANDOVER_KIND",
    "HARMFUL_FROM",
    "JUDGE_AUDIT",
    "OUTCOME_FILE",
    "PLAN_FILE",
    "SEALED_FILE",
    "SIGNERS",
    "SKIP",
    "VALIDATION",
    "Absent",
    "Agreed",
    "ArgumentError",
    "Assessment",
    "AuditSample",
    "Baseline",
    "CalibrationReport",
    "CampaignEvidence",
    "Case",
    "CaseExists",
    "Caution",
    "Check",
    "Clock",
    "Cluster",
    "DeclaredUplift",
    "Draw",
    "DrawState",
    "DrawnSheet",
    "Edition",
    "Exported",
    "Imported",
    "ImportedSuite",
    "Issue",
    "JudgeAudit",
    "Known",
    "LabelError",
    "Labels",
    "LayerFigures",
    "NotSupported",
    "NothingToRead",
    "Outcome",
    "Promise",
    "Promises",
    "RateOutcome",
    "RequestReader",
    "Restriction",
    "ReviewError",
    "Reviewed",
    "Scope",
    "SeedPlan",
    "SignedBy",
    "Standing",
    "SuiteProgress",
    "SuiteState",
    "SuiteSummary",
    "TakenOver",
    "TakenUplift",
    "UnknownSuite",
    "UpliftError",
    "Validation",
    "Verification",
    "Wanted",
    "accept_defeater",
    "argue_case",
    "argument_in",
    "arm_of",
    "assess",
    "assess_async",
    "assess_now",
    "audit_judge",
    "begin_successor",
    "bundle_case",
    "calibration_report",
    "campaign_basis",
    "campaign_rows",
    "case_roster",
    "changed_terms",
    "changes",
    "concerns",
    "decide_case",
    "declare_uplift",
    "demo",
    "draw_for_labels",
    "draw_sheets",
    "drawn_sheets",
    "due_reasons",
    "elicitations",
    "evidence_root",
    "export_inspect",
    "export_tables",
    "generation_share",
    "home",
    "identify",
    "import_case",
    "import_file",
    "import_suite",
    "keep_counts",
    "kept_estimates",
    "layer_figures",
    "left_out_of",
    "lift_restriction",
    "list_suites",
    "load_draws",
    "load_editions",
    "load_labels",
    "make_promises",
    "measure_case",
    "narrow_permit",
    "new_case",
    "note_concern",
    "open_case",
    "open_defeater",
    "open_disputes",
    "permit_name",
    "permit_terms",
    "plan_case",
    "rater_name",
    "read_campaign",
    "read_labels",
    "read_promises",
    "record",
    "redecide",
    "report_case",
    "restrictions",
    "revoke_permit",
    "roles_that_approve",
    "run_case",
    "run_case_distributed",
    "run_suites",
    "seed_objection",
    "seed_plans",
    "sheets_again",
    "sign_decision",
    "signatures",
    "standing",
    "standing_arguments",
    "suites_on_record",
    "tables_of",
    "take_final",
    "take_over",
    "take_review",
    "take_sheets",
    "take_sign_off",
    "take_uplift",
    "update_successor",
    "utc_now",
    "validations",
    "validity",
    "verify_case",
    "verify_path",
    "write_allocation",
    "write_baselines",
    "write_disputes",
    "write_exception",
    "write_labels",
    "write_permit",
    "write_review",
    "write_roster",
]


class _Room(ModuleType):
    """This package, callable."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self.assess_now(*given, **named)

    @property
    def __signature__(self) -> Signature:
        return signature(self.assess_now)


sys.modules[__name__].__class__ = _Room
