"""API keys: nothing but hashes at rest, changes seen at once, and no key accepted in doubt."""

import json
import multiprocessing
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from safecase.cli._serve_keys import keys as command
from safecase.serve import Allowance, FileKeyBook, KeysUnusable, add_key, grant, read_keys, revoke_key

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.s = NOW.timestamp()

    def __call__(self) -> float:
        return self.s


def test_a_further_key_leaves_the_limits_that_it_does_not_name(file: Path):
    add_key(file, account="acme", allowance=Allowance(requests_per_minute=60, concurrent=4), at=NOW)
    add_key(file, account="acme", at=NOW)
    issued = add_key(file, account="acme", allowance=Allowance(concurrent=8), at=NOW)
    account = FileKeyBook(file).find(issued.token)

    assert account is not None
    assert account.allowance == Allowance(requests_per_minute=60, concurrent=8)


def test_a_token_finds_its_account_with_what_was_granted(file: Path):
    issued = add_key(file, account="acme", allowance=Allowance(requests_per_minute=60, concurrent=4), at=NOW)
    said = {"by": "J", "why": "contract", "at": NOW}
    grant(file, "acme", tiers=frozenset({"vetted"}), attributes={"region": "EU"}, **said)

    account = FileKeyBook(file).find(issued.token)

    assert account is not None
    assert (account.id, account.key_id) == ("acme", issued.key_id)
    assert (account.tiers, dict(account.attributes)) == ({"vetted"}, {"region": "EU"})
    assert account.allowance == Allowance(requests_per_minute=60, concurrent=4)
    assert account.scopes == {"chat", "models", "responses"}


def test_the_file_holds_no_secret_and_is_its_owners_alone(file: Path):
    issued = add_key(file, at=NOW)
    secret = issued.token.split("-", 3)[3].rsplit("-", 1)[0]

    assert len(secret) == 43
    assert secret not in file.read_text()
    assert issued.token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_changed_character_of_a_token_is_refused(file: Path):
    token = add_key(file, at=NOW).token
    book = FileKeyBook(file)
    changed = [token[:at] + ("x" if token[at] != "x" else "y") + token[at + 1 :] for at in range(len(token))]

    assert book.find(token) is not None
    assert [one for one in changed if book.find(one) is not None] == []
    assert [one for one in ("", "sk-sc-", token + "\n", token.upper(), token[:-1]) if book.find(one)] == []


def test_a_right_checksum_over_a_wrong_secret_is_refused(file: Path):
    """The checksum is for typing errors; anybody can make one."""
    from safecase.serve._keys import _checksum

    issued = add_key(file, at=NOW)
    forged = f"sk-sc-{issued.key_id}-{'A' * 43}"

    assert FileKeyBook(file).find(f"{forged}-{_checksum(forged)}") is None


def test_a_revoked_key_stops_within_the_looking_time_and_says_who_did_it(file: Path):
    issued, clock = add_key(file, at=NOW), Clock()
    book = FileKeyBook(file, clock=clock, look_every_s=1.0)
    assert book.find(issued.token) is not None

    revoke_key(file, issued.key_id, by="J", why="leaked", at=NOW)
    clock.s += 1.0

    assert book.find(issued.token) is None
    assert read_keys(file).keys[0].revoked.why == "leaked"


def test_revoking_again_keeps_the_first_reason(file: Path):
    issued = add_key(file, at=NOW)
    revoke_key(file, issued.key_id, by="J", why="leaked", at=NOW)

    assert revoke_key(file, issued.key_id, by="K", why="again", at=NOW).revoked.by == "J"


def test_a_key_ends_at_its_expiry(file: Path):
    clock = Clock()
    issued = add_key(file, expires=NOW + timedelta(seconds=10), at=NOW)
    book = FileKeyBook(file, clock=clock)

    clock.s += 9.9
    assert book.find(issued.token) is not None
    clock.s += 0.1
    assert book.find(issued.token) is None


def test_a_clock_set_back_brings_back_neither_an_expired_key_nor_a_revoked_one(file: Path):
    clock = Clock()
    short, long = add_key(file, expires=NOW + timedelta(seconds=10), at=NOW), add_key(file, at=NOW)
    book = FileKeyBook(file, clock=clock, look_every_s=0.05)
    clock.s += 10
    assert (book.find(short.token), book.find(long.token) is None) == (None, False)

    clock.s -= 3_600
    revoke_key(file, long.key_id, by="J", why="leaked", at=NOW)
    time.sleep(0.1)

    assert (book.find(short.token), book.find(long.token)) == (None, None)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_text("{"),  # half written by hand
        lambda file: file.write_text('{"keys": [], "more": 1}'),  # of another form
        lambda file: file.chmod(0o644) or file.write_bytes(file.read_bytes() + b"\n"),  # open to others
        lambda file: file.unlink(),
    ],
)
def test_no_key_is_accepted_while_the_file_cannot_be_trusted(file: Path, spoil: Callable[[Path], object]):
    """A revocation may stand in what cannot be read."""
    issued, clock = add_key(file, at=NOW), Clock()
    book, good = FileKeyBook(file, clock=clock), file.read_bytes()

    spoil(file)
    clock.s += 2
    assert book.find(issued.token) is None
    assert str(file) in book.fault

    file.write_bytes(good)
    file.chmod(0o600)
    clock.s += 2
    assert book.find(issued.token) is not None
    assert book.fault is None


