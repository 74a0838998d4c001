"""Findings, tiers and proposals per context; the same standard for open, API and closed."""

from dataclasses import replace
from typing import Any

import pytest

from safecase.decide import Facts, Opening, Raise, decide
from safecase.declare import Framework, load_framework
from safecase.evidence import Elicitation, Estimate, Identity


@pytest.fixture(scope="module")
def framework() -> Framework:
    return load_framework("scaling-v2")


SMALL = Facts(
    training_operations=1e21,
    operations_source="test",
    more_capable={"cyber": False, "chem-bio": False, "loss-of-control": False},
    identity=Identity(kind="weights", model="m", digest="0" * 64, details={}),
)


FULL = Elicitation(
    suite="any",
    arm="bare",
    variant="helpful-only",
    variant_note=None,
    scaffold="an agent",
    tuned_scaffold=True,
    attempts=20,
    tasks=3,
    tasks_in_suite=3,
    tokens=20_000,
    curve=((20_000, 0.0),),
    second_half_gain=0.0,
    cut_off=0.0,
    failures=0,
    flagged=0,
    reviewed=0,
    spurious=0,
    spurious_bound=0.0,
    baselines={},
    continued_training=None,
    turns=30,
)


def policy_estimates(
    framework: Framework, *, rates: dict[str, float], calibration: str = "transferred"
) -> list[Estimate]:
    """An estimate for every content-policy gate and arm, at the given rate by arm, tightly bounded."""
    made = []
    for gate in framework.gates:
        if gate.suite != "refusal-bank" or framework.is_catastrophic(gate):
            continue
        for arm, rate in rates.items():
            low, high = max(0.0, rate - 0.02), min(1.0, rate + 0.02)
            made.append(
                Estimate(
                    estimate_id=f"{gate.id}/{arm}/all",
                    measure=gate.measure,
                    arm=arm,
                    group="all",
                    value=rate,
                    low=low,
                    high=high,
                    lower_bound=low,
                    upper_bound=high,
                    failure_lower=low,
                    failure_upper=high,
                    level=0.95,
                    n=120,
                    clusters=60,
                    absent=0,
                    observed=rate,
                    judge="embedded",
                    calibration=calibration,  # type: ignore[arg-type]
                    method="test",
                    scope={},
                    trial_ids_digest="",
                )
            )
    return made


def run(framework: Framework, estimates: list[Estimate], facts: Facts = SMALL, **options: Any) -> Any:
    options.setdefault("contexts", framework.contexts)
    options.setdefault("planned", frozenset(gate.id for gate in framework.gates))
    return decide(framework, estimates, facts, **options)


def choices(decided: Any) -> dict[str, str]:
    return {proposal.context: proposal.choice for proposal in decided.proposals}


def test_a_safe_small_model_is_approved_everywhere(framework):
    decided = run(framework, policy_estimates(framework, rates={"bare": 0.02, "guarded": 0.02}))

    assert set(choices(decided).values()) == {"approve"}


def test_an_unsafe_model_fails_every_policy_gate(framework):
    decided = run(framework, policy_estimates(framework, rates={"bare": 0.9, "guarded": 0.9}))

    verdicts = {f.verdict for f in decided.findings if f.gate.startswith("policy.")}
    assert verdicts == {"fail"}
    assert all(choices(decided)[c] == "require-mitigation" for c in ("limited", "controlled", "closed", "open"))


def test_safeguards_outside_the_weights_do_not_count_for_open_weights(framework):
    decided = run(framework, policy_estimates(framework, rates={"bare": 0.9, "guarded": 0.02}))

    assert choices(decided)["closed"] == "approve"
    assert choices(decided)["open"] == "require-mitigation"
    assert {f.arm for f in decided.findings if f.context == "open"} == {"bare"}


def test_inherent_is_before_and_residual_after_safeguards(framework):
    decided = run(framework, policy_estimates(framework, rates={"bare": 0.9, "guarded": 0.02}))

    (closed,) = [d for d in decided.determinations if (d.domain, d.context) == ("content-policy", "closed")]
    assert (closed.inherent, closed.residual) == ("unmet", "moderate")


def test_below_the_frontier_catastrophic_gates_do_not_apply_and_show_the_figures(framework):
    decided = run(framework, [])

    findings = [f for f in decided.findings if f.gate == "cyber.simple-suite"]
    assert {f.verdict for f in findings} == {"not-applicable"}
    assert all("1.00e+21" in f.reason and "1e+26" in f.reason for f in findings)


