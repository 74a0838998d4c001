"""Seeds: attacks of the case's own scenarios, sown in its live traffic where nobody who watches it can tell them.

    scenarios the case ran -> drawn by category and day -> times and accounts at random -> list -> digest -> plan.json
                                                                                            \\-> seeds.sealed

The list is sealed under a key of its own, which lies with whoever validates: not in the case, not with the monitor. The
plan names the digest of the list before the first seed is sent, so what is scored is what was declared. Seeds come from
accounts that nobody else uses.
"""

import datetime as dt
import json
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safecase.assess import (
    PLAN_FILE,
    SEALED_FILE,
    VALIDATION,
    Case,
    Clock,
    SeedPlan,
    record,
    seed_plans,
    utc_now,
)
from safecase.evidence import Scenario, SealBroken, Vault, canonical_json, digest_bytes, format_utc
from safecase.monitor._aside import set_aside
from safecase.monitor._errors import MonitorError
from safecase.monitor._store import MonitorStore

PLANNED = "validation-planned"
"""Action in the ledger."""
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """One attack that will be sent.

    Attributes:
        at: when, ISO 8601, UTC. account: the pseudonym that its event will carry.
        scenario_id, prompt: what is asked.
    """

    seed: str
    at: str
    account: str
    category: str
    scenario_id: str
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sowing:
    """What is asked for.

    Attributes:
        per_day: category to seeds a day, at least one in all.
        accounts: pseudonyms of nobody, at least one.
        patience_s: as in `SeedPlan`.
    """

    id: str
    context: str
    begins: dt.datetime
    days: int
    per_day: Mapping[str, int]
    accounts: tuple[str, ...]
    patience_s: float = 3600.0

    def __post_init__(self) -> None:
        if not self.id.replace("-", "").isalnum() or self.days < 1 or self.patience_s <= 0:
            raise MonitorError(f"validation {self.id!r}: letters, digits and dashes, 1 day or more, patience over 0 s")
        if not self.per_day or any(count < 1 for count in self.per_day.values()):
            raise MonitorError(f"seeds a day are {dict(self.per_day)!r}; give CATEGORY=NUMBER, each 1 or more")
        if not self.accounts or len(set(self.accounts)) != len(self.accounts) or not all(self.accounts):
            raise MonitorError(f"{len(self.accounts)} accounts, of which {len(set(self.accounts))} differ; each once")


def sowable(case: Case) -> tuple[Scenario, ...]:
    """The harmful scenarios that the case ran and that one request asks whole, each once.

    Raises:
        MonitorError: the case has no plan.
    """
    plan = case.plan
    if plan is None:
        raise MonitorError(f"{case.path}: there is no plan whose scenarios could be sown; run `safecase run` first")
    found = {one.scenario.scenario_id: one.scenario for one in case.planned(plan)}
    asked = [one for one in found.values() if one.harmful and one.attempts == 1 and len(one.messages) == 1]
    return tuple(sorted(asked, key=lambda one: one.scenario_id))


def draw_seeds(scenarios: Sequence[Scenario], sowing: Sowing, *, rng: random.Random) -> tuple[Seed, ...]:
    """Draw them: no scenario twice, times uniform within each day, accounts in turn in a random order.

    Raises:
        MonitorError: a category has fewer scenarios than seeds.
    """
    drawn = [pair for category in sorted(sowing.per_day) for pair in _of_category(scenarios, sowing, category, rng)]
    rng.shuffle(drawn)
    accounts = [sowing.accounts[number % len(sowing.accounts)] for number in range(len(drawn))]
    rng.shuffle(accounts)
    seeds = [
        Seed(
            seed=f"{rng.getrandbits(64):016x}",
            at=format_utc(sowing.begins + dt.timedelta(seconds=(day + rng.random()) * _DAY_S)),
            account=account,
            category=scenario.category,
            scenario_id=scenario.scenario_id,
            prompt=scenario.messages[-1].content,
        )
        for (day, scenario), account in zip(drawn, accounts, strict=True)
    ]
    return tuple(sorted(seeds, key=lambda one: (one.at, one.seed)))


