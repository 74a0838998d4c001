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
from safecase.redteam._desk import Desk
from safecase.redteam._errors import AlreadyOpen, KeysRefused, NoSuchFinding, NotDeclared, RedteamError, Refused
from safecase.redteam._keys import Issued, KeyRecord, issue_keys, revoke_key
from safecase.redteam._server import Opening, Server, open_campaign, serve_until_told
