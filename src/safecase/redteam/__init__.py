"""Red teaming by people: a live chat against the bare and the guarded arm, kept as evidence.

Takes:  a case with a `redteam.yaml`; people with keys.
Gives:  conversations as trials, findings, coverage and success by team, and proposed scenarios in `learned/`.
Does not own: judging for gates. What people try is no random sample, so none of it enters an estimate or a gate.
"""

from safecase.redteam._campaign import (
    Campaign,
    CampaignScope,
    Category,
    Declared,
    Limits,
    Team,
    Vector,
    campaign_schema,
    load_campaign,
    new_campaign,
)
from safecase.redteam._errors import AlreadyOpen, KeysRefused, NoSuchFinding, NotDeclared, RedteamError
from safecase.redteam._findings import (
    Accepted,
    Finding,
    Shown,
    accept_finding,
    learned_path,
    read_findings,
    reject_finding,
    request_digest,
    show_finding,
)
from safecase.redteam._keys import Issued, KeyRecord, issue_keys, revoke_key
from safecase.redteam._recorder import SECTION, NotKept
from safecase.redteam._report import Counted, report_campaign
from safecase.redteam._server import Opening, open_campaign, serve_until_told
from safecase.web import CannotListen

__all__ = [
    "SECTION",
    "Accepted",
    "AlreadyOpen",
    "Campaign",
    "CampaignScope",
    "CannotListen",
    "Category",
    "Counted",
    "Declared",
    "Finding",
    "Issued",
    "KeyRecord",
    "KeysRefused",
    "Limits",
    "NoSuchFinding",
    "NotDeclared",
    "NotKept",
    "Opening",
    "RedteamError",
    "Shown",
    "Team",
    "Vector",
    "accept_finding",
    "campaign_schema",
    "issue_keys",
    "learned_path",
    "load_campaign",
    "new_campaign",
    "open_campaign",
    "read_findings",
    "reject_finding",
    "report_campaign",
    "request_digest",
    "revoke_key",
    "serve_until_told",
    "show_finding",
]
