"""Hazardous answers under a key of their own: AES-256-GCM, each read in the ledger before anyone sees a word.

    sealed = 01 | key tag (4 bytes) | nonce (12 bytes) | ciphertext and tag
    associated data = "safecase-hazard-v1" | 00 | header | trial id

so that an answer opens only under its key and for its own trial.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from safecase.evidence._case_files import write_atomic
from safecase.evidence._digest import digest_bytes, digest_value
from safecase.evidence._errors import KeyUnusable, SealBroken
from safecase.evidence._keys import read_secret
from safecase.evidence._ledger import LEDGER_NAME, Ledger
from safecase.evidence._values import Explanation, Message, Status, Trial

HAZARDOUS_DOMAINS = frozenset({"chem-bio", "cyber"})
"""Domains whose answers are stored encrypted only."""

_NOT_KEPT = "[answer not kept here, sha256 {}]"
_NOT_KEPT_FORM = re.compile(r"\[answer not kept here, sha256 [0-9a-f]{64}\]")

KEY_FILE_VARIABLE = "SAFECASE_HAZARD_KEY_FILE"

_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_KEY_BYTES, _NONCE_BYTES = 32, 12
_VERSION = b"\x01"
_HEADER_BYTES = 5  # version and key tag
_PURPOSE = b"safecase-hazard-v1\x00"


def keepable_turns(turns: Iterable[Message], *, domain: str) -> tuple[Message, ...]:
    """The earlier turns of a conversation as they may be kept: in a hazardous domain, answers by their digest only.

    >>> keepable_turns([Message(role="assistant", content="x")], domain="cyber")[0].content[:29]
    '[answer not kept here, sha256'
    """
    if domain not in HAZARDOUS_DOMAINS:
        return tuple(turns)
    return tuple(
        turn
        if is_keepable_turn(turn, domain=domain)
        else Message(role=turn.role, content=_NOT_KEPT.format(_digest_text(turn.content)))
        for turn in turns
    )


def keepable_explanations(
    explanations: Iterable[Explanation], *, domain: str, status: Status
) -> tuple[Explanation, ...]:
    """Explanations as they may be kept: where an answer may not lie in the plain, neither may words about it."""
    if domain in HAZARDOUS_DOMAINS or status == "not-stored":
        return tuple(replace(one, reason=None) for one in explanations)
    return tuple(explanations)


def is_keepable_turn(turn: Message, *, domain: str) -> bool:
    """Whether a turn may lie in a segment as it is: what people and system prompts say may, everywhere."""
    said_to_model = turn.role in {"user", "system"}
    return said_to_model or domain not in HAZARDOUS_DOMAINS or bool(_NOT_KEPT_FORM.fullmatch(turn.content))


def _digest_text(text: str) -> str:
    return digest_bytes(text.encode("utf-8", "surrogatepass"))


class Vault:
    """Seals and opens the hazardous answers of one case. Get one from `Vault.open`; the key is never printed."""

    def __init__(self, key: bytes, *, key_file: Path) -> None:
        self._key = key
        self._key_file = key_file

    @classmethod
    def open(
        cls, case_id: str, key_file: Path | None = None, *, case_dir: Path | None = None, create: bool = False
    ) -> "Vault":
        """Load the case's hazard key.

        The key file is `key_file`, else the one that `$SAFECASE_HAZARD_KEY_FILE` names, else
        `~/.local/share/safecase/keys/hazard-<case_id>.key`.

        Args:
            case_id: names the key; letters, digits, dot, dash, underscore.
            key_file: 64 hex digits and a newline, mode 0600.
            case_dir: the case. No key may lie inside it, nor inside any other folder that looks like a case: whoever
                is handed the case would hold the key.
            create: make a key where there is none, for a run that seals. Off for reading: a new key opens nothing.

        Raises:
            KeyMissing: no key file, and `create` is off.
            KeyUnusable: inside a case, open to others, not a key, or none can be made there.
            DiskFull: no space for a new key.
            ValueError: `case_id` cannot name a file.
        """
        path = key_file or _default_key_file(case_id)
        if (inside := _case_around(path, case_dir)) is not None:
            raise KeyUnusable(f"{path}: a hazard key may not lie inside the case {inside}; move it elsewhere")
        if create and not path.exists():
            _make_key(path)
        mend = f"get the key from whoever ran case {case_id!r}, or name it in ${KEY_FILE_VARIABLE}"
        return cls(_parse_key(read_secret(path, make=mend), path), key_file=path)

    @property
    def tag(self) -> str:
        """What tells this key from another, 8 hex digits, in every answer it sealed; nothing of the key is in it."""
        return _header(self._key)[1:].hex()

    def seal(self, text: str, trial_id: str) -> bytes:
        """Encrypt an answer for one trial. Two seals of one text differ (a fresh nonce each)."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        header, nonce = _header(self._key), os.urandom(_NONCE_BYTES)
        return header + nonce + AESGCM(self._key).encrypt(nonce, _encode(text), _bound_to(header, trial_id))

    def sealed_here(self, trials: Iterable[Trial]) -> list[Trial]:
        """Of several trials those whose answer was sealed under this key, by the tag it carries."""
        tag = _header(self._key)
        return [trial for trial in trials if trial.sealed is not None and trial.sealed.startswith(tag)]

    def unseal(self, blob: bytes, trial_id: str) -> str:
        """Decrypt an answer. To show it to anyone, use `read_sealed`, which leaves a trace.

        Raises:
            SealBroken: another key, another trial, or changed bytes.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        header, rest = blob[:_HEADER_BYTES], blob[_HEADER_BYTES:]
        if header != _header(self._key):
            line = f"the answer of trial {trial_id!r} was sealed under another key than {self._key_file}"
            raise SealBroken(f"{line}, or changed; name the right key in ${KEY_FILE_VARIABLE}")
        nonce, sealed = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        try:
            plain = AESGCM(self._key).decrypt(nonce, sealed, _bound_to(header, trial_id))
            return plain.decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError):
            line = f"the sealed answer of trial {trial_id!r} does not open: its bytes were changed or belong elsewhere"
            raise SealBroken(f"{line}; check its segment and restore it from a copy of the case") from None

    def derive(self, purpose: str) -> bytes:
        """A key of its own for another purpose, 32 bytes, from which this vault's key cannot be found.

        Source: HKDF, RFC 5869.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        made = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE + purpose.encode())
        return made.derive(self._key)

    def read_sealed(
        self, trials: Iterable[Trial], *, ledger: Ledger, actor: str, purpose: str, at: datetime
    ) -> dict[str, str]:
        """Open the answers of several trials, after one ledger entry saying who reads how many, and what for.

        Args:
            trials: those without a sealed answer are passed over.
            ledger: gets an entry `sealed-read` with purpose, count and the digest of the sorted trial ids.
            actor: who reads.
            purpose: what for; never empty.
            at: when; aware.

        Returns:
            Trial id to plain text. Without sealed answers, an empty record and no entry.

        Raises:
            SealBroken: an answer does not open (the entry stands: it was asked for).
            DiskFull, LedgerBroken: the entry could not be written, so nothing was opened.
            ValueError: an empty purpose or actor.
        """
        if not purpose.strip():
            raise ValueError("a sealed answer is read for a purpose; say which")
        blobs = {trial.trial_id: trial.sealed for trial in trials if trial.sealed is not None}
        if not blobs:
            return {}
        subject = {"purpose": purpose, "count": len(blobs), "trial_ids_digest": digest_value(sorted(blobs))}
        ledger.append("sealed-read", actor=actor, subject=subject, at=at)
        return {trial_id: self.unseal(blob, trial_id) for trial_id, blob in blobs.items()}


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # half a surrogate pair is what some models answer


