"""One call from a notebook or a script: a model in, an assessment out that shows itself.

A *case* is still what is worked on, in a directory given or in a temporary one, so whatever a notebook concludes can be
saved, verified and signed like anything else.
"""

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from inspect import signature
from io import StringIO
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any, Literal
from weakref import finalize

from pydantic import ValidationError

from safecase.assess._blocking import blocking
from safecase.assess._case import Case, Clock, open_case, utc_now
from safecase.assess._export import tables_of
from safecase.assess._new import CaseExists, case_id
from safecase.assess._report import report_case
from safecase.assess._run import run_case
from safecase.assess._stages import decide_case
from safecase.assess._verify import Verification, verify_case
from safecase.decide import Decided
from safecase.declare import Budget, CaseSpec, Generation, ModelVersion, Sampling, load_framework
from safecase.evidence import Estimate, Finding
from safecase.exchange import Row, Table, html_table
from safecase.models import Model
from safecase.run import Progress, RunSummary

_READ = frozenset({"pass", "fail", "inconclusive", "provisional-high"})
_TELL_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Assessment:
    """What an assessment came to. Tables read the case when asked, and give `.to_pandas()` and `.to_polars()`.

    Attributes:
        case: what was assessed, open.
        run: what this call ran; trials that were there already are `run.skipped`.
        decided, estimated: findings, determinations, proposals and estimates as values.
        seconds: how long this call took.
        kept_while_used: the temporary directory, which goes with its last user; None for a case that stays.
    """

    case: Case
    run: RunSummary
    decided: Decided
    estimated: tuple[Estimate, ...] = field(repr=False)
    seconds: float
    kept_while_used: Any = field(default=None, repr=False)

    @property
    def path(self) -> Path:
        """The case directory."""
        return self.case.path

    @property
    def is_temporary(self) -> bool:
        """Whether the case goes away with this object; `save` keeps it."""
        return self.kept_while_used is not None

    @property
    def trials(self) -> Table:
        """Every trial, held-out scenarios and sealed answers left out."""
        return tables_of(self.case)["trials"]

    @property
    def judgements(self) -> Table:
        """Every judgement of those trials."""
        return tables_of(self.case)["judgements"]

    @property
    def estimates(self) -> Table:
        """Every rate with its interval."""
        rows: list[Row] = [asdict(one) for one in self.estimated]
        return Table("estimates", lambda: iter(rows))

    @property
    def findings(self) -> Table:
        """Every gate in every context."""
        rows: list[Row] = [{**asdict(one), "evidence": list(one.evidence)} for one in self.decided.findings]
        return Table("findings", lambda: iter(rows))

    @property
    def proposals(self) -> Table:
        """What the program proposes for every context. People decide."""
        rows: list[Row] = [
            {**asdict(one), "reasons": list(one.reasons), "exceptions": list(one.exceptions)}
            for one in self.decided.proposals
        ]
        return Table("proposals", lambda: iter(rows))

    def verify(self) -> Verification:
        """Recompute everything from the evidence."""
        return verify_case(self.case)

    def save(self, directory: str | Path) -> Path:
        """Copy the case to a directory that does not exist yet, and return it.

        Raises:
            CaseExists: something is there.
        """
        target = Path(directory)
        if target.exists():
            raise CaseExists(f"{str(target)!r} exists; choose a directory that does not")
        return Path(copytree(self.path, target))

    def __repr__(self) -> str:
        lines = [self._title(), *([f"stopped: {self.run.stopped}"] if self.run.stopped else []), ""]
        lines += [f"{'context':12} {'proposal':20} why"]
        lines += [f"{p.context:12} {p.choice:20} {_first(p.reasons)}" for p in self.decided.proposals]
        lines += ["", f"{'gate':36} {'arm':8} {'verdict':13} {'rate':>7}  interval"]
        lines += ["{:36} {:8} {:13} {:>7}  {}".format(*row) for row in self._gates()]
        if unread := self._unread():
            lines += ["", f"no verdict: {unread}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        proposals = [[p.context, p.choice, _first(p.reasons)] for p in self.decided.proposals]
        note = f"no verdict: {unread}" if (unread := self._unread()) else "every gate has a verdict"
        gates = [list(row) for row in self._gates()]
        title = f"{self._title()}; stopped: {self.run.stopped}" if self.run.stopped else self._title()
        return html_table(("context", "proposal", "why"), proposals, caption=title) + html_table(
            ("gate", "arm", "verdict", "rate", "interval"), gates, caption=note
        )

    def _title(self) -> str:
        run, where = self.run, "in a temporary case; .save(DIR) keeps it" if self.is_temporary else f"in {self.path}"
        return (
            f"Assessment of {self.case.spec.model.title} under {self.decided.framework}: {run.trials} trials run, "
            f"{run.skipped} there already, {where}"
        )

    def _gates(self) -> Iterator[tuple[str, str, str, str, str]]:
        """(gate, arm, verdict, rate, interval), once per arm; contexts differ in what they make of it."""
        stored = {estimate.estimate_id: estimate for estimate in self.estimated}
        for (gate, arm), finding in self._read_findings().items():
            estimate = stored.get(f"{gate}/{arm}/all")
            yield gate, arm, finding.verdict, _rate(estimate), _interval(estimate)

    def _read_findings(self) -> dict[tuple[str, str], Finding]:
        found: dict[tuple[str, str], Finding] = {}
        for finding in self.decided.findings:
            if finding.verdict in _READ:
                found.setdefault((finding.gate, finding.arm), finding)
        return found

    def _unread(self) -> str:
        """How many gates have no verdict, by kind of absence."""
        kinds: dict[str, set[str]] = {}
        for finding in self.decided.findings:
            if finding.verdict not in _READ:
                kinds.setdefault(finding.verdict, set()).add(finding.gate)
        return ", ".join(f"{len(gates)} gates {kind}" for kind, gates in sorted(kinds.items()))


async def assess_async(
    model: str | Model | None = None,
    *,
    case: str | Path | Case | None = None,
    directory: str | Path | None = None,
    framework: str = "scaling-v2",
    contexts: Sequence[str] = (),
    gates: Sequence[str] = (),
    intents: int = 60,
    attacks: Sequence[str] = (),
    attacks_per_intent: int | None = None,
    languages: Sequence[str] = ("en",),
    repetitions: int = 1,
    seed: int = 20260407,
    max_tokens: int = 256,
    temperature: float = 0.0,
    safeguards: str = "default",
    judge: str = "embedded",
    title: str | None = None,
    safeguard_state: Literal["helpful-only", "partial", "full"] = "partial",
    training_operations: float | None = None,
    more_capable_than_reference: Mapping[str, bool | None] | None = None,
    budget: Budget | None = None,
    workers: int | None = None,
    assume_frontier: bool = False,
    report: bool = False,
    progress: bool = True,
    now: Clock = utc_now,
) -> Assessment:
    """Assess a model, or go on with a case: run what is missing, judge, estimate, decide.

    Args:
        model: a target's name such as `openai/<model>@http://127.0.0.1:8000/v1`, or an open target, which the caller
            closes. May be left out where `case` names one.
        case: an existing case, by directory or opened. It says what to assess, so no argument from `framework` to
            `more_capable_than_reference` may stand beside it.
        directory: where a new case is written; a temporary directory by default, which goes away with the result.
            A case there that says the same is gone on with.
        framework: id of a shipped pack, or a path to one.
        contexts: ids; empty means every context of the framework.
        gates: ids to concentrate on; empty means every gate that scenarios can measure.
        intents: intents drawn per gate.
        attacks: names; empty means every attack.
        safeguards, judge: as in a case file.
        training_operations: None is unknown, and then every gate applies.
        more_capable_than_reference: by risk domain; absent is unknown.
        budget: hard limits on the run.
        report: also write the report (extra `report`).
        progress: a line that moves, on a terminal or in a notebook.

    Raises:
        ValueError: neither model nor case, arguments that a case already answers, or a value that none may have.
        CaseExists: `directory` holds another case.
    """
    started = time.monotonic()
    _must_be_usable(locals())
    declared = {name: value for name, value in locals().items() if name in _DECLARED}
    kept = None
    if case is not None:
        if beside := sorted(name for name, value in declared.items() if value != _DEFAULTS[name]):
            raise ValueError(f"`case` says what to assess; leave out {', '.join(beside)}, or edit safecase.yaml")
        opened = case if isinstance(case, Case) else open_case(Path(case))
    elif model is None:
        raise ValueError("nothing to assess: give a model's name, an open model, or `case=` with a directory")
    else:
        del declared["directory"]
        if directory is None:
            kept = _Temporary()
        try:
            spec = new_spec(model if isinstance(model, str) else model.name, **declared)
        except ValidationError as fault:
            raise ValueError("; ".join(map(_in_words, fault.errors()))) from None
        opened = open_case(write_spec(kept.path if kept else Path(str(directory)), spec))
    with _told(progress) as tell:
        summary = await run_case(
            opened,
            model=None if isinstance(model, str) else model,
            model_name=model if isinstance(model, str) else None,
            budget=budget,
            workers=workers,
            on_progress=tell,
            now=now,
        )
    measured, decided = await decide_case(opened, assume_frontier=assume_frontier, now=now)
    if report:
        await report_case(opened, assume_frontier=assume_frontier, now=now)
    return Assessment(
        case=opened,
        run=summary,
        decided=decided,
        estimated=measured.estimates,
        seconds=time.monotonic() - started,
        kept_while_used=kept,
    )


def _must_be_usable(given: Mapping[str, Any]) -> None:
    """What no case file would tell of: arguments of another kind than is meant."""
    for name in ("contexts", "gates", "attacks", "languages"):
        if isinstance(given[name], str) or not isinstance(given[name], Iterable):
            raise _unfit(given, name, f"a list of names, such as [{str(given[name])!r}]")
    if given["model"] is not None and not isinstance(given["model"], str) and not hasattr(given["model"], "generate"):
        raise _unfit(given, "model", "a target's name, or an open model")
    if given["budget"] is not None and not isinstance(given["budget"], Budget):
        raise _unfit(given, "budget", "safecase.declare.Budget(trials=..., seconds=...)")
    if given["workers"] is not None and (not isinstance(given["workers"], int) or given["workers"] < 1):
        raise _unfit(given, "workers", "a whole number from 1, or leave it out")
    if not isinstance(given["framework"], str):
        raise _unfit(given, "framework", "a pack's name, or a path as text")


def _unfit(given: Mapping[str, Any], name: str, mend: str) -> ValueError:
    return ValueError(f"{name} is {given[name]!r:.80}; give {mend}")


def _in_words(fault: Mapping[str, Any]) -> str:
    """A fault that pydantic found, by the name of the argument."""
    said = fault["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    return f"{fault['loc'][0]} is {fault['input']!r:.80}; {said[:1].lower()}{said[1:]}"


_DEFAULTS = {name: parameter.default for name, parameter in signature(assess_async).parameters.items()}
_DECLARED = frozenset(
    "directory framework contexts gates intents attacks attacks_per_intent languages repetitions seed max_tokens "
    "temperature safeguards judge title safeguard_state training_operations more_capable_than_reference".split()
)
"""Arguments that say what to assess; a case's own file says it otherwise."""

assess_now = blocking(assess_async)
"""`assess_async` for a script or a notebook cell: it waits, also where an event loop runs already."""


def new_spec(
    name: str,
    *,
    framework: str,
    contexts: Sequence[str],
    gates: Sequence[str],
    intents: int,
    attacks: Sequence[str],
    attacks_per_intent: int | None,
    languages: Sequence[str],
    repetitions: int,
    seed: int,
    max_tokens: int,
    temperature: float,
    safeguards: str,
    judge: str,
    title: str | None,
    safeguard_state: Literal["helpful-only", "partial", "full"],
    training_operations: float | None,
    more_capable_than_reference: Mapping[str, bool | None] | None,
) -> CaseSpec:
    """What a case file would say.

    Raises:
        PackError, UnknownName: no such framework.
        pydantic.ValidationError: a value that no case file may hold.
    """
    return CaseSpec(
        id=case_id(title or name),
        title=f"Assessment of {title or name}",
        framework=str(Path(framework).resolve()) if framework.endswith((".yaml", ".yml")) else framework,
        model=ModelVersion(
            name=name,
            title=title or name,
            safeguard_state=safeguard_state,
            training_operations=training_operations,
            more_capable_than_reference=dict(more_capable_than_reference or {}),
        ),
        contexts=tuple(contexts) or tuple(context.id for context in load_framework(framework).contexts),
        safeguards=safeguards,
        judge=judge,
        sampling=Sampling(
            gates=tuple(gates),
            intents=intents,
            attacks=tuple(attacks),
            attacks_per_intent=attacks_per_intent,
            languages=tuple(languages),
            repetitions=repetitions,
            seed=seed,
        ),
        generation=Generation(max_tokens=max_tokens, temperature=temperature),
    )


def write_spec(directory: Path, spec: CaseSpec) -> Path:
    """Write `safecase.yaml` into a directory and return the directory; one that says the same is left alone.

    Raises:
        CaseExists: another case stands there.
    """
    from ruamel.yaml import YAML

    text, path = StringIO(), directory / "safecase.yaml"
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(spec.model_dump(mode="json", exclude_defaults=True), text)
    if path.exists() and path.read_text(encoding="utf-8") != text.getvalue():
        raise CaseExists(f"{str(path)!r} says something else; give it as `case=`, or choose another directory")
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(text.getvalue(), encoding="utf-8")
    return directory


class _Temporary:
    """A directory that goes away with the last user of this object, or with the process; quietly, since it was said."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="safecase-"))
        finalize(self, rmtree, self.path, ignore_errors=True)


@contextmanager
def _told(progress: bool) -> Iterator[Any]:
    """A callback that keeps one line up to date on stderr, where someone watches it."""
    is_watched = progress and (sys.stderr.isatty() or "ipykernel" in sys.modules)
    last = -_TELL_EVERY_S
    width = 0

    def tell(now: Progress) -> None:
        nonlocal last, width
        if not is_watched or (time.monotonic() - last < _TELL_EVERY_S and now.done < now.total):
            return
        last = time.monotonic()
        left = f", about {now.eta_s:.0f} s left" if now.eta_s is not None else ""
        line = f"{now.done} of {now.total} trials{left}, {now.errors} without an answer"
        sys.stderr.write(f"\r{line:{width}}")
        sys.stderr.flush()
        width = len(line)

    yield tell
    if width:
        sys.stderr.write("\n")


def _first(reasons: Sequence[str]) -> str:
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else ""


def _rate(estimate: Estimate | None) -> str:
    return "n/a" if estimate is None or estimate.value is None else f"{estimate.value:.1%}"


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate.low:.1%} to {estimate.high:.1%} ({estimate.level:.0%}), {estimate.clusters} intents"
