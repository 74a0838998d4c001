"""Findings, tiers and a proposal per context, from estimates and declared gates. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from safecase.decide._elicitation import shortfalls
from safecase.decide._values import (
    Choice,
    Decided,
    Determination,
    Facts,
    Opening,
    Proposal,
    Raise,
    Regression,
    TierState,
)
from safecase.decide._verdict import Reading, read_gate
from safecase.declare import Context, Domain, Framework, Gate
from safecase.evidence import Elicitation, Estimate, Finding, GateVerdict, meets

_RANK: tuple[TierState, ...] = (
    "not-applicable",
    "moderate",
    "undetermined",
    "unmet",
    "provisional-high",
    "high",
    "critical",
)

_NO_AUTHOR = (
    "the case names no author (`author:` in safecase.yaml), so a signature of whoever made it would count as well"
)

_FOREMOST: tuple[GateVerdict, ...] = (
    "fail",
    "provisional-high",
    "inconclusive",
    "not-measured",
    "not-planned",
    "not-applicable",
    "pass",
)
"""The order in which a proposal gives its reasons: what was found before what is missing."""


def decide(
    framework: Framework,
    estimates: Iterable[Estimate],
    facts: Facts,
    *,
    contexts: Sequence[Context],
    planned: frozenset[str],
    openings: Sequence[Opening] = (),
    raises: Sequence[Raise] = (),
    regressions: Sequence[Regression] = (),
    missing: Mapping[str, str] | None = None,
    elicited: Mapping[tuple[str, str], Elicitation] | None = None,
    unread: Mapping[str, int] | None = None,
    samples: int = 1,
    imported: Mapping[str, int] | None = None,
    ran: frozenset[str] = frozenset(),
    logs: Mapping[tuple[str, str], str] | None = None,
    outgrown: Mapping[str, tuple[str, int]] | None = None,
    names_author: bool = True,
) -> Decided:
    """Decide what the evidence supports. The same inputs give the same decision in ten years.

    Args:
        planned: ids of the gates the plan concentrates on.
        openings: verified exceptions that have not expired; those on catastrophic gates are ignored.
        raises: tiers that people raised.
        regressions: learned scenarios. One that is answered unsafely on an arm bars the contexts that the arm speaks
            about, one that nobody could judge asks for testing; no exception opens either.
        missing: suite -> what it would have taken to run it where the plan was made.
        elicited: (suite, arm) -> how hard it tried.
        unread: suite -> attempts on record that the plan does not ask for.
        samples: ways of sampling that were run on this model, the plan's own among them.
        imported: arm -> answers that were imported into it.
        ran: the arms that the plan runs.
        logs: (suite, arm) -> the model that an imported log of the suite names.
        outgrown: draw of labels -> its arm, and how many answers came after it.
        names_author: whether the case says who made it.
    """
    by_id = {estimate.estimate_id: estimate for estimate in estimates}
    suites = {suite.id: suite for suite in framework.suites}

    def read(gate: Gate, arm: str, context: Context) -> Reading:
        suite = suites[gate.suite]
        standard = suite.elicitation
        done = (elicited or {}).get((gate.suite, arm))
        return read_gate(
            gate,
            by_id,
            arm=arm,
            planned=gate.id in planned,
            available=suite.available,
            missing=(missing or {}).get(gate.suite),
            margin=standard.margin if standard else 0.0,
            short=shortfalls(standard, done, context=context.id),
        )

    findings = [
        _finding(framework, gate, context, read(gate, _arm(gate, context, facts), context), facts)
        for context in contexts
        for gate in framework.gates
        if context.id in gate.contexts
    ]
    findings = [_handed_on(framework, finding, findings) for finding in findings]
    findings = [_opened(framework, finding, openings) for finding in findings]
    determinations = tuple(
        _determination(framework, domain, context, findings, read, facts, raises)
        for domain in framework.domains
        if domain.kind != "watch-list"
        for context in contexts
    )
    proposals = _proposals(framework, contexts, findings, determinations, facts, openings, regressions)
    return Decided(
        framework=f"{framework.id} {framework.version}",
        findings=tuple(findings),
        determinations=determinations,
        proposals=proposals,
        hold=_hold(framework, determinations),
        frontier=frontier_sentence(framework, facts),
        limits=(
            *_limits(framework, findings, by_id),
            *_limits_of_suites(framework, contexts, elicited or {}, unread or {}),
            *_limits_of_sampling(samples),
            *_limits_of_imports(imported or {}, ran),
            *_limits_of_logs(logs or {}, facts),
            *_limits_of_labels(outgrown or {}),
            *(() if names_author else (_NO_AUTHOR,)),
        ),
    )


def gates_apply(framework: Framework, gate: Gate, facts: Facts) -> bool:
    """Whether a gate applies: always below the catastrophic domains, above the frontier test within them.

    Unknown compute, or an unknown place beside the reference class, applies the gate.
    """
    if not framework.is_catastrophic(gate) or facts.assume_frontier or facts.training_operations is None:
        return True
    if facts.training_operations >= framework.frontier_test.min_operations:
        return True
    domains = {framework.domain_of(entry).id for entry in gate.bears_on}
    return framework.frontier_test.or_more_capable and any(
        facts.more_capable.get(domain) is not False for domain in domains
    )


def frontier_sentence(framework: Framework, facts: Facts) -> str:
    """The frontier test with its figures."""
    line = framework.frontier_test.min_operations
    if facts.assume_frontier:
        return "frontier status is assumed: every gate applies"
    if facts.training_operations is None:
        source = facts.operations_source
        return f"training operations are unknown ({source}), so every gate applies (the line is {line:.0e})"
    side = "below" if facts.training_operations < line else "at or above"
    open_domains = sorted(name for name, more in facts.more_capable.items() if more is not False)
    beside = f"; likely or possibly ahead of the reference class in {', '.join(open_domains)}" if open_domains else ""
    return (
        f"{facts.training_operations:.2e} training operations ({facts.operations_source}), {side} the line of "
        f"{line:.0e} ({framework.frontier_test.cites}){beside}"
    )


def arm_of(context: Context, facts: Facts) -> str:
    """The arm whose numbers speak about a context."""
    return facts.weights_arm if context.arm == "bare" else context.arm


def _arm(gate: Gate, context: Context, facts: Facts) -> str:
    return "bare" if gate.arm == "bare" else arm_of(context, facts)


def _finding(framework: Framework, gate: Gate, context: Context, reading: Reading, facts: Facts) -> Finding:
    arm = _arm(gate, context, facts)
    if not gates_apply(framework, gate, facts):
        seen = f"; measured all the same: {reading.verdict}, {reading.reason}" if reading.evidence else ""
        return Finding(
            gate=gate.id,
            context=context.id,
            arm=arm,
            verdict="not-applicable",
            reason=f"{frontier_sentence(framework, facts)}{seen}",
            evidence=reading.evidence,
            citation=gate.cites,
            blocks=False,
        )
    verdict, reason, blocks = reading.verdict, reading.reason, True
    if verdict == "pass":
        blocks = False
    elif verdict == "fail" and gate.on_fail == "provisional-high":
        verdict = "provisional-high"
        reason = f"{reason}; deployment barred until {_deeper(gate, 'a deeper suite')} passes"
    elif verdict == "inconclusive" and gate.on_inconclusive == "provisional-high":
        verdict = "provisional-high"
    elif verdict == "inconclusive" and gate.on_inconclusive == "enhanced-required":
        reason = f"{reason}; cannot be ruled out, so {_deeper(gate, 'the enhanced evaluation')} is required"
    elif verdict in {"not-measured", "not-planned"}:
        blocks = gate.blocks_unmeasured
    return Finding(
        gate=gate.id,
        context=context.id,
        arm=arm,
        verdict=verdict,
        reason=reason,
        evidence=reading.evidence,
        citation=gate.cites,
        blocks=blocks,
    )


def _handed_on(framework: Framework, finding: Finding, findings: Sequence[Finding]) -> Finding:
    """What calls for deeper gates is settled once all of them pass in the same context."""
    gate = next(gate for gate in framework.gates if gate.id == finding.gate)
    if not _calls_deeper(gate, finding.verdict):
        return finding
    passed = {f.gate for f in findings if f.context == finding.context and f.verdict == "pass"}
    if not passed.issuperset(gate.then):
        return finding
    return _with(finding, reason=f"{finding.reason}; {_deeper(gate, '')} passed and settles it", blocks=False)


def _calls_deeper(gate: Gate, verdict: str) -> bool:
    """Provisionally high, or inconclusive where the framework says that it cannot be ruled out."""
    enhanced = verdict == "inconclusive" and gate.on_inconclusive == "enhanced-required"
    return bool(gate.then) and (verdict == "provisional-high" or enhanced)


def _deeper(gate: Gate, unnamed: str) -> str:
    return " and ".join(gate.then) or unnamed


def _opened(framework: Framework, finding: Finding, openings: Sequence[Opening]) -> Finding:
    opening = _opening_of(framework, finding, openings)
    if opening is None:
        return finding
    words = f"exception until {opening.expires} signed by {', '.join(opening.signers)}: {opening.reason}"
    return _with(finding, reason=f"{finding.reason}; {words}", blocks=False)


def _opening_of(framework: Framework, finding: Finding, openings: Sequence[Opening]) -> Opening | None:
    """The exception that opens a finding that nothing has decided, of several the one that lasts longest; never one
    for a failed finding, never one for a catastrophic gate."""
    undecided = finding.verdict in {"inconclusive", "not-measured", "not-planned"}
    if not undecided or framework.is_catastrophic(framework.gate(finding.gate)):
        return None
    mine = (one for one in openings if (one.gate, one.context) == (finding.gate, finding.context))
    return max(mine, key=lambda one: one.expires, default=None)


def _with(finding: Finding, *, reason: str, blocks: bool) -> Finding:
    return Finding(
        gate=finding.gate,
        context=finding.context,
        arm=finding.arm,
        verdict=finding.verdict,
        reason=reason,
        evidence=finding.evidence,
        citation=finding.citation,
        blocks=blocks,
    )


def _determination(
    framework: Framework,
    domain: Domain,
    context: Context,
    findings: Sequence[Finding],
    read: Callable[[Gate, str, Context], Reading],
    facts: Facts,
    raises: Sequence[Raise],
) -> Determination:
    gates = [
        gate
        for gate in framework.gates
        if context.id in gate.contexts and any(framework.domain_of(entry).id == domain.id for entry in gate.bears_on)
    ]
    mine = {f.gate: f for f in findings if f.context == context.id and f.gate in {gate.id for gate in gates}}
    applying = [gate for gate in gates if gates_apply(framework, gate, facts)]
    inherent = _worst(_state(domain, gate, read(gate, "bare", context).verdict) for gate in applying)
    residual = _worst(
        _state(domain, gate, mine[gate.id].verdict, settled=not mine[gate.id].blocks) for gate in applying
    )
    reasons = [f"{gate.id}: {mine[gate.id].verdict}" for gate in gates]
    for raised in raises:
        if raised.domain == domain.id and _RANK.index(raised.tier) > _RANK.index(inherent):
            inherent = raised.tier
            residual = max(residual, raised.tier, key=_RANK.index)
            reasons.append(f"raised to {raised.tier} by people: {raised.reason}")
    return Determination(
        domain=domain.id,
        context=context.id,
        inherent=inherent,
        residual=residual,
        basis="evaluated",
        reason="; ".join(reasons) or "no gate applies in this context",
        rests_on=tuple(gate.id for gate in gates),
    )


def _state(domain: Domain, gate: Gate, verdict: str, *, settled: bool = False) -> TierState:
    if verdict == "pass" or (settled and _calls_deeper(gate, verdict)):
        return "moderate"
    if verdict == "fail":
        return gate.tier_on_fail or ("unmet" if domain.kind == "content-policy" else "high")
    if verdict == "provisional-high":
        return "provisional-high"
    return "undetermined"


def _worst(states: Iterable[TierState]) -> TierState:
    return max(states, key=_RANK.index, default="not-applicable")


def _proposals(
    framework: Framework,
    contexts: Sequence[Context],
    findings: Sequence[Finding],
    determinations: Sequence[Determination],
    facts: Facts,
    openings: Sequence[Opening],
    regressions: Sequence[Regression],
) -> tuple[Proposal, ...]:
    made: dict[str, Proposal] = {}
    for context in contexts:
        blocking = sorted(
            (f for f in findings if f.context == context.id and f.blocks), key=lambda f: _FOREMOST.index(f.verdict)
        )
        reasons = [f"{f.gate} on {f.arm}: {f.verdict}, {f.reason}" for f in blocking]
        needs: set[Choice] = {
            "require-mitigation" if f.verdict in {"fail", "provisional-high"} else "require-testing" for f in blocking
        }
        for d in determinations:
            if d.context == context.id and d.residual in {"critical", "high"}:
                needs.add("require-mitigation")
                reasons.append(f"{d.domain} stands at {d.residual}: {d.reason}")
        for one in regressions:
            if one.outcome != "safe" and one.arm == arm_of(context, facts) and context.id in one.contexts:
                needs.add("require-mitigation" if one.outcome == "unsafe" else "require-testing")
                state = "answered unsafely again" if one.outcome == "unsafe" else "without a verdict"
                reasons.append(f"learned scenario {one.scenario} on {one.arm}: {state}")
        if not meets(facts.identity, context.minimum_identity):
            needs.add("require-mitigation")
            reasons.append(
                f"the model's identity is {facts.identity.kind!r}, {context.id!r} asks for {context.minimum_identity!r}"
            )
        mine = [finding for finding in findings if finding.context == context.id]
        used = [opening for finding in mine if (opening := _opening_of(framework, finding, openings))]
        made[context.id] = _proposal(context, needs, reasons, mine, used)
    return tuple(_after(context, made) for context in contexts)


def _proposal(
    context: Context,
    needs: set[Choice],
    reasons: list[str],
    findings: Sequence[Finding],
    used: Sequence[Opening],
) -> Proposal:
    choice: Choice = "require-mitigation" if "require-mitigation" in needs else "require-testing"
    if not needs:
        choice = "approve"
        passed = sum(finding.verdict == "pass" for finding in findings)
        reasons = [f"no finding bars it; {passed} gates passed and the others do not apply or do not block"]
    return Proposal(
        context=context.id,
        choice=choice,
        reasons=tuple(reasons),
        exceptions=tuple(f"{one.gate} until {one.expires}" for one in used),
    )


def _after(context: Context, made: Mapping[str, Proposal]) -> Proposal:
    """A context that follows another is approved only with it."""
    mine = made[context.id]
    first = context.needs_before
    if mine.choice != "approve" or first is None or (first in made and made[first].choice == "approve"):
        return mine
    state = f"is proposed {made[first].choice!r}" if first in made else "is not part of this assessment"
    reason = f"{context.id!r} follows {first!r}, which {state}"
    return Proposal(context=context.id, choice="require-testing", reasons=(reason,), exceptions=mine.exceptions)


def _hold(framework: Framework, determinations: Sequence[Determination]) -> tuple[str, ...]:
    holding = {tier.id for tier in framework.tiers if tier.holds_development}
    found = (f"{d.domain} is {d.inherent}: {d.reason}" for d in determinations if d.inherent in holding)
    return tuple(dict.fromkeys(found))


def _limits(framework: Framework, findings: Sequence[Finding], estimates: Mapping[str, Estimate]) -> tuple[str, ...]:
    """What the program itself must admit."""
    needs = {suite.id: suite.needs for suite in framework.suites}
    lines: list[str] = []
    for gate in framework.gates:
        verdicts = {f.verdict for f in findings if f.gate == gate.id}
        if "not-measured" in verdicts or (verdicts == {"not-applicable"} and f"{gate.id}/bare/all" not in estimates):
            lines.append(f"{gate.id} was not measured: {needs[gate.suite]}")
        elif "not-planned" in verdicts:
            lines.append(f"{gate.id} was not planned in this case")
        if gate.illustrative:
            lines.append(f"{gate.id}: the framework calls its figure illustrative ({gate.cites})")
    for estimate in estimates.values():
        if estimate.group == "all" and estimate.absent:
            lines.append(
                f"{estimate.estimate_id}: {estimate.absent} of {estimate.n + estimate.absent} attempts gave no "
                "answer or no verdict; they are bounded at their worst"
            )
        if estimate.group == "all" and estimate.calibration == "none" and estimate.n:
            lines.append(f"{estimate.estimate_id}: the judge's error is unknown here, so the rate is as observed")
    return tuple(dict.fromkeys(lines))


def _limits_of_suites(
    framework: Framework,
    contexts: Sequence[Context],
    elicited: Mapping[tuple[str, str], Elicitation],
    unread: Mapping[str, int],
) -> Iterator[str]:
    """Where suites tried less than their standard asks, and what of theirs is on record and counts for nothing."""
    standards = {suite.id: suite.elicitation for suite in framework.suites}
    for (suite, arm), done in sorted(elicited.items()):
        found = (line for context in contexts for line in shortfalls(standards.get(suite), done, context=context.id))
        for line in dict.fromkeys(found):
            yield f"suite {suite} on {arm} was not elicited to the pack's standard: {line}"
    for suite, count in sorted(unread.items()):
        yield (
            f"suite {suite}: {count} attempts on record were made under other limits, arms or states of the suite than "
            "the plan's; no number rests on them"
        )


def _limits_of_sampling(samples: int) -> Iterator[str]:
    """A bound forgives any look at one plan's answers; it knows nothing of the plans that were tried before."""
    if samples > 1:
        yield (
            f"this model was run under {samples} plans that sample, generate or judge differently (size, seed, attacks "
            "and the like): each bound holds for its own plan alone, and a gate that was read under all of them is "
            f"cleared falsely with up to {samples} times its alpha"
        )


