"""Watch live traffic: rates held against what the report promised, and whatever testing missed.

Takes:  call events (a gateway's, OpenTelemetry spans, logs), live promises of a case.
Gives:  alerts, and panels that say how each rate stands and what it could detect by now.
Does not own: serving, safeguards, what an alert leads to (respond). It opens no sealed content unless a person asks;
it holds the keys to what calls contained, by data subject, and destroys them.
"""

from safecase.monitor._accounts import AccountFilter, Session, Sessions, Unit
from safecase.monitor._alerts import (
    Alertmanager,
    AlertSink,
    Console,
    LedgerSink,
    Mail,
    Webhook,
    is_from_us,
    open_sink,
)
from safecase.monitor._aside import Aside, set_aside
from safecase.monitor._audit import AuditSampler, Draw, is_for_label
from safecase.monitor._audit_rate import Audited, AuditedRate, audited_rate
from safecase.monitor._audit_run import AuditPromise, AuditRun, AuditTally, suspicion
from safecase.monitor._changes import FallStakes, SideBySide, Usual, usual_rates
from safecase.monitor._clusters import Cluster, Clusters
from safecase.monitor._content import ContentVault, Forgotten, Swept, content_vault
from safecase.monitor._eprocess import EDetector, EProcess, OneSeries, Stakes
from safecase.monitor._errors import (
    AlertTrouble,
    ContentBroken,
    ContentGone,
    MonitorError,
    SourceTrouble,
    StoreTrouble,
)
from safecase.monitor._groups import ChangePanel, change_json
from safecase.monitor._labels import Corrected, correct_rates, read_event_labels
from safecase.monitor._line_files import LineFiles
from safecase.monitor._misuse import Misuse, proposed_action
from safecase.monitor._monitor import BatchReader, Monitor, MonitorOptions, Opener, Tally
from safecase.monitor._places import Places, Reference, Text, make_reference, reference_texts
from safecase.monitor._queue import Proposal, decide_proposal, open_proposals
from safecase.monitor._rates import Panel, Rates, baselines, panel_json
from safecase.monitor._readings import Detectors
from safecase.monitor._reset import BY_SUBJECT, RESET, ResetCommand
from safecase.monitor._sealed import ContentOpener, Look, look
from safecase.monitor._silence import Layer, case_layers, layers_of
from safecase.monitor._sources import (
    EventFiles,
    EventJetStream,
    EventQueue,
    Source,
    log_files,
    open_source,
    span_files,
)
from safecase.monitor._store import MonitorStore, state_file
from safecase.monitor._traffic import Changes
from safecase.monitor._unexpected import Acquaintance, Looking, Unexpected, open_unexpected
from safecase.monitor._usual import UsualTraffic, read_usual, record_usual
from safecase.monitor._validation import Seed, Sowing, draw_seeds, plan_validation, sowable, unseal_seeds
from safecase.monitor._validation_score import BeforePeople, proposals_before_people, score_validation
from safecase.monitor._validation_send import (
    IntoFile,
    Sent,
    SentLog,
    ThroughGateway,
    Way,
    answers_on_record,
    due,
    send_due,
)
from safecase.monitor._values import Alert, Place, Reading, Seen, Severity, Watcher, alert_id

__all__ = [
    "BY_SUBJECT",
    "RESET",
    "AccountFilter",
    "Acquaintance",
    "Alert",
    "AlertSink",
    "AlertTrouble",
    "Alertmanager",
    "Aside",
    "AuditPromise",
    "AuditRun",
    "AuditSampler",
    "AuditTally",
    "Audited",
    "AuditedRate",
    "BatchReader",
    "BeforePeople",
    "ChangePanel",
    "Changes",
    "Cluster",
    "Clusters",
    "Console",
    "ContentBroken",
    "ContentGone",
    "ContentOpener",
    "ContentVault",
    "Corrected",
    "Detectors",
    "Draw",
    "EDetector",
    "EProcess",
    "EventFiles",
    "EventJetStream",
    "EventQueue",
    "FallStakes",
    "Forgotten",
    "IntoFile",
    "Layer",
    "LedgerSink",
    "LineFiles",
    "Look",
    "Looking",
    "Mail",
    "Misuse",
    "Monitor",
    "MonitorError",
    "MonitorOptions",
    "MonitorStore",
    "OneSeries",
    "Opener",
    "Panel",
    "Place",
    "Places",
    "Proposal",
    "Rates",
    "Reading",
    "Reference",
    "ResetCommand",
    "Seed",
    "Seen",
    "Sent",
    "SentLog",
    "Session",
    "Sessions",
    "Severity",
    "SideBySide",
    "Source",
    "SourceTrouble",
    "Sowing",
    "Stakes",
    "StoreTrouble",
    "Swept",
    "Tally",
    "Text",
    "ThroughGateway",
    "Unexpected",
    "Unit",
    "Usual",
    "UsualTraffic",
    "Watcher",
    "Way",
    "Webhook",
    "alert_id",
    "answers_on_record",
    "audited_rate",
    "baselines",
    "case_layers",
    "change_json",
    "content_vault",
    "correct_rates",
    "decide_proposal",
    "draw_seeds",
    "due",
    "is_for_label",
    "is_from_us",
    "layers_of",
    "log_files",
    "look",
    "make_reference",
    "open_proposals",
    "open_sink",
    "open_source",
    "open_unexpected",
    "panel_json",
    "plan_validation",
    "proposals_before_people",
    "proposed_action",
    "read_event_labels",
    "read_usual",
    "record_usual",
    "reference_texts",
    "score_validation",
    "send_due",
    "set_aside",
    "sowable",
    "span_files",
    "state_file",
    "suspicion",
    "unseal_seeds",
    "usual_rates",
]
