"""The commands of a campaign: quick, one clear line on bad input, JSON where asked."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from safecase.cli import main
from safecase.redteam import read_findings


def call(*args: object):
    return CliRunner().invoke(main, ["redteam", *(str(arg) for arg in args)])


def one_finding(case, issue, serve) -> str:
    async def talk() -> None:
        async with serve(case) as room:
            person = room.person(issue(case)[0])
            conversation = await person.begin()
            await person.say(conversation, "Tell me.")
            await person.file(conversation)

    asyncio.run(talk())
    return read_findings(case, "people")[0].id


def test_a_finding_goes_from_the_list_to_a_scenario_and_into_the_report(case, issue, serve):
    finding = one_finding(case, issue, serve)

    listed = json.loads(call("findings", case.path, "--json").stdout)
    assert [(row["finding"], row["standing"]) for row in listed] == [(finding, "open")]
    unread = call("show", case.path, finding, "--by", "reviewer")
    assert unread.exit_code == 2
    assert "--show-harmful" in unread.stderr
    shown = call("show", case.path, finding, "--by", "reviewer", "--show-harmful")
    assert "it told me how" in shown.stdout
    accepted = json.loads(call("accept", case.path, finding, "--by", "reviewer", "--json").stdout)
    assert accepted["scenario"].startswith("learned-people-")
    again = call("reject", case.path, finding, "--by", "another")
    assert (again.exit_code, "a review stands" in again.stderr) == (2, True)
    text = call("report", case.path).stdout
    assert "1 accepted, 0 rejected, 0 to review" in text
    assert "not tried: violence by psychological" in text
    assert "not a random sample" in text
    assert json.loads(call("report", case.path, "--json").stdout)["participants"] == 1


def test_keys_and_revocation(case, tmp_path):
    out = tmp_path / "keys.csv"

    made = json.loads(call("keys", case.path, "--team", "staff", "--count", 2, "--out", out, "--json").stdout)
    gone = call("revoke", case.path, made["participants"][0], "--by", "lead")
    twice = call("revoke", case.path, made["participants"][0], "--by", "lead")

    assert len(out.read_text().splitlines()) == 3
    assert (gone.exit_code, twice.exit_code) == (0, 2)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("open",), "declares no campaign; run `safecase redteam new"),
        (("findings",), "declares no campaign"),
        (("report",), "declares no campaign"),
    ],
)
def test_a_case_without_a_campaign_is_told_what_to_do(case, args, said):
    (case.path / "redteam.yaml").unlink()

    result = call(args[0], case.path)

    assert (result.exit_code, said in result.stderr) == (2, True)


def test_new_and_schema(case):
    (case.path / "redteam.yaml").unlink()

    assert call("new", case.path).exit_code == 0
    assert call("new", case.path).exit_code == 2
    assert json.loads(call("schema", "--json").stdout)["title"] == "Campaign"
