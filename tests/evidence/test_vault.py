"""Hazardous answers: shut without their key, and every read on record before a word is shown."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.evidence import (
    KEY_FILE_VARIABLE,
    DiskFull,
    KeyMissing,
    KeyUnusable,
    Ledger,
    SealBroken,
    Vault,
    digest_value,
)

from .conftest import AT, make_trial


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "hazard.key"


@pytest.fixture
def vault(key_file: Path) -> Vault:
    return Vault.open("demo", key_file, create=True)


@given(st.text(st.characters()), st.text(max_size=24).filter(lambda text: text.isascii()))
def test_what_is_sealed_opens(tmp_path_factory: pytest.TempPathFactory, text: str, trial_id: str) -> None:
    vault = Vault.open("demo", tmp_path_factory.getbasetemp() / "hazard.key", create=True)

    assert vault.unseal(vault.seal(text, trial_id), trial_id) == text


def test_the_key_is_made_once_and_for_its_owner_alone(vault: Vault, key_file: Path) -> None:
    blob = vault.seal("secret", "t1")

    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert Vault.open("demo", key_file, create=True).unseal(blob, "t1") == "secret"
    assert b"secret" not in blob


def test_every_flipped_bit_shuts_it(vault: Vault) -> None:
    blob = vault.seal("secret", "t1")
    for position in range(len(blob)):
        changed = blob[:position] + bytes([blob[position] ^ 1]) + blob[position + 1 :]
        with pytest.raises(SealBroken, match="t1"):
            vault.unseal(changed, "t1")
    for length in range(len(blob)):
        with pytest.raises(SealBroken):
            vault.unseal(blob[:length], "t1")


def test_an_answer_opens_for_its_own_trial_only(vault: Vault) -> None:
    with pytest.raises(SealBroken, match="belong elsewhere"):
        vault.unseal(vault.seal("secret", "t1"), "t2")


def test_another_key_is_said_to_be_another_key(vault: Vault, tmp_path: Path) -> None:
    other = Vault.open("demo", tmp_path / "other.key", create=True)

    with pytest.raises(SealBroken, match="another key"):
        other.unseal(vault.seal("secret", "t1"), "t1")


def test_without_the_key_opening_says_so_and_makes_none(vault: Vault, key_file: Path) -> None:
    """A new key would open nothing, and would hide that the right one is missing."""
    key_file.unlink()

    with pytest.raises(KeyMissing, match=KEY_FILE_VARIABLE):
        Vault.open("demo", key_file)
    assert not key_file.exists()


def test_a_place_where_no_key_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(KeyUnusable, match="no hazard key can be made"):
        Vault.open("demo", tmp_path / "file" / "hazard.key", create=True)


@pytest.mark.parametrize("marker", ["safecase.yaml", "ledger.jsonl"])
def test_a_key_inside_a_case_is_refused(case: Path, marker: str) -> None:
    (case / marker).touch()

    with pytest.raises(KeyUnusable, match="inside the case"):
        Vault.open("demo", case / "deep" / "hazard.key", create=True)
    assert not (case / "deep").exists()


def test_a_key_inside_the_given_folder_is_refused_also_through_a_link(case: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(case)

    with pytest.raises(KeyUnusable, match="inside the case"):
        Vault.open("demo", tmp_path / "link" / "hazard.key", case_dir=case, create=True)


def test_the_environment_names_the_key_and_else_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(KEY_FILE_VARIABLE, raising=False)
    Vault.open("demo-1", create=True)
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "named.key"))
    Vault.open("demo-1", create=True)

    assert (tmp_path / "home/.local/share/safecase/keys/hazard-demo-1.key").exists()
    assert (tmp_path / "named.key").exists()


@pytest.mark.parametrize("case_id", ["", "../x", "a/b", ".hidden", "x" * 200])
def test_a_case_id_cannot_lead_elsewhere(monkeypatch: pytest.MonkeyPatch, case_id: str) -> None:
    monkeypatch.delenv(KEY_FILE_VARIABLE, raising=False)

    with pytest.raises(ValueError, match="cannot name a key file"):
        Vault.open(case_id)


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [(b"00" * 32, 0o640, "chmod 600"), (b"00" * 31, 0o600, "64 hex digits"), (b"\xff", 0o600, "64 hex digits")],
)
def test_an_unfit_key_file_is_refused_at_once(key_file: Path, content: bytes, mode: int, said: str) -> None:
    key_file.parent.mkdir()
    key_file.write_bytes(content)
    key_file.chmod(mode)

    with pytest.raises(KeyUnusable, match=said):
        Vault.open("demo", key_file)


def test_one_read_is_one_entry_written_first(vault: Vault, case: Path) -> None:
    trials = [make_trial(n, domain="cyber", response=None, sealed=vault.seal(f"a{n}", f"{n:024x}")) for n in (2, 1)]
    ledger = Ledger(case / "ledger.jsonl")

    plain = vault.read_sealed([*trials, make_trial(9)], ledger=ledger, actor="ada", purpose="judging", at=AT)

    assert plain == {trials[0].trial_id: "a2", trials[1].trial_id: "a1"}
    (entry,) = ledger.entries()
    assert (entry.action, entry.actor) == ("sealed-read", "ada")
    assert entry.subject == {
        "purpose": "judging",
        "count": 2,
        "trial_ids_digest": digest_value(sorted(trial.trial_id for trial in trials)),
    }


def test_nothing_is_opened_when_the_entry_cannot_be_written(
    vault: Vault, case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(1, sealed=vault.seal("a", f"{1:024x}"), response=None)
    ledger = Ledger(case / "ledger.jsonl")

    def full(*args: object, **named: object) -> None:
        raise DiskFull(ledger.path)

    monkeypatch.setattr(ledger, "append", full)
    monkeypatch.setattr(vault, "unseal", lambda *_: pytest.fail("opened without an entry"))
    with pytest.raises(DiskFull):
        vault.read_sealed([trial], ledger=ledger, actor="ada", purpose="judging", at=AT)


def test_a_read_needs_a_purpose_and_nothing_to_read_leaves_no_entry(vault: Vault, case: Path) -> None:
    ledger = Ledger(case / "ledger.jsonl")
    with pytest.raises(ValueError, match="purpose"):
        vault.read_sealed([], ledger=ledger, actor="ada", purpose=" ", at=AT)

    assert vault.read_sealed([make_trial(1)], ledger=ledger, actor="ada", purpose="judging", at=AT) == {}
    assert not ledger.path.exists()