def test_a_file_open_to_others_is_refused_at_the_start(file: Path):
    add_key(file, at=NOW)
    file.chmod(0o640)

    with pytest.raises(KeysUnusable, match="chmod 600"):
        FileKeyBook(file)


def test_a_missing_file_says_how_to_make_one(file: Path):
    with pytest.raises(KeysUnusable, match="safecase serve keys add"):
        FileKeyBook(file)


def test_without_the_pepper_a_copied_file_is_worth_nothing(file: Path):
    issued = add_key(file, pepper=b"p" * 32, at=NOW)

    assert FileKeyBook(file, pepper=b"p" * 32).find(issued.token) is not None
    assert FileKeyBook(file, pepper=b"q" * 32).find(issued.token) is None
    with pytest.raises(KeysUnusable, match="pepper"):
        FileKeyBook(file)
    with pytest.raises(KeysUnusable, match="pepper"):
        add_key(file, at=NOW)
    with pytest.raises(KeysUnusable, match="at least 16"):
        add_key(file, pepper=b"short", at=NOW)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"account": "../etc"}, "id is"),
        ({"scopes": frozenset({"root"})}, "no scope 'root'"),
        ({"expires": NOW - timedelta(days=1)}, "has passed"),
        ({"allowance": Allowance(requests_per_minute=0)}, "requests_per_minute is"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(file: Path, fields: dict, what: str):
    add_key(file, account="acme", at=NOW)
    before = file.read_bytes()

    with pytest.raises(KeysUnusable, match=what):
        add_key(file, **fields, at=NOW)
    assert file.read_bytes() == before


def test_grants_say_who_when_and_why_and_can_be_withdrawn(file: Path):
    add_key(file, account="acme", at=NOW)
    grant(file, "acme", tiers=frozenset({"vetted", "bio"}), attributes={"age": "adult"}, by="J", why="checked", at=NOW)

    left = grant(file, "acme", withdrawn=frozenset({"bio"}), attributes={"age": ""}, by="K", why="ended", at=NOW)

    assert [(tier.value, tier.by, tier.why) for tier in left.tiers] == [("vetted", "J", "checked")]
    assert left.attributes == {}
    with pytest.raises(KeysUnusable, match="no account 'other'"):
        grant(file, "other", tiers=frozenset({"vetted"}), by="J", why="x", at=NOW)
    with pytest.raises(KeysUnusable, match="nothing was changed"):
        grant(file, "acme", tiers=frozenset({"vetted"}), by="J", why="", at=NOW)


def _add(path: str, count: int) -> None:
    for _ in range(count):
        add_key(Path(path), at=NOW)


def test_processes_that_add_at_once_lose_no_key(file: Path):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_add, args=(str(file), 10)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)

    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(read_keys(file).keys) == 20


def test_the_commands_go_the_whole_way(file: Path):
    def run(*words: str) -> dict:
        done = CliRunner().invoke(command, [*words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.output)

    made = run("add", str(file), "--account", "acme", "--days", "30", "--scope", "chat", "--tokens-per-minute", "5000")
    assert FileKeyBook(file).find(made["token"]).allowance.tokens_per_minute == 5000
    granted = run("grant", str(file), "acme", "--tier", "vetted", "--attribute", "region=EU", "--by", "J", "--why", "x")
    assert granted["tiers"][0]["value"] == "vetted"
    run("revoke", str(file), made["key_id"], "--by", "J", "--why", "done")
    listed = CliRunner().invoke(command, ["list", str(file)]).output
    assert FileKeyBook(file).find(made["token"]) is None
    assert "revoked" in listed
    assert read_keys(file).keys[0].hash not in listed
    assert "hash" not in run("list", str(file))["keys"][0]


@pytest.mark.parametrize(
    "words",
    [["revoke", "FILE", "nosuchkey", "--by", "J", "--why", "x"], ["grant", "FILE", "acme", "--by", "J", "--why", "x"]],
)
def test_wrong_input_is_one_line_and_exit_2(file: Path, words: list[str]):
    add_key(file, account="acme", at=NOW)

    done = CliRunner().invoke(command, [str(file) if word == "FILE" else word for word in words])

    assert done.exit_code == 2
    assert done.output.startswith("safecase: ")
    assert done.output.count("\n") == 1
