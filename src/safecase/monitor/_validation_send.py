"""Send seeds when they are due: through a gateway, as any client would, or into the files that a monitor reads.

    <key file>.<id>.sent.jsonl      seed, when it was sent, what came of it, the id its event has; beside the key, 0600

What came of it is one of six: answered; refused (no key, over a limit, no permit); failed; timed out; unparsed; and for
what has no line here, not sent. A line is written before a seed is sent and another after it, so that a sender that is
killed in between sends nothing twice: what was tried and has no outcome counts as failed.
"""

import asyncio
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from safecase.assess import Case, Clock, SeedPlan, utc_now
from safecase.evidence import CallEvent, Trial, encode_event, format_utc, parse_utc
from safecase.measure import SeedStatus
from safecase.monitor._errors import MonitorError
from safecase.monitor._validation import Seed

_TIMEOUT_S = 60.0
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of one seed.

    Attributes:
        at: when it was sent, by the sender's clock.
        event_ids: by any of which its event may be known.
    """

    seed: str
    at: str
    status: SeedStatus
    withheld: bool = False
    event_ids: tuple[str, ...] = ()
    why: str = ""


class Way(Protocol):
    """By which seeds reach a deployment."""

    async def send(self, seed: Seed, at: datetime) -> Sent:
        """Send one. Never raises for what a gateway does: that is an outcome."""
        ...


class SentLog:
    """The lines of one plan, read and added to."""

    def __init__(self, key_file: Path, plan: SeedPlan) -> None:
        self.path = key_file.with_name(f"{key_file.name}.{plan.id}.sent.jsonl")
        self.ends = plan.ends

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other senders of the plan away; two would send a seed twice.

        Raises:
            MonitorError: one is at work.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise MonitorError(f"{self.path}: another sender is at work; it sends what is due") from None
            yield

    def read(self) -> dict[str, Sent]:
        """Seed to what came of it; what was tried and never came to an end has failed."""
        found: dict[str, Sent] = {}
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ():
            try:
                said: dict[str, Any] = json.loads(line)
            except ValueError:
                continue  # the last line of a sender that was killed over it
            found[said["seed"]] = Sent(**{**said, "event_ids": tuple(said["event_ids"])})
        return found

    def add(self, sent: Sent) -> None:
        """Have a line on the disk before going on."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, b"\n" * _is_torn(self.path) + json.dumps(asdict(sent)).encode() + b"\n")
            os.fsync(file)
        finally:
            os.close(file)


def due(seeds: Sequence[Seed], sent: Mapping[str, Sent], *, at: datetime) -> list[Seed]:
    """Seeds whose time has come and that were not tried, the earliest first."""
    return [one for one in seeds if one.seed not in sent and parse_utc(one.at) <= at]


async def send_due(seeds: Sequence[Seed], log: SentLog, way: Way, *, now: Clock = utc_now) -> list[Sent]:
    """Send what is due, a few at a time; nothing once the plan is over.

    Raises:
        MonitorError: another sender of this plan is at work.
    """
    if now() > log.ends:
        return []
    with log.held():
        return await _send_due(seeds, log, way, now)


async def _send_due(seeds: Sequence[Seed], log: SentLog, way: Way, now: Clock) -> list[Sent]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def send(seed: Seed) -> Sent:
        async with gate:
            at = now()
            log.add(Sent(seed=seed.seed, at=format_utc(at), status="failed", why="no outcome"))
            done = await way.send(seed, at)
            log.add(done)
            return done

    return list(await asyncio.gather(*(send(one) for one in due(seeds, log.read(), at=now()))))


@dataclass(frozen=True)
class ThroughGateway:
    """As a client of an OpenAI-style API.

    Args:
        url: such as "http://127.0.0.1:8321/v1".
        model: name to ask for.
        keys: account to its API key, one for every account of the plan.

    An event is known by `X-Request-ID`, which safecase's gateway gives, or by the answer's own id.
    """

    url: str
    model: str
    keys: Mapping[str, str]
    max_tokens: int = 200

    async def send(self, seed: Seed, at: datetime) -> Sent:
        """Ask, and read what kind of answer came."""
        import aiohttp

        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": seed.prompt}],
            "max_tokens": self.max_tokens,
        }
        headers = {"Authorization": f"Bearer {self.keys[seed.account]}"}
        sent = Sent(seed=seed.seed, at=format_utc(at), status="failed")
        try:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(f"{self.url.rstrip('/')}/chat/completions", json=body, headers=headers) as response,
            ):
                known = response.headers.get("X-Request-ID", "")
                return _came(sent, response.status, await response.read(), known)
        except TimeoutError:
            return replace(sent, status="timed-out")
        except (aiohttp.ClientError, OSError) as error:
            return replace(sent, why=type(error).__name__)


