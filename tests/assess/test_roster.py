"""A roster made anew leaves what was signed before it as it was, and one that does not is named."""

from dataclasses import replace

import pytest

from safecase.assess import case_roster, new_case, open_case, verify_case, write_roster
from safecase.evidence import (
    RosterEntry,
    digest_bytes,
    format_utc,
    generate_key,
    load_private_key,
    sign_roster,
    write_atomic,
)

ONE, TWO = "one:chief-ai-officer:{}/one.pem", "two:director-alignment-risk:{}/two.pem"


@pytest.fixture
def case(tmp_path, clock):
    new_case(tmp_path / "case", gates=("policy.overrefusal",), contexts=("internal",))
    for name in ("root", "one", "two", "three"):
        generate_key(tmp_path / f"{name}.pem", demo=False)
    case = open_case(tmp_path / "case")
    write_roster(case, tmp_path / "root.pem", [ONE.format(tmp_path), TWO.format(tmp_path)], now=clock)
    return case


def entries(case) -> dict[str, RosterEntry]:
    roster = case_roster(case)
    assert roster is not None
    return {entry.person: entry for entry in roster.entries}


def problems(case) -> list[str]:
    people = verify_case(open_case(case.path)).checks[-1]
    assert people.name == "people"
    return list(people.problems)


def test_a_key_keeps_its_time_when_another_person_is_added(case, tmp_path, clock):
    before = entries(case)
    people = [ONE.format(tmp_path), TWO.format(tmp_path), f"three:chief-ai-officer:{tmp_path}/three.pem"]

    write_roster(case, tmp_path / "root.pem", people, now=clock)

    after = entries(case)
    assert (after["one"], after["two"]) == (before["one"], before["two"])
    assert after["three"].valid_from > before["one"].valid_from
    assert problems(case) == []


@pytest.mark.parametrize("file", ["gone", "broken"])
def test_a_roster_file_that_is_gone_or_broken_does_not_lose_the_times(case, tmp_path, clock, file):
    before, path = entries(case), case.path / "roster.json"
    path.unlink() if file == "gone" else path.write_bytes(b"{}")

    write_roster(case, tmp_path / "root.pem", [ONE.format(tmp_path), TWO.format(tmp_path)], now=clock)

    assert entries(case) == before
    assert problems(case) == []


def test_a_key_that_was_left_out_counts_from_its_return_on(case, tmp_path, clock):
    before = entries(case)
    for people in ([ONE], [ONE, TWO]):
        write_roster(case, tmp_path / "root.pem", [person.format(tmp_path) for person in people], now=clock)

    assert entries(case)["two"].valid_from > before["two"].valid_from
    assert problems(case) == []


def test_a_person_in_another_role_counts_there_from_then_on(case, tmp_path, clock):
    before = entries(case)
    people = [ONE.format(tmp_path), f"two:chief-ai-officer:{tmp_path}/two.pem"]

    write_roster(case, tmp_path / "root.pem", people, now=clock)

    assert entries(case)["two"].valid_from > before["two"].valid_from
    assert problems(case) == []


@pytest.mark.parametrize("is_told", [True, False], ids=["the ledger says its keys", "the ledger says only its digest"])
@pytest.mark.parametrize("change", ["earlier", "later", "ended before", "a new key in the past"])
def test_verify_names_a_key_that_a_later_roster_dates_anew(case, tmp_path, clock, change, is_told):
    """The root's holder signs it, and the ledger names the file: both hold, and the dates do not."""
    rows, at = entries(case), clock()
    one, other = rows["one"], load_private_key(tmp_path / "three.pem").public
    rows["one"] = {
        "earlier": replace(one, valid_from=one.valid_from.replace(year=2020)),
        "later": replace(one, valid_from=at.replace(year=2030)),
        "ended before": replace(one, valid_until=one.valid_from),
        "a new key in the past": replace(one, key=other),
    }[change]
    data = sign_roster(rows.values(), load_private_key(tmp_path / "root.pem")).to_bytes()
    write_atomic(case.path / "roster.json", data)
    told = [
        {
            "keyid": row.key.keyid,
            "person": row.person,
            "role": row.role,
            "valid_from": format_utc(row.valid_from),
            "valid_until": None if row.valid_until is None else format_utc(row.valid_until),
        }
        for row in rows.values()
    ]
    subject = {"path": "roster.json", "sha256": digest_bytes(data), **({"keys": told} if is_told else {})}
    case.ledger.append("roster", actor="root", subject=subject, at=at)

    (problem,) = problems(case)

    assert "roster.json" in problem
    assert "dates the key of 'one' anew" in problem
