"""Signed statements: standard envelopes in one spelling, each signature checked."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope as DsseEnvelope
from securesystemslib.signer import SSlibKey

from safecase.evidence import (
    FINDINGS,
    Envelope,
    PrivateKey,
    Signature,
    Statement,
    StatementBroken,
    Subject,
    add_signature,
    check_envelope,
    parse_envelope,
    read_envelope,
    sign,
    verify_envelope,
    write_envelope,
)

STATEMENT = Statement(
    subject=(Subject(name="plan.json", sha256="a" * 64),), predicate_type=FINDINGS, predicate={"n": 1, "é": [None]}
)
Keys = dict[str, PrivateKey]


def test_a_statement_comes_back_with_its_signatures(tmp_path: Path, keys: Keys) -> None:
    envelope = add_signature(sign(STATEMENT, keys["ada"]), keys["bob"])
    write_envelope(tmp_path / "findings.json", envelope)
    read = read_envelope(tmp_path / "findings.json")

    assert read == envelope
    assert read.statement() == STATEMENT
    assert verify_envelope(read, [keys["bob"].public, keys["ada"].public]) == [keys["ada"].keyid, keys["bob"].keyid]


def test_the_envelope_is_standard_dsse(keys: Keys) -> None:
    """Another implementation reads it, checks it and finds an in-toto Statement v1."""
    data = json.loads(sign(STATEMENT, keys["ada"]).to_bytes())
    envelope = DsseEnvelope.from_dict(data)
    ada = SSlibKey.from_crypto(keys["ada"].ed25519.public_key())

    assert list(envelope.verify([ada], 1)) == [keys["ada"].keyid]
    payload = json.loads(envelope.payload)
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["subject"] == [{"name": "plan.json", "digest": {"sha256": "a" * 64}}]


def test_only_keys_that_signed_are_returned_and_all_of_them(keys: Keys) -> None:
    envelope = sign(STATEMENT, keys["ada"])
    for name in ("bob", "cyd"):
        envelope = add_signature(envelope, keys[name])
    forged = Signature(keyid=keys["stranger"].keyid, sig=envelope.signatures[0].sig)
    broken = Signature(keyid=keys["root"].keyid, sig=b"short")
    envelope = replace(envelope, signatures=(forged, broken, *envelope.signatures))

    known = [key.public for key in keys.values()]
    assert verify_envelope(envelope, known) == [keys[name].keyid for name in ("ada", "bob", "cyd")]
    assert verify_envelope(envelope, [keys["cyd"].public]) == [keys["cyd"].keyid]
    assert verify_envelope(envelope, []) == []


def test_one_key_counts_once_however_often_it_stands_there(keys: Keys) -> None:
    envelope = sign(STATEMENT, keys["ada"])
    twice = replace(envelope, signatures=envelope.signatures * 2)

    assert verify_envelope(twice, [keys["ada"].public]) == [keys["ada"].keyid]
    with pytest.raises(ValueError, match="no one signs twice"):
        add_signature(envelope, keys["ada"])


def test_a_bad_signature_does_not_hide_a_good_one_of_the_same_key(keys: Keys) -> None:
    envelope = sign(STATEMENT, keys["ada"])
    bad = Signature(keyid=keys["ada"].keyid, sig=bytes(64))

    assert verify_envelope(replace(envelope, signatures=(bad, *envelope.signatures)), [keys["ada"].public])


def test_a_signature_is_over_its_own_payload_and_type(keys: Keys) -> None:
    envelope = sign(STATEMENT, keys["ada"])
    other = replace(STATEMENT, predicate={"n": 2})

    for changed in (replace(envelope, payload=other.payload()), replace(envelope, payload_type="text/plain")):
        assert verify_envelope(changed, [keys["ada"].public]) == []


def test_every_flipped_bit_of_a_statement_is_noticed(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "findings.json"
    write_envelope(path, add_signature(sign(STATEMENT, keys["ada"]), keys["bob"]))
    known = [keys["ada"].public, keys["bob"].public]
    whole = path.read_bytes()
    assert check_envelope(path, known) == []

    for position in range(len(whole)):
        for bit in (0, 5):  # bit 5 is the case of a letter, which base64 and hex readers may forgive
            path.write_bytes(whole[:position] + bytes([whole[position] ^ (1 << bit)]) + whole[position + 1 :])
            problems = check_envelope(path, known)
            assert [problem.file for problem in problems] == [path], (position, bit)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'{"payload":"","payloadType":"x","signatures":[]}\n',
        b'{"payload":5,"payloadType":"application/vnd.in-toto+json","signatures":[]}\n',
        b"\xff",
        b"[" * 5000,
    ],
)
def test_what_is_no_envelope_is_refused_with_its_origin(data: bytes) -> None:
    with pytest.raises(StatementBroken, match=r"^here: "):
        parse_envelope(data, origin="here")


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"_type":"https://in-toto.io/Statement/v0.1","predicate":{},"predicateType":"x","subject":[]}',
        STATEMENT.payload().replace(b":", b": "),  # the same JSON, spelled otherwise
    ],
)
def test_a_payload_that_is_no_canonical_statement_is_refused(payload: bytes) -> None:
    fields = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [],
    }
    with pytest.raises(StatementBroken):
        parse_envelope(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n", origin="here")


def test_an_unsigned_statement_is_a_problem_and_a_missing_one_too(tmp_path: Path, keys: Keys) -> None:
    envelope = Envelope(payload=STATEMENT.payload(), payload_type="application/vnd.in-toto+json", signatures=())
    write_envelope(tmp_path / "a.json", envelope)

    assert "nobody signed" in str(check_envelope(tmp_path / "a.json", [keys["ada"].public])[0])
    assert "cannot be read" in str(check_envelope(tmp_path / "b.json", [])[0])


def test_a_statement_is_about_something(keys: Keys) -> None:
    with pytest.raises(ValueError, match="at least one subject"):
        sign(replace(STATEMENT, subject=()), keys["ada"])
