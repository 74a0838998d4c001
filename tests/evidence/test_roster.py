"""Who counts: people the roster names, in different roles, in time, once each, and never the author."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.evidence import (
    DECISION,
    Envelope,
    PrivateKey,
    Quorum,
    Roster,
    RosterBroken,
    RosterEntry,
    Signature,
    Statement,
    Subject,
    add_signature,
    load_roster,
    quorum,
    sign,
    sign_off,
    sign_off_quorum,
    sign_roster,
    write_envelope,
)

from .conftest import AT

Keys = dict[str, PrivateKey]
CAIO, DIRECTOR, ENGINEER = "chief-ai-officer", "director-risk", "engineer"
ROLES = {CAIO, DIRECTOR}
DIGEST = "d" * 64
FILE = Subject(name="decision.json", sha256=DIGEST)
DAY = timedelta(days=1)


def _entry(keys: Keys, key: str, person: str, role: str, **changed: object) -> RosterEntry:
    entry = RosterEntry(person=person, role=role, key=keys[key].public, is_demo=keys[key].is_demo, valid_from=AT - DAY)
    return replace(entry, **changed)  # type: ignore[arg-type]


@pytest.fixture
def entries(keys: Keys) -> list[RosterEntry]:
    return [
        _entry(keys, "ada", "Ada", CAIO),
        _entry(keys, "ada2", "Ada", DIRECTOR),
        _entry(keys, "bob", "Bob", DIRECTOR),
        _entry(keys, "cyd", "Cyd", ENGINEER),
        _entry(keys, "demo", "Dee", DIRECTOR),
    ]


def _load(tmp_path: Path, entries: Sequence[RosterEntry], root: PrivateKey, trusted: str | None = None) -> Roster:
    write_envelope(tmp_path / "roster.json", sign_roster(entries, root))
    return load_roster(tmp_path / "roster.json", trusted_root=trusted)


@pytest.fixture
def roster(tmp_path: Path, entries: list[RosterEntry], keys: Keys) -> Roster:
    return _load(tmp_path, entries, keys["root"], keys["root"].keyid)


def _decision(keys: Keys, *names: str) -> Envelope:
    first, *rest = names
    envelope = sign(Statement(subject=(FILE,), predicate_type=DECISION, predicate={}), keys[first])
    for name in rest:
        envelope = add_signature(envelope, keys[name])
    return envelope


def _why(result: Quorum) -> str:
    return "; ".join(one.why for one in result.not_counted)


def test_a_roster_comes_back(roster: Roster, entries: list[RosterEntry], keys: Keys) -> None:
    assert roster.entries == tuple(entries)
    assert (roster.root, roster.is_trusted, roster.is_root_demo) == (keys["root"].public, True, False)


def test_a_roster_whose_root_is_not_known_elsewhere_is_not_trusted(
    tmp_path: Path, entries: list[RosterEntry], keys: Keys
) -> None:
    """Anyone can make a root; only a key id from elsewhere tells theirs from ours."""
    mallory = _load(tmp_path, entries, keys["stranger"])

    assert not mallory.is_trusted
    with pytest.raises(RosterBroken, match="not by the trusted"):
        load_roster(tmp_path / "roster.json", trusted_root=keys["root"].keyid)


def test_a_roster_that_its_root_did_not_sign_is_refused(tmp_path: Path, entries: list[RosterEntry], keys: Keys) -> None:
    """Re-signing with another key does not make it the root's."""
    genuine = sign_roster(entries, keys["root"])
    resigned = sign(genuine.statement(), keys["stranger"])
    for envelope in (resigned, replace(genuine, signatures=())):
        write_envelope(tmp_path / "roster.json", envelope)
        with pytest.raises(RosterBroken, match="did not sign"):
            load_roster(tmp_path / "roster.json", trusted_root=None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keyid": "0" * 64}, "is not that of the key"),
        ({"public_key": "no key"}, "not a public key"),
        ({"demo": "no"}, "true or false"),
        ({"person": " "}, "needs a person"),
        ({"valid_from": "yesterday"}, "not a roster"),
        ({"valid_from": "2026-04-07T12:00:00"}, "not a roster"),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(
    tmp_path: Path, entries: list[RosterEntry], keys: Keys, change: dict[str, object], said: str
) -> None:
    statement = sign_roster(entries, keys["root"]).statement()
    people = [{**statement.predicate["people"][0], **change}]
    changed = replace(statement, predicate={**statement.predicate, "people": people})
    write_envelope(tmp_path / "roster.json", sign(changed, keys["root"]))

    with pytest.raises(RosterBroken, match=said):
        load_roster(tmp_path / "roster.json", trusted_root=None)


def test_one_key_belongs_to_one_entry_and_a_roster_lists_someone(keys: Keys, entries: list[RosterEntry]) -> None:
    with pytest.raises(RosterBroken, match="stands twice"):
        sign_roster([*entries, replace(entries[0], person="Eve")], keys["root"])
    with pytest.raises(RosterBroken, match="nobody"):
        sign_roster([], keys["root"])


def test_another_statement_is_no_roster(tmp_path: Path, keys: Keys) -> None:
    write_envelope(tmp_path / "roster.json", _decision(keys, "root"))

    with pytest.raises(RosterBroken, match="not a roster"):
        load_roster(tmp_path / "roster.json", trusted_root=None)


def test_two_people_in_different_roles_are_a_quorum(keys: Keys, roster: Roster) -> None:
    result = quorum(_decision(keys, "ada", "bob"), roster, author="Cyd", roles=ROLES, at=AT)

    assert result.is_met
    assert [(one.person, one.role) for one in result.counted] == [("Ada", CAIO), ("Bob", DIRECTOR)]
    assert not result.is_demo
    assert result.is_trusted


@pytest.mark.parametrize(
    ("names", "author", "roles", "said"),
    [
        (("ada",), None, ROLES, ""),  # one is not two
        (("ada", "bob"), "Ada", ROLES, "author"),
        (("ada", "bob"), " aDa ", ROLES, "author"),  # another spelling of the author
        (("ada", "ada2"), None, ROLES, "counts already"),  # two keys and two roles, one person
        (("bob", "demo"), None, ROLES, "roles must differ"),
        (("ada", "cyd"), None, ROLES, "not among those asked"),
        (("ada", "stranger"), None, ROLES, "does not know"),
        (("ada", "bob"), None, {CAIO}, "not among those asked"),
    ],
)
def test_what_is_no_quorum_says_why(
    keys: Keys, roster: Roster, names: tuple[str, ...], author: str | None, roles: set[str], said: str
) -> None:
    result = quorum(_decision(keys, *names), roster, author=author, roles=roles, at=AT)

    assert not result.is_met
    assert said in _why(result)
    assert len(result.counted) + len(result.not_counted) == len(names)


def test_a_copied_signature_does_not_count(keys: Keys, roster: Roster) -> None:
    envelope = _decision(keys, "ada")
    forged = Signature(keyid=keys["bob"].keyid, sig=envelope.signatures[0].sig)
    result = quorum(
        replace(envelope, signatures=(*envelope.signatures, forged)), roster, author=None, roles=ROLES, at=AT
    )

    assert not result.is_met
    assert "does not hold" in _why(result)


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "counts"),
    [
        (-1, None, True),
        (0, 1, True),  # from the first instant on
        (1, None, False),
        (-2, 0, False),  # no longer at the last
        (-2, -1, False),
    ],
)
def test_a_key_counts_in_its_time(
    tmp_path: Path, keys: Keys, entries: list[RosterEntry], valid_from: int, valid_until: int | None, counts: bool
) -> None:
    until = None if valid_until is None else AT + valid_until * DAY
    bob = replace(entries[2], valid_from=AT + valid_from * DAY, valid_until=until)
    roster = _load(tmp_path, [entries[0], bob], keys["root"])
    result = quorum(_decision(keys, "ada", "bob"), roster, author=None, roles=ROLES, at=AT)

    assert result.is_met is counts
    assert ("not valid at" in _why(result)) is not counts