@pytest.mark.parametrize(
    "facts",
    [
        replace(SMALL, assume_frontier=True),
        replace(SMALL, training_operations=None),  # unknown fails closed
        replace(SMALL, training_operations=1e26),
        replace(SMALL, more_capable={"cyber": None, "chem-bio": False, "loss-of-control": False}),
    ],
    ids=["assumed", "unknown", "at-the-line", "unknown-place"],
)
def test_the_frontier_test_fails_closed(framework, facts):
    estimates = policy_estimates(framework, rates={"bare": 0.02, "guarded": 0.02})

    decided = run(framework, estimates, facts)

    assert choices(decided)["closed"] == "require-testing"
    (finding,) = [f for f in decided.findings if (f.gate, f.context) == ("cyber.simple-suite", "closed")]
    assert (finding.verdict, finding.blocks) == ("not-measured", True)


def test_crossing_the_simple_suite_is_provisionally_high_until_the_deeper_one_passes(framework):
    def at(gate: str, group: str, rate: float) -> Estimate:
        base = policy_estimates(framework, rates={"bare": rate})[0]
        return replace(
            base,
            estimate_id=f"{gate}/bare/{group}",
            measure="pass_at_10",
            group=group,
            calibration="own",
            clusters=200,
        )

    facts = replace(SMALL, assume_frontier=True)
    crossed = [at("cyber.simple-suite", "all", 0.5), at("cyber.simple-suite", "category:web", 0.9)]
    half_settled = [*crossed, at("cyber.complex-suite", "all", 0.0)]
    settled = [*half_settled, at("cyber.zero-day-poc", "all", 0.0)]
    deeper = ("network-range", "exploit-real-code")  # elicited as their packs ask

    def finding(estimates: list[Estimate]) -> Any:
        decided = run(framework, estimates, facts, elicited={(name, "bare"): FULL for name in deeper})
        return next(f for f in decided.findings if (f.gate, f.context) == ("cyber.simple-suite", "closed"))

    assert (finding(crossed).verdict, finding(crossed).blocks) == ("provisional-high", True)
    assert finding(half_settled).blocks is True  # cyber-2 has its own deeper gate
    assert finding(settled).blocks is False


def test_an_exception_opens_an_undecided_policy_gate_and_never_a_failed_or_catastrophic_one(framework):
    safe = policy_estimates(framework, rates={"bare": 0.02, "guarded": 0.02})
    missing = [e for e in safe if not e.estimate_id.startswith("policy.privacy")]
    opening = Opening(
        gate="policy.privacy.unsafe", context="limited", reason="r", expires="2027-01-01", signers=("a", "b")
    )

    assert choices(run(framework, missing))["limited"] == "require-testing"
    assert choices(run(framework, missing, openings=[opening]))["limited"] == "approve"

    failed = policy_estimates(framework, rates={"bare": 0.9, "guarded": 0.9})
    assert choices(run(framework, failed, openings=[opening]))["limited"] == "require-mitigation"

    facts = replace(SMALL, assume_frontier=True)
    catastrophic = replace(opening, gate="cyber.simple-suite")
    decided = run(framework, safe, facts, openings=[catastrophic])
    assert next(f for f in decided.findings if (f.gate, f.context) == ("cyber.simple-suite", "limited")).blocks


def test_people_may_raise_a_tier_to_critical_and_it_holds_development(framework):
    safe = policy_estimates(framework, rates={"bare": 0.02, "guarded": 0.02})

    decided = run(framework, safe, raises=[Raise(domain="cyber", tier="critical", reason="a bypass was shown")])

    assert decided.hold
    assert set(choices(decided).values()) == {"require-mitigation"}


def test_a_weaker_identity_than_the_context_asks_bars_it(framework):
    safe = policy_estimates(framework, rates={"bare": 0.02, "guarded": 0.02})
    strict = framework.model_copy(
        update={"contexts": tuple(c.model_copy(update={"minimum_identity": "weights"}) for c in framework.contexts)}
    )
    facts = replace(SMALL, identity=Identity(kind="name-only", model="m", digest=None, details={}))

    assert "approve" not in choices(run(strict, safe, facts)).values()


def test_benefits_cannot_reach_a_gate():
    """`decide` takes no benefits: the record stands beside residual risk in the report only."""
    import inspect

    assert "benefit" not in inspect.getsource(decide).lower()
    assert not any("benefit" in name for name in inspect.signature(decide).parameters)


def test_the_same_inputs_give_the_same_decision(framework):
    estimates = policy_estimates(framework, rates={"bare": 0.3, "guarded": 0.1})

    assert run(framework, estimates) == run(framework, list(reversed(estimates)))
