"""From what somebody sends to a report on record. Everything is taken; nothing is believed, shown or run."""

import datetime as dt
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, get_args

from safecase.evidence import digest_bytes
from safecase.registry import Attachment, Channel, Disclosure, Report, Source, Writer
from safecase.respond._attachments import File, must_be_clean, types_of
from safecase.respond._desk import Desk
from safecase.respond._obligations import step_report
from safecase.respond._similar import NEAR, SLOTS, plain, sketch
from safecase.web import Refused

Confidentiality = Literal["open", "confidential", "anonymous"]
CHANNELS: tuple[str, ...] = get_args(Channel)
_TOKEN = re.compile(r"rp-(?P<id>[0-9a-f]{16})-(?P<secret>[A-Za-z0-9_-]{43})")
_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_MANY_LINKS, _MANY_ALIKE = 5, 20
_SHORT = 500  # characters of title, contact, context and the like
_MOST_NAMES = 20
EVENT_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a sender says.

    Attributes:
        request, answer: the exchange with the model that it is about.
        contact: how to reach the sender; never kept for an anonymous report.
        accused: names of people it accuses.
        trap: a field that people do not see; what fills it in is a program.
    """

    channel: Channel
    text: str
    title: str = ""
    request: str = ""
    answer: str = ""
    contact: str = ""
    confidentiality: Confidentiality = "open"
    accused: tuple[str, ...] = ()
    context: str | None = None
    event_ids: tuple[str, ...] = ()
    trial_id: str | None = None
    files: tuple[File, ...] = ()
    trap: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the sender gets.

    Attributes:
        token: opens the follow-up; the one place where it stands.
    """

    report: str
    token: str


def take(desk: Desk, said: Submission, *, source: Source, at: dt.datetime) -> Receipt:
    """Put a report on record, sealed, grouped with others like it, and give its sender a token.

    Raises:
        Refused: too long, empty, an unknown word, or files that are not taken.
        RegistryUnavailable: it could not be kept; the sender must not be told otherwise.
    """
    check_words(desk, said)
    types = types_of(said.files, desk.spec.limits)
    must_be_clean(said.files, desk.scanner)
    report_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    words = plain(f"{said.title}\n{said.text}\n{said.request}\n{said.answer}")
    kind = f"near:{said.channel}"
    minima = sketch(words, key=bytes.fromhex(desk.registry.keyed_hash("shingle", ""))[:32])
    with desk.registry.writing() as writer:
        group, alike = _group(writer, kind, minima)
        report = Report(
            id=f"r-{report_id}",
            case=desk.case.spec.id,
            channel=said.channel,
            source=source,
            confidentiality=said.confidentiality,
            received=at,
            content=writer.seal(_content(said)),
            fingerprint=desk.registry.keyed_hash("text", words),
            group=group or f"r-{report_id}",
            spam=() if source == "monitor" else _signs_of_spam(said, alike),  # alerts of a kind read alike
            attachments=tuple(_keep(desk, writer, file, kind) for file, kind in zip(said.files, types, strict=True)),
            accused=tuple(sorted({desk.person_hash(name) for name in said.accused})),
            token=desk.registry.keyed_hash("token", secret),
            context=said.context,
            trial_id=said.trial_id,
            event_ids=said.event_ids,
            disclosure=Disclosure() if said.channel == "security" else None,
        )
        writer.add(report, action="received", actor=source, at=at)
        if group is None:
            writer.name(report.id, kind, minima)
        step_report(desk, writer, report, {}, now=at)
    if said.channel != "feedback":
        desk.log("report-received", by=source, at=at, report=report.id, channel=said.channel)
    return Receipt(report=report.id, token=f"rp-{report_id}-{secret}")


def holder_of(desk: Desk, token: str) -> Report:
    """The report that a token opens.

    Raises:
        Refused: it opens none; the same for every wrong token.
    """
    match = _TOKEN.fullmatch(token.strip())
    known = desk.registry.find_record(Report, f"r-{match['id']}") if match else None
    expected = known.token if known is not None and known.token is not None else ""
    given = desk.registry.keyed_hash("token", match["secret"] if match else "")
    if known is None or not hmac.compare_digest(expected, given):
        raise Refused(401, "no-token", "this token opens no report; copy it whole, it begins with rp-")
    return known


