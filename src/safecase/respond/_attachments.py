"""Files that come with reports: known by their first bytes, counted and measured, never opened here.

What a sender calls a file is not believed. What is let in is handed back as a download only, never shown. Whether it
holds malware is said by a scanner of the operator's, where one is named; this program has none of its own.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from safecase.respond._desk import IntakeLimits
from safecase.web import Refused

_SIGNS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13})
TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "text/plain")
"""Media types that are taken. Programs, archives and office files are not: they run, or hide what they hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as it came."""

    name: str
    data: bytes


def media_type(data: bytes) -> str | None:
    """What the bytes are, None for anything that is not taken.

    >>> media_type(b"%PDF-1.7 ..."), media_type(b"plain words"), media_type(b"MZ\\x90\\x00")
    ('application/pdf', 'text/plain', None)
    """
    for sign, found in _SIGNS:
        if data.startswith(sign):
            return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "text/plain" if _is_text(data) else None


def types_of(files: tuple[File, ...], limits: IntakeLimits) -> tuple[str, ...]:
    """The type of every file.

    Raises:
        Refused: too many, too large, empty, or of a type that is not taken.
    """
    if len(files) > limits.attachments:
        raise Refused(413, "too-many-files", f"{len(files)} files came; {limits.attachments} are taken")
    return tuple(_type(file, limits) for file in files)


def must_be_clean(files: Sequence[File], scanner: Sequence[str], *, timeout_s: float = 60.0) -> None:
    """Give every file to the operator's scanner, on its standard input; nothing happens where none is named.

    Args:
        scanner: program and arguments, run without a shell. It ends with 0 where the file is clean and with 1 where it
            is not, as `clamscan -` does; anything else means that it could not look.

    Raises:
        Refused: a file is harmful, or it could not be looked at.
    """
    for file in files if scanner else ():
        try:
            code = subprocess.run(  # noqa: S603 - named by the operator, no shell
                scanner,
                input=file.data,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=timeout_s,
                check=False,
            ).returncode
        except (OSError, subprocess.TimeoutExpired):
            code = -1
        if code == 1:
            raise Refused(422, "file-harmful", "a file was found to be harmful; send the report without it")
        if code != 0:
            what = "files cannot be looked at now; send the report without them, or again later"
            raise Refused(503, "file-not-scanned", what, retry_after_s=300.0)


def _type(file: File, limits: IntakeLimits) -> str:
    if len(file.data) > limits.attachment_bytes:
        raise Refused(413, "file-too-large", f"a file has {len(file.data)} bytes; {limits.attachment_bytes} are taken")
    found = media_type(file.data)
    if not file.data or found is None:
        raise Refused(415, "file-type", f"a file is empty or of a type that is not taken; send {', '.join(TYPES)}")
    return found


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not data.translate(None, delete=bytes(set(range(256)) - set(_CONTROLS)))
