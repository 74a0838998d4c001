"""Who is served in which context, and how a narrowing shuts a group out."""

import dataclasses
import datetime as dt

import pytest

from safecase.assess import Restriction
from safecase.evidence import Identity
from safecase.serve import Account, Permit, place_of, refuses


def permit(**changes) -> Permit:
    made = Permit(
        sha256="0" * 64,
        case="case",
        context="controlled",
        model="openai/m@http://127.0.0.1:1/v1",
        identity=Identity(kind="name-only", model="m"),
        stack_digest="0" * 64,
        expires=dt.datetime(2027, 1, 1, tzinfo=dt.UTC),
        admits="anyone",
        share=None,
        narrowings=(),
        conditions=(),
        signers=(),
        is_demo=False,
        is_authentic=True,
        head="0" * 64,
    )
    return dataclasses.replace(made, **changes)


def account(name: str = "acct-a", *tiers: str, **attributes: str) -> Account:
    return Account(id=name, key_id="k", tiers=frozenset(tiers), attributes=attributes)


def narrowing(unverified: str = "refused", **where: str) -> Restriction:
    return Restriction(
        id="0" * 16,
        kind="narrowing",
        context="controlled",
        decision_sha256="0" * 64,
        reason="directive",
        at="2026-11-21T00:00:00.000000Z",
        by="watch (live-monitor)",
        where=where,
        unverified=unverified,  # type: ignore[arg-type]
    )


def reason(permit: Permit, account: Account) -> str | None:
    refusal = refuses(permit, account)
    assert refusal is None or refusal.status == 403
    return refusal and refusal.reason


@pytest.mark.parametrize(
    ("admits", "tiers", "expected"),
    [
        ("anyone", (), None),
        ("vetted", ("vetted",), None),
        ("vetted", (), "not-vetted"),
        ("vetted", ("staff",), "not-vetted"),  # staff were vetted by nobody
        ("staff", ("staff",), None),
        ("staff", ("vetted",), "not-staff"),
    ],
)
def test_a_context_admits_as_declared(admits, tiers, expected):
    assert reason(permit(admits=admits), account("a", *tiers)) == expected


def test_a_share_is_kept_to_and_growing_only_adds_accounts():
    names = [f"acct-{n}" for n in range(4000)]
    served = {
        share: {name for name in names if reason(permit(admits="share", share=share), account(name)) is None}
        for share in (0.05, 0.25, 1.0)
    }

    assert served[0.05] < served[0.25] < served[1.0] == set(names)
    assert abs(len(served[0.05]) / 4000 - 0.05) < 0.015
    assert abs(len(served[0.25]) / 4000 - 0.25) < 0.03


def test_another_release_draws_other_accounts():
    places = [
        (place_of(f"a{n}", salt="case/controlled"), place_of(f"a{n}", salt="case-2/controlled")) for n in range(400)
    ]

    both_first = sum(one < 0.25 and other < 0.25 for one, other in places)
    assert 10 < both_first < 45  # 25 expected where they are independent, 100 where they are the same


@pytest.mark.parametrize(
    ("where", "attributes", "expected"),
    [
        ({"region": "XX"}, {"region": "XX"}, "suspended"),
        ({"region": "XX"}, {"region": " xx "}, "suspended"),  # however it was typed
        ({"region": "XX"}, {"region": "EU"}, None),
        ({"region": "XX"}, {}, "suspended"),  # nobody verified that it is elsewhere
        ({"region": "XX", "age": "minor"}, {"region": "XX", "age": "adult"}, None),
        ({"region": "XX", "age": "minor"}, {"region": "XX", "age": "minor"}, "suspended"),
    ],
)
def test_a_narrowing_suspends_accounts_of_a_verified_attribute(where, attributes, expected):
    narrowed = permit(narrowings=(narrowing(**where),))

    assert reason(narrowed, account("a", **attributes)) == expected


def test_a_narrowing_may_say_that_unverified_accounts_are_served():
    assert reason(permit(narrowings=(narrowing("served", region="XX"),)), account("a")) is None


def test_narrowings_add_up():
    narrowed = permit(narrowings=(narrowing(region="XX"), narrowing(region="YY")))

    served = [region for region in ("XX", "YY", "EU") if reason(narrowed, account("a", region=region)) is None]
    assert served == ["EU"]