def is_app_key(desk: Desk, key: str) -> bool:
    """Whether a key is one of the application's own."""
    found = sha256(key.encode("utf-8", "replace")).hexdigest()
    return any(hmac.compare_digest(found, known) for known in desk.spec.app_keys)


def check_words(desk: Desk, said: Submission) -> None:
    """Hold what was said against the limits and the case.

    Raises:
        Refused: with what is wrong; never with the words themselves.
    """
    most = desk.spec.limits.characters
    for name, text in (("text", said.text), ("request", said.request), ("answer", said.answer)):
        if len(text) > most:
            raise Refused(413, "too-long", f"{name} has {len(text)} characters; {most} are taken")
    for name, text in (("title", said.title), ("contact", said.contact), ("context", said.context or "")):
        if len(text) > _SHORT:
            raise Refused(413, "too-long", f"{name} has {len(text)} characters; {_SHORT} are taken")
    if not said.text.strip() and not (said.request.strip() or said.answer.strip()):
        raise Refused(422, "empty", "say what happened")
    if said.channel not in CHANNELS:
        raise Refused(422, "channel", f"channel must be one of {', '.join(CHANNELS)}")
    if said.context is not None and said.context not in desk.case.spec.contexts:
        raise Refused(422, "context", f"context must be one of {', '.join(desk.case.spec.contexts)}")
    if len(said.accused) > _MOST_NAMES or any(not 0 < len(name.strip()) <= _SHORT for name in said.accused):
        raise Refused(422, "accused", f"name at most {_MOST_NAMES} people, each on a line")
    ids = [*said.event_ids, *([said.trial_id] if said.trial_id is not None else [])]
    if len(ids) > _MOST_NAMES or not all(EVENT_NAME.fullmatch(one) for one in ids):
        raise Refused(422, "ids", f"at most {_MOST_NAMES} ids, of letters, digits and . _ : -")


def content_of(desk: Desk, report: Report) -> Mapping[str, Any]:
    """The sealed words of a report. Only for what does not show them; people read through `read_report`."""
    found: dict[str, Any] = json.loads(desk.registry.read(report.content))
    return found


def _content(said: Submission) -> bytes:
    kept = {
        "title": said.title,
        "text": said.text,
        "request": said.request,
        "answer": said.answer,
        "contact": "" if said.confidentiality == "anonymous" else said.contact,
        "accused": list(said.accused),
        "files": [file.name[:200] for file in said.files],
    }
    return json.dumps(kept).encode()


def _keep(desk: Desk, writer: Writer, file: File, kind: str) -> Attachment:
    fingerprint = desk.registry.keyed_hash("file", digest_bytes(file.data))
    return Attachment(content=writer.seal(file.data), type=kind, size=len(file.data), fingerprint=fingerprint)


def _group(writer: Writer, kind: str, minima: tuple[str, ...]) -> tuple[str | None, int]:
    """The earliest report of this channel that says nearly the same, and how many are in its group."""
    shares = writer.find(kind, minima)
    near = [(count, record) for record, count in shares.items() if count >= NEAR * SLOTS]
    if not near:
        return None, 0
    first = max(near)[1]
    writer.name(first, "alike", [secrets.token_hex(8)])
    return first, writer.count(first, "alike")


def _signs_of_spam(said: Submission, alike: int) -> tuple[str, ...]:
    signs = []
    if said.trap.strip():
        signs.append("a hidden field is filled in")
    if len(_LINK.findall(said.text)) >= _MANY_LINKS:
        signs.append(f"{_MANY_LINKS} links or more")
    if alike >= _MANY_ALIKE:
        signs.append(f"{_MANY_ALIKE} reports or more say nearly the same")
    return tuple(signs)