def test_a_demo_key_that_counts_makes_the_quorum_a_demonstration(
    tmp_path: Path, keys: Keys, entries: list[RosterEntry], roster: Roster
) -> None:
    by_signer = quorum(_decision(keys, "ada", "demo"), roster, author=None, roles=ROLES, at=AT)
    not_needed = quorum(_decision(keys, "demo", "ada", "bob"), roster, author=None, roles=ROLES, at=AT)
    demo_root = _load(tmp_path, entries[:3], keys["demo"])
    by_root = quorum(_decision(keys, "ada", "bob"), demo_root, author=None, roles=ROLES, at=AT)

    assert (by_signer.is_met, by_signer.is_demo) == (True, True)
    assert (not_needed.is_met, not_needed.is_demo) == (True, False)  # a real key is counted before a demo key
    assert (by_root.is_met, by_root.is_demo, by_root.is_trusted) == (True, True, False)


@given(st.lists(st.sampled_from(["ada", "ada2", "bob", "cyd", "demo", "stranger"]), min_size=1, unique=True), st.data())
def test_people_and_roles_are_distinct_whoever_signs(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, names: list[str], data: st.DataObject
) -> None:
    people = {"ada": ("Ada", CAIO), "ada2": ("Ada", DIRECTOR), "bob": ("Bob", DIRECTOR), "cyd": ("Cyd", ENGINEER)}
    people["demo"] = ("Dee", DIRECTOR)
    listed = [_entry(keys, name, *who) for name, who in people.items()]
    roster = _load(tmp_path_factory.mktemp("r"), listed, keys["root"])
    author = data.draw(st.sampled_from(["Ada", "Bob", "Zoe", None]))
    result = quorum(_decision(keys, *names), roster, author=author, roles=ROLES, at=AT)

    counted = [one.person for one in result.counted]
    assert len(set(counted)) == len(counted)
    assert len({one.role for one in result.counted}) == len(counted)
    assert author not in counted
    assert result.is_met == (len(counted) >= 2)
    assert len(counted) + len(result.not_counted) == len(names)


