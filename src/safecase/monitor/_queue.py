"""What the watcher of misuse proposes, until a person decides.

Nothing here acts: the decision goes into the ledger, and whoever runs the gateway carries it out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from safecase.assess import utc_now
from safecase.evidence import Ledger
from safecase.monitor._errors import MonitorError
from safecase.monitor._misuse import MISUSE, Action, proposed_action
from safecase.monitor._store import MonitorStore
from safecase.monitor._values import Alert

DECIDED = "misuse-decided"
"""Action in the ledger: what a person decided about a proposal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An action against an account that waits for a person."""

    alert: Alert
    action: Action

    @property
    def account(self) -> str:
        """The pseudonym."""
        return self.alert.accounts[0]


def open_proposals(store: MonitorStore, ledger: Ledger, *, without: frozenset[str] = frozenset()) -> list[Proposal]:
    """Proposals that nobody has decided on, the highest risk first. A later one on an account replaces those before.

    Args:
        without: accounts that turned out to be nobody's: those of seeds whose list is open.
    """
    done = _decided(ledger)
    latest = {alert.accounts[0]: alert for alert in store.alerts(last=100_000) if alert.kind == MISUSE}
    waiting = [one for name, one in latest.items() if one.alert_id not in done and name not in without]
    waiting.sort(key=lambda alert: -alert.numbers["risk"])
    made = ((alert, proposed_action(alert.numbers["risk"])) for alert in waiting)
    return [Proposal(alert=alert, action=action) for alert, action in made if action is not None]


def decide_proposal(
    store: MonitorStore,
    ledger: Ledger,
    alert_id: str,
    *,
    action: Action | Literal["none"],
    actor: str,
    why: str,
    now: Callable[[], datetime] = utc_now,
) -> Proposal:
    """Write down what a person decided. The entry names the alert, not the account.

    Raises:
        MonitorError: no such proposal is open.
        ValueError: nobody decides, or for no reason.
    """
    if not actor.strip() or not why.strip():
        raise ValueError("a person decides, and for a reason; say who and why")
    at = now()
    with ledger.writing(at=at) as chain:  # two who decide at once: the second finds it decided
        for proposal in open_proposals(store, ledger):
            if proposal.alert.alert_id == alert_id:
                subject = {"alert_id": alert_id, "proposed": proposal.action, "action": action, "why": why}
                chain.append(DECIDED, actor=actor, subject=subject, at=at)
                return proposal
    raise MonitorError(f"{alert_id}: no such proposal is open; `safecase monitor proposals` lists them")


def _decided(ledger: Ledger) -> frozenset[str]:
    if not ledger.path.exists():
        return frozenset()
    return frozenset(str(entry.subject["alert_id"]) for entry in ledger.entries() if entry.action == DECIDED)
