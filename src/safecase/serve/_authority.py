"""The authority of a gateway: its case's permit, checked at start and again and again, in every worker by itself.

    every 0.25 s   are the files as they were? (one stat each)    -> if not, the whole check
    every 60 s     the whole check, whatever the stats say; at once again while the case hands over to another decision
    every day      every file read again, whatever the stats say
    every 10 min   the fingerprint replayed, where the permit rests on one

All of it runs in threads beside the event loop; a call reads two fields. What was not looked at for 5 s is not served:
a disk that hangs stops the gateway as a disk that changed does.
"""

import asyncio
import datetime as dt
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from safecase.assess import HANDOVER_FILE, Clock, utc_now
from safecase.evidence import Identity, format_utc
from safecase.models import Model, ModelError, fingerprint, open_model
from safecase.serve._admission import refuses
from safecase.serve._clock import never_back
from safecase.serve._errors import NotPermitted
from safecase.serve._permit import Permit, Place, check_permit, expired, held_over, target
from safecase.serve._stamps import FileDigests, Stamp, are_settled, stamps
from safecase.serve._values import Account, Refusal, Standing

LOG = logging.getLogger("safecase.serve")

_AGAIN_S = 0.25
"""A failing check is made once more after so long: a file and the ledger's line about it are two writes."""
_PACKAGE = Path(__file__).parents[1]
_ROOMS = ("safeguard", "detect", "declare")
"""What stacks and frameworks are made of besides the case's own files."""
_UNSETTLED_S = 2.5
"""A whole check follows so soon after one that met files which had only just changed."""
_REPLAYS = 3
"""Times that the probes are replayed before a fingerprint counts as another: batches at an endpoint make it waver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often what is looked at, in seconds; `retry_s`: a fingerprint that did not come out."""

    look_s: float = 0.25
    check_s: float = 60.0
    stale_s: float = 5.0
    reread_s: float = 86_400.0
    replay_s: float = 600.0
    retry_s: float = 10.0


class CaseAuthority:
    """Serves under the permit of a case, or refuses and says why.

    Args:
        place: what is served, where.
        rhythm: how often what is looked at.
        now: the clock.
        open_upstream: opens the server that answers, to replay a fingerprint, bare.

    Attributes:
        permit: the one in force; None while there is none.
        fault: why nothing is served, for the operator; None while something is.
    """

    def __init__(
        self,
        place: Place,
        *,
        rhythm: Rhythm | None = None,
        now: Clock = utc_now,
        open_upstream: Callable[[str], Model] = open_model,
    ) -> None:
        self._place, self._rhythm, self._open = place, rhythm or Rhythm(), open_upstream
        self._now_s = never_back(lambda: now().timestamp())
        self._digests = FileDigests()
        self._seen: dict[Path, Stamp] = {}
        self._check_at = self._fresh_until = float("-inf")
        self._checked: Permit | NotPermitted = _unchecked("starting")
        self._held: Permit | None = None
        self._drift: NotPermitted | None = _unreplayed("it was not replayed yet")
        self._replayed_at = time.monotonic()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.permit: Permit | None = None
        self.fault: NotPermitted | None = self._checked
        self._standing = _standing(None, self.fault)

    def start(self) -> None:
        """Check once, then keep checking until `stop`. Never raises: what is wrong is what `standing` says."""
        self.check()
        self.replay()
        self._say()
        for job in (self._keep_looking, self._keep_rereading, self._keep_replaying):
            thread = threading.Thread(target=job, name=f"safecase{job.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads; from then on nothing is served."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=2.0)
        self._fresh_until = float("-inf")

    def standing(self) -> Standing:
        """Whether anything is served now."""
        standing, permit = self._standing, self.permit
        if permit is None or standing.refusal is not None:
            return standing
        if self._now_s() >= permit.expires.timestamp():
            return _standing(permit, expired(standing.expires))
        if time.monotonic() > self._fresh_until:
            return _standing(permit, _unchecked(f"nothing was looked at for {self._rhythm.stale_s:g} s"))
        return standing

    def admits(self, account: Account) -> Refusal | None:
        """Whether this account is served."""
        permit = self.permit
        return self._standing.refusal if permit is None else refuses(permit, account)

    def look(self) -> None:
        """Look at the files' stamps, and check whole where they changed or it is time to."""
        try:
            is_same = stamps(self._seen) == self._seen
        except OSError:
            is_same = False  # the whole check names the file
        if is_same and time.monotonic() < self._check_at:
            self._fresh_until = time.monotonic() + self._rhythm.stale_s
        else:
            self.check()

    def check(self) -> None:
        """Make the whole check now."""
        before, found = self._look_whole()
        if isinstance(found, NotPermitted) and self.fault is None:
            time.sleep(_AGAIN_S)
            before, found = self._look_whole()
        self._checked, self._held = found, self._held_over(found)
        self._settle()
        if isinstance(found, Permit):
            self._seen = _stamps_or_none(_watched(self._place, found)) | before
        is_settled = are_settled(self._seen.values(), now_s=time.time())
        again_s = self._rhythm.check_s if is_settled else min(_UNSETTLED_S, self._rhythm.check_s)
        again_s = again_s if self._held is None else 0.0  # what could end it is looked at again and again
        self._check_at = time.monotonic() + again_s
        self._fresh_until = time.monotonic() + self._rhythm.stale_s

    def replay(self) -> None:
        """Put the fingerprint's probes to the upstream, bare, where the permit rests on one."""
        permit = self._checked if isinstance(self._checked, Permit) else None
        if permit is None or permit.identity.kind != "fingerprint":
            return
        try:
            with_upstream = target(permit.model, self._place.upstream)
            self._drift = asyncio.run(_drift(self._open(with_upstream), permit.identity))
            self._replayed_at = time.monotonic()
        except ModelError as fault:
            if self._drift is not None or time.monotonic() - self._replayed_at > 3 * self._rhythm.replay_s:
                self._drift = _unreplayed(f"{type(fault).__name__}: {fault}")
        self._settle()

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._now_s(), dt.UTC)

    def _look_whole(self) -> tuple[dict[Path, Stamp], "Permit | NotPermitted"]:
        """The stamps from before the check, so that what changes meanwhile is seen, and what came of it."""
        before = _stamps_or_none(self._seen or _watched(self._place, None))
        head = self.permit.head if self.permit else None
        try:
            return before, check_permit(self._place, at=self._now(), digests=self._digests, head=head)
        except NotPermitted as fault:
            return before, fault
        except Exception as fault:
            LOG.exception("the permit's check failed")
            return before, NotPermitted("check-failed", "the permit could not be checked", type(fault).__name__)

    def _held_over(self, found: "Permit | NotPermitted") -> Permit | None:
        """The permit in force until now, where the case hands over to another decision; None where it does not."""
        if isinstance(found, Permit) or self.permit is None or self.fault is not None:
            return None
        try:
            held = held_over(self._place, self.permit, at=self._now())
        except Exception:  # noqa: BLE001 - whatever it is, nothing is held over; the check's own fault is told
            return None
        if self._held is None:
            LOG.warning("the case takes over another decision: the permit that stood serves until %s", held.expires)
        return held

    def _settle(self) -> None:
        """Bring what calls read up to date."""
        found, had = self._held or self._checked, self.fault
        if isinstance(found, Permit):
            self.permit = found
            self.fault = self._drift if found.identity.kind == "fingerprint" else None
        else:
            self.fault = found
        self._standing = _standing(self.permit, self.fault)
        if self._threads and (had and had.reason) != (self.fault and self.fault.reason):
            self._say()

    def _say(self) -> None:
        if self.fault is None:
            LOG.warning("serving %s under permit %s", self._place.context, self._standing.permit)
        else:
            LOG.error("not serving: %s", self.fault)

    def _keep_looking(self) -> None:
        while not self._stopping.wait(self._rhythm.look_s):
            self.look()

    def _keep_rereading(self) -> None:
        while not self._stopping.wait(self._rhythm.reread_s * random.uniform(0.9, 1.1)):  # noqa: S311 - no secret
            try:
                self._digests.reread(path for path in self._seen if path.is_file())
            except OSError as fault:
                LOG.error("cannot read again: %s", fault)  # noqa: TRY400 - the next whole check meets it too
            self._check_at = float("-inf")

    def _keep_replaying(self) -> None:
        while not self._stopping.wait(self._until_replay_s()):
            self.replay()

    def _until_replay_s(self) -> float:
        every_s = self._rhythm.replay_s if self.fault is None else self._rhythm.retry_s
        return every_s * random.uniform(0.9, 1.1)  # noqa: S311 - so that workers do not ask all at once


