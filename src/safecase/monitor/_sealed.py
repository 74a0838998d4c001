"""Content that the gateway sealed, opened for detectors or for a person: an entry in the ledger first, then the words.

    event.sealed      to the case's post box (the hazard key opens it), and within it
    "subject"         under the key of the account, where the gateway keeps content so (`ContentVault`)

Detectors: nobody reads it; it goes into scores and verdicts, and no watcher writes it down. That it was opened, by
whom, what for and how much, is in the ledger nevertheless, since whoever runs the monitor could have read it. People:
the entry names every call that they looked at, and personal data is taken out once more before they see it.
"""

import base64
import binascii
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from safecase.assess import Case, utc_now
from safecase.detect import find_personal_data
from safecase.evidence import CONTENT_BOX, CallEvent, PostKey, SealBroken, digest_value
from safecase.monitor._content import ContentVault, content_vault
from safecase.monitor._errors import ContentBroken, ContentGone
from safecase.monitor._values import Seen

_LOG = logging.getLogger("safecase.monitor")
LOOKED_AT = "content-read"
"""Action in the ledger: a person looked at content of calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a person sees of one call. Texts are None where they were not kept; `why_not` says so of what is gone."""

    event_id: str
    prompt: str | None = None
    reply: str | None = None
    why_not: str = ""


class _Opening:
    """Opens what a gateway of this case sealed. Leaves no trace by itself."""

    def __init__(self, case: Case, contents: ContentVault | None) -> None:
        self._vault = case.vault()
        self._key = PostKey(self._vault, CONTENT_BOX)
        self._contents = contents or content_vault(case)

    def open(self, event: CallEvent) -> dict[str, Any]:
        """Prompt and reply of an event that is sealed.

        Raises:
            ContentGone, ContentBroken: it does not open.
        """
        try:
            blob = base64.b64decode(event.sealed or "", validate=True)
            content = json.loads(self._vault.unseal(self._key.take_over(blob, event.event_id), event.event_id))
            if (under_subject := content.get("subject")) is not None:
                inner = base64.b64decode(under_subject, validate=True)
                content = json.loads(self._contents.open(inner, account=event.account, event_id=event.event_id))
            return {"prompt": content["prompt"], "reply": content["reply"]}
        except (SealBroken, binascii.Error, ValueError, KeyError, AttributeError) as error:
            line = f"the content of event {event.event_id!r} does not open ({type(error).__name__})"
            raise ContentBroken(line) from None


class ContentOpener:
    """Opens the sealed content of a batch of calls.

    Args:
        actor: who lets the monitor read; the ledger names them.
        purpose: what for, in their words.
        contents: the keys of data subjects; by default the case's.

    Raises:
        KeyMissing, KeyUnusable: the case's hazard key is not here.
        ValueError: nobody, or no purpose.
    """

    def __init__(
        self,
        case: Case,
        *,
        actor: str,
        purpose: str,
        contents: ContentVault | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if not actor or not purpose:
            raise ValueError("opening sealed content needs somebody who answers for it, and what for")
        self._case, self._actor, self._purpose, self._now = case, actor, purpose, now
        self._opening = _Opening(case, contents)

    def __call__(self, batch: Sequence[Seen]) -> list[Seen]:
        """The batch with its sealed content open; what does not open stays sealed."""
        sealed = sorted(seen.event.event_id for seen in batch if seen.event.sealed is not None)
        if sealed:
            subject = {"purpose": self._purpose, "count": len(sealed), "events_digest": digest_value(sealed)}
            self._case.ledger.append("sealed-read", actor=self._actor, subject=subject, at=self._now())
        return [self._opened(seen) for seen in batch]

    def _opened(self, seen: Seen) -> Seen:
        if seen.event.sealed is None:
            return seen
        try:
            return replace(seen, **self._opening.open(seen.event))
        except ContentGone:
            return seen  # as it should be
        except ContentBroken as error:
            _LOG.warning("%s", error)
            return seen


def look(
    case: Case,
    events: Iterable[CallEvent],
    *,
    actor: str,
    purpose: str,
    contents: ContentVault | None = None,
    now: Callable[[], datetime] = utc_now,
) -> list[Look]:
    """Show a person the content of calls, after an entry in the ledger: who, when, why, which. Without personal data.

    Raises:
        KeyMissing, KeyUnusable: the case's hazard key is not here.
        ValueError: nobody, or no purpose.
    """
    chosen = list(events)
    if not actor.strip() or not purpose.strip():
        raise ValueError("content is looked at by somebody, for a purpose; say who and what for")
    opening = _Opening(case, contents) if any(event.sealed for event in chosen) else None
    subject = {"purpose": purpose, "events": sorted(event.event_id for event in chosen)}
    case.ledger.append(LOOKED_AT, actor=actor, subject=subject, at=now())
    return [_look(event, opening) for event in chosen]


def _look(event: CallEvent, opening: _Opening | None) -> Look:
    content: dict[str, Any] = {"prompt": event.prompt, "reply": event.reply}
    if event.sealed is not None and opening is not None:
        try:
            content = opening.open(event)
        except (ContentGone, ContentBroken) as error:
            return Look(event_id=event.event_id, why_not=str(error))
    if content["prompt"] is None and content["reply"] is None:
        return Look(event_id=event.event_id, why_not="its content was not kept")
    return Look(event_id=event.event_id, prompt=_redacted(content["prompt"]), reply=_redacted(content["reply"]))


def _redacted(text: str | None) -> str | None:
    """The text with personal data replaced by its kind. The gateway did so too; what it finds may have grown since."""
    if text is None:
        return None
    parts, at = [], 0
    for span in find_personal_data(text):
        parts += [text[at : span.start], f"[{span.kind}]"]
        at = span.end
    return "".join([*parts, text[at:]])
