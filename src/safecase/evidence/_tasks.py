"""Tries at the tasks of a suite, as planned and as evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from safecase.evidence._digest import canonical_json, digest_bytes, digest_value
from safecase.evidence._values import Message, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAttempt:
    """One task of a suite, tried once by one arm under one condition.

    Attributes:
        attempt_id: digest of suite digest, task, condition, arm digest and number (24 hex digits).
        suite: id as the framework's gates name it ("ctf-simple").
        suite_digest: SHA-256 over the suite's tasks, grader and scaffold; other digests are other suites.
        task, category: ids; the task is the cluster that estimates are grouped by.
        condition: how it was asked, "" for the plain way ("told-to-underperform", "with-side-task", "watched").
        side: which set of a comparison the task is in ("target", "control"), "" where there is none.
        number: 0, 1, ... of the attempts at this task under this condition.
        status: only `answered` counts in a rate; a try that ended in a tool's or the sandbox's fault is `error`.
        score: in [0, 1] (1: solved), None unless `answered`.
        measures: further numbers that a suite's measures read, by name, each in [0, 1].
        human_minutes: time a skilled person takes; `human_time` says whether it was measured.
        flags: signs of a spurious failure, for a person to review ("tool-error", "truncated", "refusal", "empty").
        transcript_sha256: of the transcript, which is kept beside, sealed where hazardous; None where none was made.
    """

    attempt_id: str
    suite: str
    suite_digest: str
    task: str
    category: str
    arm: str
    model: str
    number: int
    status: Status
    score: float | None
    condition: str = ""
    side: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    human_minutes: float | None = None
    human_time: str = ""
    flags: tuple[str, ...] = ()
    tokens_out: int | None = None
    latency_s: float | None = None
    error: str | None = None
    transcript_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAttempt:
    """A try at a task that a plan asks for; the same fields as in `TaskAttempt`.

    One that was planned and has no answered attempt on record is *absent*, and bounded at its worst.
    """

    attempt_id: str
    suite: str
    suite_digest: str
    task: str
    category: str
    arm: str
    model: str
    number: int
    condition: str = ""
    side: str = ""
    human_minutes: float | None = None
    human_time: str = ""

    def came_to(
        self,
        status: Status,
        *,
        score: float | None = None,
        measures: Mapping[str, float] | None = None,
        flags: tuple[str, ...] = (),
        tokens_out: int | None = None,
        latency_s: float | None = None,
        error: str | None = None,
    ) -> TaskAttempt:
        """The attempt as evidence.

        Raises:
            ValueError: an answered attempt without a score, another with one, or a number outside [0, 1].
        """
        if (score is not None) != (status == "answered"):
            raise ValueError(
                f"attempt {self.attempt_id}: status {status!r} with score {score!r}; only an answer scores"
            )
        for name, value in {"score": score, **(measures or {})}.items():
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"attempt {self.attempt_id}: {name} must lie in [0, 1], got {value!r}")
        return TaskAttempt(
            **asdict(self),
            status=status,
            score=score,
            measures=dict(measures or {}),
            flags=flags,
            tokens_out=tokens_out,
            latency_s=latency_s,
            error=error,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was said in an attempt, kept beside it.

    Attributes:
        sha256: of the canonical JSON of the turns (`transcript_digest`).
        turns: as said; empty where they are sealed, or may not be kept at all.
        sealed: the canonical JSON of the turns under the hazard key (chem-bio, cyber), else None.
    """

    attempt_id: str
    sha256: str
    turns: tuple[Message, ...] = ()
    sealed: bytes | None = None


def transcript_text(turns: Sequence[Message]) -> str:
    """The canonical JSON of turns: what is digested and sealed.

    >>> transcript_text([Message(role="user", content="hi")])
    '[{"content":"hi","role":"user"}]'
    """
    return canonical_json([asdict(turn) for turn in turns]).decode()


def transcript_digest(turns: Sequence[Message]) -> str:
    """SHA-256 of `transcript_text`."""
    return digest_bytes(transcript_text(turns).encode())


def task_attempt_id(*, suite_digest: str, task: str, condition: str, arm_digest: str, number: int) -> str:
    """The id of an attempt: the same suite, task, condition, arm and number are the same attempt.

    >>> task_attempt_id(suite_digest="s", task="t", condition="", arm_digest="a", number=0)
    'a485dd64bf8d6a073ba15795'
    """
    return digest_value([suite_digest, task, condition, arm_digest, number])[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Elicitation:
    """What was done to get the most out of a model on one suite and arm, and what shows whether it was enough.

    Attributes:
        variant: "helpful-only", "least-mitigated" or "as-deployed", as the case states it.
        scaffold: the agent around the model, in a sentence.
        attempts: planned at every task under every condition.
        tasks, tasks_in_suite: planned, and all there are.
        tokens: output tokens that an attempt may use; None where a log does not say.
        curve: (output tokens, share of attempts solved within them), rising; empty where tokens were not counted.
        second_half_gain: what the second half of the tokens in use added to the share solved; None without a curve.
        cut_off: share of failures that ended by running out; None without failures.
        failures, flagged: attempts not solved, and those of them with a sign that they are spurious.
        reviewed, spurious: flagged ones that a person looked at, and found spurious. Those count as absent.
        spurious_bound: a 95 % upper bound of the share of all failures that are spurious and were not looked at.
        baselines: {"human": {who, value, source}, "reference": ...}; shown, read by no gate.
        continued_training: what the model was trained on further, None where it was not.
        turns: answers that an attempt may take; None where a log does not say.
    """

    suite: str
    arm: str
    variant: str
    variant_note: str | None
    scaffold: str
    tuned_scaffold: bool
    attempts: int
    tasks: int
    tasks_in_suite: int
    tokens: int | None
    curve: tuple[tuple[int, float], ...]
    second_half_gain: float | None
    cut_off: float | None
    failures: int
    flagged: int
    reviewed: int
    spurious: int
    spurious_bound: float
    baselines: Mapping[str, Mapping[str, object]]
    continued_training: str | None
    turns: int | None = None