async def _drift(model: Model, permitted: Identity) -> NotPermitted | None:
    """Why the upstream is not the model that was assessed, None where its fingerprint comes out."""
    async with model:
        for _ in range(_REPLAYS):
            found = await fingerprint(model)
            if found.digest == permitted.digest:
                return None
    said = "the two rounds of probes differ" if found.digest is None else f"its fingerprint is {found.digest}"
    line = f"{model.name}: {said}, assessed was {permitted.digest}; ask what changed there, or assess it anew"
    return NotPermitted("fingerprint-drift", "the model is not the one that was assessed", line)


def _unchecked(detail: str) -> NotPermitted:
    return NotPermitted("unchecked", "the permit could not be checked", detail)


def _unreplayed(detail: str) -> NotPermitted:
    return NotPermitted("fingerprint-unchecked", "it could not be checked which model answers", detail)


def _standing(permit: Permit | None, fault: NotPermitted | None) -> Standing:
    refusal = None
    if fault is not None:
        refusal = Refusal(status=503, reason=fault.reason, message=f"Nothing is served now: {fault.message}.")
    if permit is None:
        return Standing(refusal=refusal)
    return Standing(
        refusal=refusal,
        permit=permit.sha256,
        context=permit.context,
        model=permit.model,
        stack_digest=permit.stack_digest,
        expires=format_utc(permit.expires),
    )


def _watched(place: Place, permit: Permit | None) -> list[Path]:
    """Every file whose change may matter, and the folders in which one may appear."""
    folders = [place.case / name for name in ("permits", "permits/restrictions", "sign-offs", "keys", "exceptions")]
    found = [place.case / "safecase.yaml", place.case / "ledger.jsonl", place.case / HANDOVER_FILE, *folders]
    found += [path for folder in folders for path in folder.glob("*")]
    found += [path for room in _ROOMS for path in (_PACKAGE / room).rglob("*") if "__pycache__" not in path.parts]
    found += permit.files if permit else ()
    return [*dict.fromkeys(found), *([place.weights] if place.weights else [])]


def _stamps_or_none(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """Stamps; of what cannot be looked at, none, so that it differs as soon as it can."""
    try:
        return stamps(paths)
    except OSError:
        return dict.fromkeys(paths)