def test_a_quorum_of_nobody_is_refused(keys: Keys, roster: Roster) -> None:
    with pytest.raises(ValueError, match="at least one person"):
        quorum(_decision(keys, "ada"), roster, author=None, roles=ROLES, required=0, at=AT)


# --- sign-offs, each a statement of its own ----------------------------------------------------------------------


def _off(keys: Keys, roster: Roster, name: str, position: str = "approve", **changed: object) -> Envelope:
    named: dict[str, object] = {"reason": "seen", "at": AT, "position": position, "key": keys[name], "roster": roster}
    return sign_off(FILE, **{**named, **changed})  # type: ignore[arg-type]


def _count(offs: Sequence[Envelope], roster: Roster, **changed: object) -> Quorum:
    named: dict[str, object] = {"subject_sha256": DIGEST, "author": "Cyd", "roles": ROLES, "at": AT}
    return sign_off_quorum(offs, roster, **{**named, **changed})  # type: ignore[arg-type]


def test_sign_offs_carry_person_and_role_from_the_roster(keys: Keys, roster: Roster) -> None:
    offs = [_off(keys, roster, "ada"), _off(keys, roster, "bob")]

    said = offs[0].statement().predicate
    assert (said["person"], said["role"], said["position"]) == ("Ada", CAIO, "approve")
    assert _count(offs, roster).is_met
    assert not _count(offs, roster, author="Bob").is_met


def test_dissent_is_recorded_and_does_not_by_itself_undo_a_quorum(keys: Keys, roster: Roster) -> None:
    offs = [_off(keys, roster, name) for name in ("ada", "bob")]
    result = _count([*offs, _off(keys, roster, "demo", "dissent", reason="too few trials")], roster)

    assert result.is_met
    assert [(one.person, one.reason) for one in result.dissents] == [("Dee", "too few trials")]
    assert not _count([offs[0], _off(keys, roster, "bob", "dissent")], roster).is_met


@pytest.mark.parametrize("order", [1, -1])
def test_who_signs_for_and_against_is_recorded_as_dissenting_and_does_not_count(
    keys: Keys, roster: Roster, order: int
) -> None:
    both = [_off(keys, roster, "ada2"), _off(keys, roster, "ada", "dissent")][::order]
    result = _count([*both, _off(keys, roster, "bob")], roster)

    assert not result.is_met
    assert [one.person for one in result.dissents] == ["Ada"]
    assert "signed against" in _why(result)


def test_the_same_sign_off_twice_counts_once(keys: Keys, roster: Roster) -> None:
    off = _off(keys, roster, "ada")

    assert [one.person for one in _count([off, off], roster).counted] == ["Ada"]


def _claim(keys: Keys, name: str, **changed: object) -> Envelope:
    """A sign-off whose signer wrote it without asking the roster."""
    said = {"person": "Bob", "role": DIRECTOR, "position": "approve", "reason": "", "at": "2026-04-07T12:00:00.000000Z"}
    predicate = {key: value for key, value in {**said, **changed}.items() if value is not None}
    kind = "https://safecase.dev/sign-off/v1"
    return sign(Statement(subject=(FILE,), predicate_type=kind, predicate=predicate), keys[name])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"person": "Ada"}, "which the roster does not say"),
        ({"role": CAIO}, "which the roster does not say"),
        ({"position": "abstain"}, "not a sign-off"),
        ({"position": None}, "not a sign-off"),
        ({"at": "2026-04-07T12:00:00.000001Z"}, "after"),
        ({"at": "2020-01-01T00:00:00.000000Z"}, "not valid when it was made"),
        ({"at": "now"}, "not a sign-off"),
    ],
)
def test_a_sign_off_that_says_otherwise_than_the_roster_does_not_count(
    keys: Keys, roster: Roster, changed: dict[str, object], said: str
) -> None:
    genuine = _off(keys, roster, "ada")
    assert _count([genuine, _claim(keys, "bob")], roster).is_met

    result = _count([genuine, _claim(keys, "bob", **changed)], roster)

    assert not result.is_met
    assert said in _why(result)


def test_a_sign_off_is_for_one_version_of_the_file(keys: Keys, roster: Roster) -> None:
    offs = [_off(keys, roster, "ada"), _off(keys, roster, "bob")]
    result = _count(offs, roster, subject_sha256="e" * 64)

    assert result.counted == ()
    assert "another version" in _why(result)


def test_another_kind_of_statement_is_no_sign_off(keys: Keys, roster: Roster) -> None:
    assert _count([_decision(keys, "ada"), _decision(keys, "bob")], roster).counted == ()


def test_signing_off_needs_a_key_the_roster_knows_in_its_time_and_a_dissent_its_reason(
    keys: Keys, roster: Roster
) -> None:
    with pytest.raises(RosterBroken, match="does not know"):
        _off(keys, roster, "stranger")
    with pytest.raises(RosterBroken, match="not valid at"):
        _off(keys, roster, "ada", at=AT - 2 * DAY)
    with pytest.raises(ValueError, match="reason"):
        _off(keys, roster, "ada", "dissent", reason=" ")