def _header(key: bytes) -> bytes:
    return _VERSION + bytes.fromhex(digest_bytes(b"safecase-key-tag\x00" + key))[:4]


def _bound_to(header: bytes, trial_id: str) -> bytes:
    return _PURPOSE + header + trial_id.encode()


def _case_around(path: Path, case_dir: Path | None) -> Path | None:
    """The case that a path lies in: the one given, or any folder above it that holds a case file or a ledger."""
    for folder in path.resolve().parents:
        if case_dir is not None and folder == case_dir.resolve():
            return folder
        if (folder / "safecase.yaml").exists() or (folder / LEDGER_NAME).exists():
            return folder
    return None


def _default_key_file(case_id: str) -> Path:
    if named := os.environ.get(KEY_FILE_VARIABLE):
        return Path(named).expanduser()
    if not _CASE_ID.fullmatch(case_id):
        raise ValueError(f"case id {case_id!r} cannot name a key file; use letters, digits, dot, dash, underscore")
    return Path.home() / ".local" / "share" / "safecase" / "keys" / f"hazard-{case_id}.key"


def _make_key(path: Path) -> None:
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path, os.urandom(_KEY_BYTES).hex().encode() + b"\n", mode=0o600, replace=False)
    except OSError as error:
        if path.is_file():
            return  # another process was first; its key is the key
        line = f"{path}: no hazard key can be made there ({error.strerror})"
        raise KeyUnusable(f"{line}; name a place you may write to in ${KEY_FILE_VARIABLE}") from None


def _parse_key(data: bytes, path: Path) -> bytes:
    try:
        key = bytes.fromhex(data.decode().strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise KeyUnusable(f"{path}: not a hazard key; it holds 64 hex digits and nothing else")
    return key
