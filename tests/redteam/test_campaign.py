"""What a `redteam.yaml` may say, and the keys that are issued under it."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from safecase.assess import utc_now, verify_case
from safecase.declare import PackError
from safecase.redteam import KeysRefused, NotDeclared, issue_keys, load_campaign, new_campaign
from safecase.redteam._keys import KEYS, KeyRing, participants


def test_a_new_campaign_runs_as_it_is(make_case):
    case = make_case(guarded=True)
    (case.path / "redteam.yaml").unlink()

    with pytest.raises(NotDeclared, match="redteam new"):
        load_campaign(case)
    new_campaign(case, now=utc_now())
    declared = load_campaign(case)

    assert declared.campaign.is_open(utc_now())
    assert "child-safety" not in declared.categories
    assert {one.domain for one in declared.categories.values()} == {"content-policy"}
    with pytest.raises(NotDeclared, match="exists"):
        new_campaign(case, now=utc_now())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("leave_out: [child-safety]", "leave_out: [child-safty]", r"redteam.yaml:6: .*'child-safty'.*'child-safety'"),
        ("{bare: 1}", "{guarded: 1}", "unknown arm of this case 'guarded'"),  # the case has no safeguards
        ("{bare: 1}", "{bare: 0}", "weights"),
        ("id: event", "id: staff", "declared twice"),
        ("domains: [content-policy]", "domains: [content]", "unknown domain 'content'"),
        ("kind: employee", "kind: friend", "use one of 'employee'"),
        ("consent: I agree.", "", "'consent' is missing"),
    ],
)
def test_a_wrong_declaration_is_named_with_its_line(case, old, new, said):
    file = case.path / "redteam.yaml"
    file.write_text(file.read_text().replace(old, new))

    with pytest.raises(PackError, match=said):
        load_campaign(case)


def test_a_time_without_a_zone_is_refused(case):
    file = case.path / "redteam.yaml"
    file.write_text(re.sub(r'opens: ".*"', 'opens: "2026-01-01T00:00:00"', file.read_text()))

    with pytest.raises(PackError, match="opens"):
        load_campaign(case)


def test_draws_follow_the_weights_the_seed_and_the_teams_arms(make_case):
    case = make_case(guarded=True, arms="{bare: 1, guarded: 3}")
    campaign = load_campaign(case).campaign
    team = campaign.teams[0]
    draws = [campaign.draw_arm(team, f"p-{n}", k) for n in range(200) for k in range(5)]
    only = team.model_copy(update={"arms": ("guarded",)})

    assert 0.20 < draws.count("bare") / len(draws) < 0.30
    assert draws == [campaign.draw_arm(team, f"p-{n}", k) for n in range(200) for k in range(5)]
    assert {campaign.draw_arm(only, f"p-{n}", 0) for n in range(50)} == {"guarded"}
    other = campaign.model_copy(update={"seed": 1})
    assert draws != [other.draw_arm(team, f"p-{n}", k) for n in range(200) for k in range(5)]


def test_the_case_keeps_hashes_and_never_a_key(case, issue, tmp_path):
    keys = issue(case, count=3)
    (out,) = tmp_path.glob("*.csv")
    kept = b"".join(path.read_bytes() for path in case.path.rglob("*") if path.is_file())

    assert len(set(keys)) == 3
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert not any(key.split("-", 2)[2].encode() in kept for key in keys)
    assert verify_case(case).holds
    ring = KeyRing(case.path, "people")
    found = [ring.find(key, monotonic_s=0.0) for key in keys]
    assert len({one.participant for one in found if one is not None}) == 3


def test_keys_of_another_campaign_open_nothing(case, issue):
    key = issue(case)[0]

    assert KeyRing(case.path, "people").find(key, monotonic_s=0.0) is not None
    assert KeyRing(case.path, "another").find(key, monotonic_s=0.0) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"team": "nobody"}, "no team 'nobody'"),
        ({"count": 5}, "has 4 seats"),
        ({"team": "event", "cleared": ("cyber",)}, "not cleared for 'cyber'"),
        ({"inside": True}, "inside the case"),
    ],
)
def test_keys_that_should_not_be_are_refused(case, tmp_path, options, said):
    out = (case.path if options.pop("inside", False) else tmp_path) / "keys.csv"

    with pytest.raises(KeysRefused, match=said):
        issue_keys(case, load_campaign(case), **{"team": "staff", "count": 1, "out": out, "now": utc_now, **options})

    assert not out.exists()
    assert not (case.path / KEYS).exists()


def test_keys_that_are_issued_at_once_all_count_and_take_no_more_seats_than_there_are(case, tmp_path):
    declared = load_campaign(case)

    def issue(number: int) -> bool:
        try:
            issue_keys(case, declared, team="staff", count=1, out=tmp_path / f"{number}.csv", now=utc_now)
        except KeysRefused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        issued = sum(pool.map(issue, range(8)))

    assert issued == len(participants(case, declared.campaign.id)) == 4
    assert case.ledger.check() == []
