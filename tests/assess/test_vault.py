"""A hazard key that is gone stops whoever would seal on without it, and is never replaced in silence."""

import os
import secrets
from pathlib import Path

import pytest

from safecase.evidence import KEY_FILE_VARIABLE, KeyMissing, SealBroken


def test_a_case_without_its_key_seals_no_more_and_says_how_to_go_on(make_case):
    case, key = make_case(), Path(os.environ[KEY_FILE_VARIABLE])
    sealed = case.vault(create=True).seal("secret", "t1")
    tag = case.vault().tag
    key.unlink()

    for _ in range(2):
        with pytest.raises(KeyMissing, match=f"sealed under key {tag}; if it is lost for good, a new one"):
            case.vault(create=True)
    assert not key.exists()

    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    with pytest.raises(SealBroken, match="another key"):
        case.vault(create=True).unseal(sealed, "t1")


def test_the_ledger_names_each_key_once(make_case):
    case = make_case()

    for _ in range(3):
        case.vault(create=True)

    entries = [(entry.action, entry.subject) for entry in case.ledger.entries()]
    assert entries == [("hazard-key", {"tag": case.vault().tag})]
