"""What of a call's content may be kept, decided before anything reaches a disk or a wire.

    flagged (a safeguard did not allow it)     kept, without personal data
    drawn by chance for an audit               kept, sealed
    everything else                            never kept
    apparent child-abuse material              never kept, whatever was said above

What a flag speaks of is not known here: one head covers many kinds of harm, so a flagged text may be hazardous
(chem-bio, cyber). Such content is *sealed* to a post box, which opens nothing. Without a box, the reply of a flagged
call is not kept at all and the prompt is, as `keepable_turns` does with the turns of a trial. Principles named as
`plain` (hate, say) are not hazardous, and what rests on them alone is kept readable. An audit sample is what no
safeguard found, so nothing is known of it, and it is always sealed. What a layer's explanation says of content goes
where the content goes.

With `subjects`, whatever is kept lies under a key of its account as well, within the seal, so that it can be forgotten
by destroying one key. What is sealed twice opens only while both keys are there, and the gateway holds one of them.
"""

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from safecase.detect import apparent_child_abuse, find_personal_data
from safecase.evidence import CallEvent, PostBox, quick_taker
from safecase.serve._errors import RetentionRefused

_CUT = " [cut]"
_LONGEST_PERSONAL = 400
_MOST_CHARACTERS = 50_000


class SubjectSealer(Protocol):
    """Seals under the key of an account."""

    def seal(self, text: str, *, account: str, event_id: str, at: str) -> bytes | None:
        """The sealed text; None where it may not be kept."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """A retention policy.

    Attributes:
        flagged: whether content of flagged calls is kept.
        audit_p: chance with which another call's content is drawn for an audit, 0 to 1.
        box: seals what may be hazardous; a case's `PostKey(vault, CONTENT_BOX).box`.
        plain: ids of principles whose flagged content is not hazardous.
        subjects: seals content under the key of its account; goes with a box.
        most_characters: of prompt and of reply, 1 to 50,000; the rest is cut off.
        draw: uniform in [0, 1).

    Raises:
        RetentionRefused: a number out of range, or an audit sample without a box to seal it.
    """

    flagged: bool = True
    audit_p: float = 0.0
    box: PostBox | None = None
    plain: frozenset[str] = frozenset()
    subjects: SubjectSealer | None = None
    most_characters: int = 20_000
    draw: Callable[[], float] = field(default=random.SystemRandom().random, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.audit_p <= 1.0:
            raise RetentionRefused(f"audit_p is {self.audit_p!r}; a chance lies in [0, 1]")
        if not 1 <= self.most_characters <= _MOST_CHARACTERS:
            line = f"most_characters is {self.most_characters!r}; give 1 to {_MOST_CHARACTERS}"
            raise RetentionRefused(f"{line}, so that an event fits into a message")
        if self.subjects is not None and self.box is None:
            raise RetentionRefused("content under keys of accounts is sealed to a box too; give one")
        if self.audit_p > 0.0 and self.box is None:
            line = "an audit sample holds what no safeguard has judged, so it is kept sealed only"
            raise RetentionRefused(f"{line}; give a box, or set audit_p to 0")

    def select(self, event: CallEvent) -> CallEvent:
        """The event as it may wait in memory: content only where it may be kept. Takes no time where there is none."""
        if event.prompt is None and event.reply is None:
            return _muted(event)
        if self.flagged and is_flagged(event):
            return replace(event, kept="flagged", sample_p=None, sealed=None)
        if self.audit_p > 0.0 and event.outcome != "refused" and self.draw() < self.audit_p:
            return replace(event, kept="audit-sample", sample_p=self.audit_p, sealed=None)
        return _without(event)

    def finish(self, event: CallEvent) -> CallEvent:
        """The event as it may be written: screened, redacted, cut and, where it may be hazardous, sealed."""
        if event.prompt is None and event.reply is None:
            return _muted(event)
        prompt, reply = self._text(event.prompt), self._text(event.reply)
        if any(text and apparent_child_abuse(text) for text in (event.prompt, event.reply)):
            return _without(event)
        if event.kept == "flagged" and self.subjects is None and self._is_plain(event):
            told = tuple(replace(one, reason=self._text(one.reason)) for one in event.explanations)
            return replace(event, prompt=prompt, reply=reply, explanations=told)
        if self.box is None:
            return _muted(replace(event, prompt=prompt, reply=None)) if prompt is not None else _without(event)
        content: dict[str, object] = {"prompt": prompt, "reply": reply}
        if reasons := {one.layer: self._text(one.reason) for one in event.explanations if one.reason}:
            content["reasons"] = reasons
        text = self._under_subject(json.dumps(content, ensure_ascii=False), event)
        if text is None:
            return _without(event)
        sealed = self.box.seal(text, event.event_id)
        return _muted(replace(event, prompt=None, reply=None, sealed=base64.b64encode(sealed).decode()))

    def _under_subject(self, text: str, event: CallEvent) -> str | None:
        if self.subjects is None:
            return text
        sealed = self.subjects.seal(text, account=event.account, event_id=event.event_id, at=event.at)
        return None if sealed is None else json.dumps({"subject": base64.b64encode(sealed).decode()})

    def _is_plain(self, event: CallEvent) -> bool:
        principles = {ruling.principle for ruling in event.rulings if ruling.action != "allow"}
        return bool(principles) and principles <= self.plain

    def _text(self, text: str | None) -> str | None:
        if text is None:
            return None
        most = self.most_characters
        if len(text) <= most:
            return redacted(text)
        return redacted(text[: most + _LONGEST_PERSONAL])[:most] + _CUT  # no half of an address is left at the cut


def is_flagged(event: CallEvent) -> bool:
    """Whether a safeguard did anything but allow, enforced or only observed."""
    if event.outcome == "withheld":
        return True
    for ruling in event.rulings:  # of every call: a generator would take longer than all of them  # noqa: SIM110
        if ruling.action != "allow":
            return True
    return False


def redacted(text: str) -> str:
    """A text with personal data replaced by its kind.

    >>> redacted("Write to ada@example.org.")
    'Write to [email].'
    """
    parts, at = [], 0
    for span in find_personal_data(text):
        parts += [text[at : span.start], f"[{span.kind}]"]
        at = span.end
    return "".join([*parts, text[at:]])


def _without(event: CallEvent) -> CallEvent:
    """Nearly every event comes here, on the way of its call; `replace` takes many times as long."""
    return _muted(_bare(event))


_CONTENT = frozenset({"prompt", "reply", "sealed", "kept", "sample_p"})
_bare = quick_taker(CallEvent, *(name for name in CallEvent.__slots__ if name not in _CONTENT))


def _muted(event: CallEvent) -> CallEvent:
    """The event without the reasons of its explanations: words about content are kept where the content is."""
    if not event.explanations:
        return event
    return replace(event, explanations=tuple(replace(one, reason=None) for one in event.explanations))