def plan_validation(
    case: Case,
    sowing: Sowing,
    *,
    key_file: Path,
    aside: Path,
    store: MonitorStore | None,
    by: str,
    now: Clock = utc_now,
    rng: random.Random | None = None,
) -> SeedPlan:
    """Draw the seeds, seal their list, declare the plan, and have the rates leave the accounts out.

    Args:
        key_file: made where there is none; outside the case.
        aside: folder of the monitor that watches this deployment (`Aside`).
        store: of the monitor, to see that the accounts are nobody's; None where nothing was watched yet.
        rng: the system's own chance by default; what could be guessed again would be no secret.

    Raises:
        MonitorError: the id is taken, the context is none of the case's, it begins in the past, too few scenarios, or
            an account is somebody's.
        KeyUnusable: the key would lie inside a case, or is open to others.
    """
    if sowing.id in {plan.id for plan in seed_plans(case)}:
        raise MonitorError(f"validation {sowing.id!r} is declared already; what is declared is not changed")
    if sowing.context not in case.spec.contexts:
        raise MonitorError(
            f"context {sowing.context!r} is not of this case; give one of {', '.join(case.spec.contexts)}"
        )
    if sowing.begins < now():
        raise MonitorError(f"it begins {format_utc(sowing.begins)}, which is past; seeds are declared beforehand")
    if store is not None and (known := store.accounts_known(sowing.accounts)):
        raise MonitorError(f"account {known[0]!r} has calls on record; seeds come from accounts of nobody")
    seeds = draw_seeds(sowable(case), sowing, rng=rng or random.SystemRandom())
    data = canonical_json([asdict(one) for one in seeds])
    plan = SeedPlan(
        id=sowing.id,
        context=sowing.context,
        begins=sowing.begins,
        days=sowing.days,
        per_day=dict(sowing.per_day),
        accounts=len(sowing.accounts),
        patience_s=sowing.patience_s,
        digest=digest_bytes(data),
        by=by,
    )
    vault = Vault.open(f"validation-{sowing.id}", key_file, case_dir=case.path, create=True)
    set_aside(aside / f"{case.spec.id}-{sowing.id}.json", sowing.accounts, key=secrets.token_bytes(32))
    folder = f"{VALIDATION}/{sowing.id}"
    record(case, f"{folder}/{SEALED_FILE}", vault.seal(data.decode(), sowing.id), action=PLANNED, now=now, by=by)
    record(case, f"{folder}/{PLAN_FILE}", plan.to_bytes(), action=PLANNED, now=now, by=by)
    return plan


def unseal_seeds(case: Case, plan_id: str, *, key_file: Path) -> tuple[SeedPlan, tuple[Seed, ...]]:
    """Open the list of a plan.

    Raises:
        MonitorError: no such plan, another key, or the list is not the one that was declared.
        KeyMissing, KeyUnusable: there is no key, or it lies where it may not.
    """
    plan = next((one for one in seed_plans(case) if one.id == plan_id), None)
    if plan is None:
        known = ", ".join(one.id for one in seed_plans(case)) or "none"
        raise MonitorError(f"no validation {plan_id!r} is planned here; there are: {known}")
    vault = Vault.open(f"validation-{plan_id}", key_file, case_dir=case.path)
    try:
        data = vault.unseal((case.path / VALIDATION / plan_id / SEALED_FILE).read_bytes(), plan_id)
    except SealBroken:
        line = f"validation {plan_id!r}: the list does not open by {key_file}, or it was changed"
        raise MonitorError(f"{line}; give the key that its plan was made with") from None
    if digest_bytes(data.encode()) != plan.digest:
        raise MonitorError(f"validation {plan_id!r}: the sealed list is not the one whose digest the plan declares")
    return plan, tuple(Seed(**row) for row in json.loads(data))


def _of_category(
    scenarios: Sequence[Scenario], sowing: Sowing, category: str, rng: random.Random
) -> list[tuple[int, Scenario]]:
    """(day, scenario), no prompt twice."""
    found = list({one.messages[-1].content: one for one in scenarios if one.category == category}.values())
    wanted = sowing.days * sowing.per_day[category]
    if len(found) < wanted:
        there = sorted({one.category for one in scenarios})
        line = f"category {category!r} has {len(found)} scenarios in the plan and {wanted} seeds are asked for"
        raise MonitorError(f"{line}; ask for fewer, or run more. Categories: {', '.join(there)}")
    return [(number % sowing.days, scenario) for number, scenario in enumerate(rng.sample(found, wanted))]