def _came(sent: Sent, status: int, body: bytes, known: str) -> Sent:
    if status in {401, 403, 404, 429, 503}:
        return replace(sent, status="refused", why=f"status {status}", event_ids=tuple(filter(None, [known])))
    if status in {408, 504}:
        return replace(sent, status="timed-out", why=f"status {status}")
    if status != 200:
        return replace(sent, why=f"status {status}")
    try:
        answer = json.loads(body)
        reason = answer["choices"][0].get("finish_reason")
        own = str(answer.get("id", ""))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return replace(sent, status="unparsed", event_ids=tuple(filter(None, [known])))
    ids = tuple(filter(None, dict.fromkeys((known, own))))
    return replace(sent, status="answered", withheld=reason == "content_filter", event_ids=ids)


@dataclass(frozen=True)
class IntoFile:
    """For what safecase does not serve: an event or a log line, as though the deployment had answered.

    The answer is one that the assessment has on record: the same scenario, through the arm that the context deploys. A
    seed without one, or with a sealed one, cannot be told as a call and is not sent.

    Args:
        path: folder of events, or file of a log.
        kind: "events" writes `<path>/seeds-<process>.jsonl` in a gateway's form, "log" adds lines to `path`.
        answers: scenario to its trial.
    """

    path: Path
    kind: Literal["events", "log"]
    answers: Mapping[str, Trial]
    context: str
    stack_digest: str
    model: str

    async def send(self, seed: Seed, at: datetime) -> Sent:
        """Write one line."""
        sent = Sent(seed=seed.seed, at=format_utc(at), status="failed")
        trial = self.answers.get(seed.scenario_id)
        if trial is None or trial.response is None:
            return replace(sent, status="not-sent", why="no plain answer to this scenario is on record")
        name, withheld = secrets.token_hex(16), trial.withheld_by is not None
        line = self._event(seed, trial, name, at) if self.kind == "events" else self._log(seed, trial, name, at)
        file = self.path / f"seeds-{os.getpid()}.jsonl" if self.kind == "events" else self.path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as opened:
                opened.write(line + b"\n")
        except OSError as error:
            return replace(sent, why=type(error).__name__)
        return replace(sent, status="answered", withheld=withheld, event_ids=(name,))

    def _event(self, seed: Seed, trial: Trial, name: str, at: datetime) -> bytes:
        event = CallEvent(
            event_id=name,
            at=format_utc(at),
            account=seed.account,
            key_id="",
            route="/v1/chat/completions",
            permit="",
            context=self.context,
            stack_digest=self.stack_digest,
            model=self.model,
            outcome="withheld" if trial.withheld_by else "served",
            status=200,
            withheld_by=trial.withheld_by,
            characters_in=len(seed.prompt),
            characters_out=len(trial.response or ""),
            prompt=seed.prompt,
            reply=trial.response,
        )
        return encode_event(event, worker=f"v-{name}", seq=0)  # its own worker: no number of another is missed

    def _log(self, seed: Seed, trial: Trial, name: str, at: datetime) -> bytes:
        reason = "content_filter" if trial.withheld_by else "stop"
        said = {
            "id": name,
            "at": format_utc(at),
            "account": seed.account,
            "request": {"model": self.model, "messages": [{"role": "user", "content": seed.prompt}]},
            "response": {"choices": [{"message": {"content": trial.response}, "finish_reason": reason}]},
        }
        return json.dumps(said).encode()


def answers_on_record(case: Case, seeds: Sequence[Seed], arm: str) -> dict[str, Trial]:
    """Scenario to a trial of it that this arm answered."""
    wanted = {one.scenario_id for one in seeds}
    rows = case.trials.read({"arm": [arm]})
    return {one.scenario_id: one for one in rows if one.scenario_id in wanted and one.status == "answered"}


def _is_torn(path: Path) -> bool:
    """Whether the last line has no end."""
    data = path.read_bytes()
    return bool(data) and not data.endswith(b"\n")
