"""What a case has on record of sowing seeds in its own live traffic: the plan, declared before, and the outcome.

    validation/<id>/plan.json       declared: how many seeds, of what, in which days, and a digest of the sealed list
    validation/<id>/seeds.sealed    the list, under a key that neither the case nor its monitor has
    validation/<id>/outcome.json    after the list was unsealed: what became of each seed, and which events were seeds

While there is no outcome the seeds are *sealed*. Figures are never stored: whoever reads an outcome reckons them.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from safecase.assess._case import Case
from safecase.evidence import canonical_json, format_utc, parse_utc
from safecase.measure import SeedOutcome

VALIDATION = "validation"
PLAN_FILE, SEALED_FILE, OUTCOME_FILE = "plan.json", "seeds.sealed", "outcome.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPlan:
    """What is declared of a sowing, and nothing that would tell a seed.

    Attributes:
        context: the deployment whose traffic is sown.
        begins: the first day begins then; days: how many.
        per_day: category to seeds a day.
        accounts: how many accounts the seeds come from; they are nobody's.
        patience_s: what was not before a person so long after it was sent counts as not escalated.
        digest: SHA-256 of the list, so that it can be neither trimmed nor mended afterwards.
        by: who declared it.
    """

    id: str
    context: str
    begins: dt.datetime
    days: int
    per_day: Mapping[str, int]
    accounts: int
    patience_s: float
    digest: str
    by: str

    @property
    def seeds(self) -> int:
        """How many, over all days."""
        return self.days * sum(self.per_day.values())

    @property
    def ends(self) -> dt.datetime:
        """After the last day, and after what may be waited for."""
        return self.begins + dt.timedelta(days=self.days, seconds=self.patience_s)

    def to_bytes(self) -> bytes:
        """As kept in `plan.json`."""
        return canonical_json({**asdict(self), "begins": format_utc(self.begins)}) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> "SeedPlan":
        """Read one that was kept."""
        said: dict[str, Any] = json.loads(data)
        return cls(**{**said, "begins": parse_utc(said["begins"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A sowing whose list was unsealed.

    Attributes:
        event_ids, accounts: what were seeds, so that nothing ever counts them as live.
    """

    plan: SeedPlan
    scored: dt.datetime
    outcomes: tuple[SeedOutcome, ...]
    event_ids: tuple[str, ...]
    accounts: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """As kept in `outcome.json`, the plan aside."""
        rows = [asdict(one) for one in self.outcomes]
        said = {"scored": format_utc(self.scored), "outcomes": rows}
        return canonical_json({**said, "event_ids": self.event_ids, "accounts": self.accounts}) + b"\n"


def seed_plans(case: Case) -> tuple[SeedPlan, ...]:
    """Every plan of the case, the earliest first."""
    files = sorted((case.path / VALIDATION).glob(f"*/{PLAN_FILE}"))
    plans = [SeedPlan.parse(path.read_bytes()) for path in files]
    return tuple(sorted(plans, key=lambda one: (one.begins, one.id)))


def validations(case: Case) -> tuple[Validation, ...]:
    """Every sowing that was scored, the earliest first."""
    found = []
    for plan in seed_plans(case):
        path = case.path / VALIDATION / plan.id / OUTCOME_FILE
        if path.exists():
            said = json.loads(path.read_bytes())
            found.append(
                Validation(
                    plan=plan,
                    scored=parse_utc(said["scored"]),
                    outcomes=tuple(SeedOutcome(**row) for row in said["outcomes"]),
                    event_ids=tuple(said["event_ids"]),
                    accounts=tuple(said["accounts"]),
                )
            )
    return tuple(found)


def seed_objection(case: Case, event_ids: Sequence[str], *, received: dt.datetime) -> str | None:
    """Why what a report says of events is not learned from, now or ever; None where nothing is in the way.

    An event of an unsealed list is a seed. While a list is sealed nobody can tell, so whatever was received from its
    first day on, until nothing can come of it any more, waits.
    """
    if not event_ids:
        return None
    done = {one.plan.id: one for one in validations(case)}
    for one in done.values():
        if seeds := sorted(set(event_ids) & set(one.event_ids)):
            return f"event {seeds[0]!r} is a seed of validation {one.plan.id!r}, which nobody asked in earnest"
    for plan in seed_plans(case):
        latest = plan.ends + dt.timedelta(seconds=plan.patience_s)
        if plan.id not in done and plan.begins <= received <= latest:
            return f"it may be a seed of validation {plan.id!r}; `safecase monitor validate score` says so"
    return None