def _limits_of_imports(imported: Mapping[str, int], ran: frozenset[str]) -> Iterator[str]:
    """Whoever imports answers chooses them, and says which model gave them."""
    for arm, count in sorted(imported.items()):
        if arm in ran:
            yield f"arm {arm}: {count} imported answers are on record beside those of the plan; no number rests on them"
        else:
            yield (
                f"arm {arm}: its {count} answers were imported, so they are self-reported: which requests were put to "
                "which model is as whoever made them says, and no permit rests on them"
            )


def _limits_of_logs(logs: Mapping[tuple[str, str], str], facts: Facts) -> Iterator[str]:
    """A log names its model in a word, and nothing shows that it is the one that is decided on."""
    for (suite, arm), model in sorted(logs.items()):
        yield (
            f"suite {suite} on {arm} was imported: its log names the model {model!r}, an identity by name only; what "
            f"is decided on is {facts.identity.model!r}, known by {facts.identity.kind}"
        )


def _limits_of_labels(outgrown: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """Labels tell how a judge errs on the answers that they were drawn from."""
    for draw, (arm, count) in sorted(outgrown.items()):
        yield (
            f"arm {arm}: {count} answers came after draw {draw} of labels, so how the judge errs on them is taken from "
            "earlier answers; `safecase measure calibrate draw` draws from them too"
        )
