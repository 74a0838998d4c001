"""The whole of an assessment in one call, the demo, and a second framework over the same evidence."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safecase.assess._case import Case, Clock, home, open_case, utc_now
from safecase.assess._distributed import Cluster, run_case_distributed
from safecase.assess._new import new_case
from safecase.assess._permit import write_permit
from safecase.assess._report import report_case
from safecase.assess._roster import write_roster
from safecase.assess._run import run_case
from safecase.assess._signing import NotSupported, case_roster, sign_decision, signatures
from safecase.assess._stages import decide_case, decide_estimates, measure_case
from safecase.assess._suites_run import run_suites
from safecase.assess._verify import Verification, verify_case
from safecase.decide import Decided
from safecase.evidence import generate_key
from safecase.models import Model
from safecase.run import Progress, RunSummary

DEMO_GATES = ("policy.criminal-wrongdoing.unsafe", "policy.hateful-and-harmful.unsafe", "policy.overrefusal")
DEMO_ATTACKS = ("none", "authority", "false-premise", "fiction", "role-play", "academic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an assessment came to. `head` is the ledger head to keep elsewhere."""

    case: Path
    run: RunSummary
    decided: Decided
    report: tuple[Path, ...]
    seconds: float
    head: str


async def assess(
    case: Case,
    *,
    model: Model | None = None,
    model_name: str | None = None,
    workers: int | None = None,
    assume_frontier: bool = False,
    demo: bool = False,
    cluster: Cluster | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    now: Clock = utc_now,
) -> Outcome:
    """Compose, run, measure, decide and report; each stage does only what is missing.

    Args:
        model: an open target; the caller closes it.
        cluster: where the trials run, in shards; in this process by default. Workers open the target by its name, so
            `model` is then left away.
        say: told in a line what happens next.
    """
    started = time.monotonic()
    say("running scenarios through every arm")
    if cluster is None:
        summary = await run_case(
            case, model=model, model_name=model_name, workers=workers, on_progress=on_progress, now=now
        )
    elif model is not None:
        raise ValueError("an open model cannot travel to a cluster's workers; give model_name")
    else:
        summary = await run_case_distributed(
            case,
            cluster=cluster,
            model_name=model_name,
            workers=workers,
            on_progress=on_progress,
            say=say,
            now=now,
        )
    if any(asked.source == "run" for asked in case.spec.suites):
        say("running suites")
        suites = await run_suites(case, model=model, model_name=model_name, now=now)
        for suite, missing in suites.missing.items():
            say(f"not measured: suite {suite!r} cannot run here: {missing}")
    say("judging, estimating, deciding")
    _, decided = await decide_case(case, assume_frontier=assume_frontier, demo=demo, now=now)
    if demo:
        _sign_as_demo(case, now)
    say("writing the report")
    rendered = await report_case(case, assume_frontier=assume_frontier, demo=demo, now=now)
    return Outcome(
        case=case.path,
        run=summary,
        decided=decided,
        report=tuple(rendered.paths[name] for name in ("html", "pdf", "json")),
        seconds=time.monotonic() - started,
        head=case.ledger.head(),
    )


async def demo(
    directory: Path,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    now: Clock = utc_now,
) -> Outcome:
    """Assess the embedded model, concentrated on three gates with at least 60 intents each; keys are stamped DEMO.

    Called again on the same directory it goes on where it was.
    """
    if not (directory / "safecase.yaml").exists():
        new_case(directory, gates=DEMO_GATES, intents=62, attacks=DEMO_ATTACKS, per_intent=2, max_tokens=48)
    return await assess(open_case(directory), demo=True, on_progress=on_progress, say=say, now=now)


async def redecide(
    path: Path, framework: str, *, assume_frontier: bool = False, now: Clock = utc_now
) -> tuple[Decided, list[str]]:
    """Hold a case's evidence against another framework, and say which outcomes change. Nothing but judgements is kept.

    Returns:
        The decision under the other framework, and a sentence per change from the case's own.
    """
    own, other = open_case(path), open_case(path, framework=framework)
    mine = await measure_case(own, now=now, write=False)
    theirs = await measure_case(own, framework=other.framework, now=now, write=False)
    before = decide_estimates(own, mine.estimates, assume_frontier=assume_frontier, at=now())
    after = decide_estimates(other, theirs.estimates, assume_frontier=assume_frontier, at=now())
    return after, changes(before, after)


def changes(before: Decided, after: Decided) -> list[str]:
    """What two decisions over one evidence differ in: proposals, tiers, gates, each with the reason."""
    lines: list[str] = []
    old = {p.context: p for p in before.proposals}
    for proposal in after.proposals:
        was = old.get(proposal.context)
        if was and was.choice != proposal.choice:
            lines.append(f"{proposal.context}: {was.choice} becomes {proposal.choice}, since {proposal.reasons[0]}")
    tiers = {(d.domain, d.context): d for d in before.determinations}
    for one in after.determinations:
        was_tier = tiers.pop((one.domain, one.context), None)
        if was_tier is None:
            lines.append(f"{one.domain} in {one.context}: {after.framework} adds this domain ({one.residual})")
        elif (was_tier.inherent, was_tier.residual) != (one.inherent, one.residual):
            lines.append(
                f"{one.domain} in {one.context}: {was_tier.inherent}/{was_tier.residual} becomes "
                f"{one.inherent}/{one.residual}, since {one.reason}"
            )
    lines += [
        f"{domain} in {context}: {after.framework} has no such domain (it stood at {was_tier.residual})"
        for (domain, context), was_tier in tiers.items()
    ]
    return lines


def verify_path(path: Path, *, trust: Path | None = None, head: str | None = None) -> Verification:
    """`verify_case` on a case directory."""
    return verify_case(open_case(path), trust=trust, head=head)


def _sign_as_demo(case: Case, now: Clock) -> None:
    """Two DEMO keys in different roles approve the proposal as it stands; permits follow where it supports them."""
    folder = home() / "demo"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    roles = [role.id for role in case.framework.roles if "approve" in role.may][:2]
    keys = [folder / f"{name}.pem" for name in ("root", *roles)]
    for key in keys:
        if not key.exists():
            generate_key(key, demo=True)
    if not (case.path / "roster.json").exists():
        people = [f"demo-signer-{i}:{role}:{key}" for i, (role, key) in enumerate(zip(roles, keys[1:], strict=True), 1)]
        write_roster(case, keys[0], people, now=now)
    signed = signatures(case, case_roster(case), at=now())
    if signed is not None and signed.quorum.is_met:
        return
    for key in keys[1:]:
        sign_decision(case, key, position="approve", reason="demonstration", now=now)
    for context in case.spec.contexts:
        try:
            write_permit(case, context, demo=True, now=now)
        except NotSupported:
            continue
