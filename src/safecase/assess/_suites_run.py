"""Run what is missing of a case's suites, and keep it."""

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._kept import ACTOR, keep_plan
from safecase.assess._run import plan_targets
from safecase.assess._suites_plan import planned_attempts, suite_of
from safecase.assess._targets import closing, opened_targets
from safecase.detect import apparent_child_abuse
from safecase.evidence import (
    HAZARDOUS_DOMAINS,
    PlannedAttempt,
    TaskAttempt,
    Transcript,
    Vault,
    transcript_digest,
    transcript_text,
)
from safecase.measure import EmbeddedJudge
from safecase.models import Model
from safecase.run import SuiteArm, SuiteLine
from safecase.suites import Guarded, Limits, Subject, Tried, with_flags

_BATCH = 32
_BATCH_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteProgress:
    """How far a suite is on one arm. `solved` counts scores of 1."""

    suite: str
    arm: str
    done: int
    total: int
    solved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSummary:
    """What a run of suites did.

    Attributes:
        attempts: made now. skipped: on record already. failed: made now, without an answer.
        missing: suite -> what it would take to run it here.
        stopped: why it ended before the plan did, None where it did not.
    """

    attempts: int
    skipped: int
    failed: int
    tokens: int
    seconds: float
    missing: dict[str, str]
    stopped: str | None


async def run_suites(
    case: Case,
    *,
    model: Model | None = None,
    model_name: str | None = None,
    only: Sequence[str] = (),
    limit: int | None = None,
    seconds: float | None = None,
    on_progress: Callable[[SuiteProgress], None] = lambda _: None,
    now: Clock = utc_now,
) -> SuiteSummary:
    """Make every planned attempt that has no answer on record yet; stopped at any time, the same call goes on.

    Args:
        model: an open target; the caller closes it.
        only: ids of the suites to run; all that the case asks for by default.
        limit: at most this many attempts now.
        seconds: start no further batch after this long.

    Raises:
        UnknownSuite: the case asks for what its framework does not have.
        PlatformFailed: no attempt can succeed; what was done is kept.
    """
    started = time.monotonic()
    tally = _Tally(limit=limit, deadline=None if seconds is None else started + seconds)
    async with opened_targets(case, model, model_name) as targets:
        plan = await plan_targets(case, targets)
        keep_plan(case, plan, now)
        case.attempts.open(at=now())
        async with closing(case):
            for line in plan.suites:
                if only and line.suite not in only:
                    continue
                if line.missing is not None:
                    tally.missing[line.suite] = line.missing
                    continue
                for arm in line.arms:
                    await _run_arm(case, line, arm, targets[arm.name], tally, on_progress, now)
    summary = tally.summary(time.monotonic() - started)
    if summary.attempts:
        done = {"plan": plan.digest, "attempts": summary.attempts, "seconds": round(summary.seconds, 1)}
        case.ledger.append("ran-suites", actor=ACTOR, subject={**done, "tokens": summary.tokens}, at=now())
    return summary


class _Tally:
    """Counts over a whole run, and when it is over."""

    def __init__(self, *, limit: int | None, deadline: float | None) -> None:
        self.limit, self.deadline = limit, deadline
        self.attempts = self.skipped = self.failed = self.tokens = 0
        self.missing: dict[str, str] = {}
        self.stopped: str | None = None

    def room(self, wanted: Sequence[PlannedAttempt]) -> Sequence[PlannedAttempt]:
        """What of it may still be tried."""
        left = len(wanted) if self.limit is None else max(0, self.limit - self.attempts)
        if left < len(wanted):
            self.stopped = f"limit of {self.limit} attempts"
        return wanted[:left]

    def is_over(self) -> bool:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.stopped = "time is up"
        return self.stopped == "time is up"

    def saw(self, attempt: TaskAttempt) -> None:
        self.attempts += 1
        self.failed += attempt.status != "answered"
        self.tokens += attempt.tokens_out or 0

    def summary(self, seconds: float) -> SuiteSummary:
        return SuiteSummary(
            attempts=self.attempts,
            skipped=self.skipped,
            failed=self.failed,
            tokens=self.tokens,
            seconds=seconds,
            missing=self.missing,
            stopped=self.stopped,
        )


async def _run_arm(
    case: Case,
    line: SuiteLine,
    arm: SuiteArm,
    target: Model,
    tally: _Tally,
    on_progress: Callable[[SuiteProgress], None],
    now: Clock,
) -> None:
    planned = list(planned_attempts(line, arm))
    answered = case.attempts.ids(answered=True)
    missing = [one for one in planned if one.attempt_id not in answered]
    tally.skipped += len(planned) - len(missing)
    wanted = tally.room(missing)
    if not wanted or tally.is_over():
        return
    suite = suite_of(case, next(asked for asked in case.spec.suites if asked.suite == line.suite))
    keeper = Keeper(case, suite.domain, now)
    done, solved = len(planned) - len(missing), 0
    subject = Subject(arm=arm.name, model=Guarded(target, case.arms[arm.name]), digest=arm.digest)
    async with aclosing(suite.run(subject, wanted, limits=Limits(**line.limits))) as tries:  # type: ignore[type-var]
        try:
            async for tried in tries:
                attempt = keeper.keep(tried)
                tally.saw(attempt)
                done, solved = done + 1, solved + (attempt.score == 1.0)
                on_progress(SuiteProgress(suite=line.suite, arm=arm.name, done=done, total=len(planned), solved=solved))
                if tally.is_over():
                    break
        finally:
            keeper.write()


class Keeper:
    """Attempts into evidence in batches: transcripts sealed where the suite's domain is hazardous."""

    def __init__(self, case: Case, domain: str, now: Clock) -> None:
        self._case, self._domain, self._now = case, domain, now
        self._vault: Vault | None = case.vault(create=True, now=now) if domain in HAZARDOUS_DOMAINS else None
        self._rows: list[TaskAttempt] = []
        self._transcripts: list[Transcript] = []
        self._judge = EmbeddedJudge()
        self._since = time.monotonic()

    def keep(self, tried: Tried) -> TaskAttempt:
        """Take one; it is on disk at the latest when the batch is full or ten seconds old."""
        tried = with_flags(tried, self._judge)
        attempt = tried.attempt
        if tried.transcript:
            transcript = kept_transcript(tried, self._vault)
            attempt = replace(attempt, transcript_sha256=transcript.sha256)
            self._transcripts.append(transcript)
        self._rows.append(attempt)
        if len(self._rows) >= _BATCH or time.monotonic() - self._since > _BATCH_S:
            self.write()
        return attempt

    def write(self) -> None:
        """Put what waits on disk."""
        if self._rows:
            self._case.attempts.append(self._rows, self._transcripts, domain=self._domain, at=self._now())
        self._rows, self._transcripts, self._since = [], [], time.monotonic()


def kept_transcript(tried: Tried, vault: Vault | None) -> Transcript:
    """A transcript as it may be kept: sealed by a vault, and of apparent child-abuse material its digest alone."""
    turns = tuple(replace(turn, content=turn.content.encode(errors="replace").decode()) for turn in tried.transcript)
    attempt_id, sha256 = tried.attempt.attempt_id, transcript_digest(turns)
    if any(apparent_child_abuse(turn.content) for turn in turns):
        return Transcript(attempt_id=attempt_id, sha256=sha256)
    if vault is None:
        return Transcript(attempt_id=attempt_id, sha256=sha256, turns=turns)
    return Transcript(attempt_id=attempt_id, sha256=sha256, sealed=vault.seal(transcript_text(turns), attempt_id))
