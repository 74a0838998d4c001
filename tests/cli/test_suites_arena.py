"""`safecase suites arena`."""

import json

import pytest
from click.testing import CliRunner

from safecase.cli._suites import suites_command


def run(*words: str):
    return CliRunner().invoke(suites_command, ["arena", *words])


@pytest.mark.parametrize(("name", "verdict", "code"), [("least-privilege", "pass", 0), ("sieve", "fail", 3)])
def test_the_verdict_is_the_exit_code(name: str, verdict: str, code: int):
    done = run(name, "--json")

    assert done.exit_code == code, done.output
    assert json.loads(done.stdout)["verdict"] == verdict


def test_too_few_seeds_are_said_to_show_nothing_yet():
    done = run("least-privilege", "--seeds", "1")

    assert done.exit_code == 3
    assert done.stdout.startswith("inconclusive: ")
    assert "4 seeds (72 sessions of its own)" in done.stdout


def test_an_unknown_protocol_is_bad_input_with_the_known_ones():
    done = run("fort-knox")

    assert done.exit_code == 2
    assert "least-privilege" in done.stderr
