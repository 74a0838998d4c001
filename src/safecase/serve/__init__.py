"""Serve a model behind the very safeguards that were assessed, under a permit or not at all.

Takes:  a case with a permit, API keys, an upstream that speaks the OpenAI API.
Gives:  an OpenAI-compatible gateway, an event per call, metrics and traces.
Does not own: safeguards (it runs the case's stack), judging, watching what it reports, deciding.
"""

from safecase.serve._admission import (
    place_of,
    refuses,
)
from safecase.serve._app import (
    App,
    create_app,
)
from safecase.serve._authority import (
    CaseAuthority,
    Rhythm,
)
from safecase.serve._config import (
    AsgiApp,
    ExtraRoute,
    Gateway,
    Images,
    Limits,
    Observer,
    TextMarks,
    Upstream,
)
from safecase.serve._counts import (
    SharedCounts,
    counting_together,
)
from safecase.serve._embedded import (
    EmbeddedModel,
    open_upstream,
)
from safecase.serve._errors import (
    CannotListen,
    KeysUnusable,
    NotPermitted,
    RetentionRefused,
    ServeError,
    SharedUnusable,
    SinkTrouble,
)
from safecase.serve._keys import (
    CALLER_SCOPES,
    SCOPES,
    AccountRecord,
    FileKeyBook,
    IssuedKey,
    KeyFile,
    KeyRecord,
    add_key,
    grant,
    read_keys,
    read_pepper,
    revoke_key,
)
from safecase.serve._limits import (
    SharedLimiter,
)
from safecase.serve._metrics import (
    Metrics,
)
from safecase.serve._metrics_page import (
    MetricsPage,
)
from safecase.serve._openapi import (
    describe_api,
)
from safecase.serve._permit import (
    Permit,
    Place,
    check_permit,
    served_name,
    target,
)
from safecase.serve._recorder import (
    EventRecorder,
    RecorderStats,
)
from safecase.serve._retention import (
    Retention,
    is_flagged,
    redacted,
)
from safecase.serve._rows import (
    TableFull,
)
from safecase.serve._server import (
    GatewayProtocol,
    server_config,
    settle,
)
from safecase.serve._setup import (
    GatewaySetup,
    case_stack,
    describe,
    permitted_stack,
    shadow_stack,
)
from safecase.serve._shadow import (
    Shadow,
)
from safecase.serve._shared import (
    AccountTable,
)
from safecase.serve._sinks import (
    FsyncPolicy,
    JetStreamSink,
    JsonlSink,
    Sink,
    open_sink,
    sink_name,
)
from safecase.serve._spool import (
    Row,
)
from safecase.serve._stamps import (
    FileDigests,
)
from safecase.serve._traces import (
    CallSpan,
    Traces,
    is_traceparent,
)
from safecase.serve._values import (
    Account,
    Allowance,
    Authority,
    KeyBook,
    Limiter,
    Recorder,
    Refusal,
    Standing,
)
from safecase.serve._worker import (
    WorkerSlot,
)
from safecase.serve._workers import (
    Patience,
    Running,
    Setup,
    Supervisor,
    listen,
)

__all__ = [
    "CALLER_SCOPES",
    "SCOPES",
    "Account",
    "AccountRecord",
    "AccountTable",
    "Allowance",
    "App",
    "AsgiApp",
    "Authority",
    "CallSpan",
    "CannotListen",
    "CaseAuthority",
    "EmbeddedModel",
    "EventRecorder",
    "ExtraRoute",
    "FileDigests",
    "FileKeyBook",
    "FsyncPolicy",
    "Gateway",
    "GatewayProtocol",
    "GatewaySetup",
    "Images",
    "IssuedKey",
    "JetStreamSink",
    "JsonlSink",
    "KeyBook",
    "KeyFile",
    "KeyRecord",
    "KeysUnusable",
    "Limiter",
    "Limits",
    "Metrics",
    "MetricsPage",
    "NotPermitted",
    "Observer",
    "Patience",
    "Permit",
    "Place",
    "Recorder",
    "RecorderStats",
    "Refusal",
    "Retention",
    "RetentionRefused",
    "Rhythm",
    "Row",
    "Running",
    "ServeError",
    "Setup",
    "Shadow",
    "SharedCounts",
    "SharedLimiter",
    "SharedUnusable",
    "Sink",
    "SinkTrouble",
    "Standing",
    "Supervisor",
    "TableFull",
    "TextMarks",
    "Traces",
    "Upstream",
    "WorkerSlot",
    "add_key",
    "case_stack",
    "check_permit",
    "counting_together",
    "create_app",
    "describe",
    "describe_api",
    "grant",
    "is_flagged",
    "is_traceparent",
    "listen",
    "open_sink",
    "open_upstream",
    "permitted_stack",
    "place_of",
    "read_keys",
    "read_pepper",
    "redacted",
    "refuses",
    "revoke_key",
    "served_name",
    "server_config",
    "settle",
    "shadow_stack",
    "sink_name",
    "target",
]
