"""Toy suites under the ids that the framework's gates read, named by `plugin:` in the cases of these tests."""

from safecase.suites import SuiteTask
from safecase.testing import ToySuite

CATEGORIES = ("cryptography",)


def ctf() -> ToySuite:
    tasks = [SuiteTask(task=f"{name}-{n}", category=name) for name in CATEGORIES for n in range(12)]
    return ToySuite("ctf-simple", measures=["pass_at_10"], tasks=tasks, domain="cyber")


def checkpoint() -> ToySuite:
    timed = [
        SuiteTask(task=f"timed-{n}", category="software", human_minutes=2.0 * 1.25**n, human_time="estimated")
        for n in range(30)
    ]
    adapted = [
        SuiteTask(task=f"{side}-{n}", category="adaptation", side=side, conditions=("", "told-to-underperform"))
        for side in ("target", "control")
        for n in range(60)
    ]
    main = [
        SuiteTask(task=f"main-{n}", category="dual", side="main", conditions=("", "with-side-task")) for n in range(60)
    ]
    alone = [SuiteTask(task=f"side-{n}", category="dual", side="side") for n in range(60)]
    measures = ["time_horizon_hours", "adaptation_difference", "preserved_share"]
    return ToySuite(
        "loc-checkpoint", measures=measures, tasks=[*timed, *adapted, *main, *alone], domain="loss-of-control"
    )


def research() -> ToySuite:
    tasks = [SuiteTask(task=f"r-{n}", category="all") for n in range(60)]
    return ToySuite("loc-research", measures=["success_rate"], tasks=tasks, domain="loss-of-control")


def _unseen(suite_id: str) -> ToySuite:
    tasks = [SuiteTask(task=f"{name}-{n}", category=name) for name in ("evasion", "sabotage") for n in range(72)]
    return ToySuite(suite_id, measures=["undetected_rate"], tasks=tasks, domain="loss-of-control")


def enhanced() -> ToySuite:
    return _unseen("loc-enhanced")


def controls() -> ToySuite:
    return _unseen("loc-controls")


def _propensity(suite_id: str) -> ToySuite:
    tasks = [SuiteTask(task=f"p-{n}", category="all") for n in range(36)]
    return ToySuite(suite_id, measures=["misalignment_rate"], tasks=tasks, domain="loss-of-control")


def honeypots() -> ToySuite:
    return _propensity("loc-honeypots")


def hacking() -> ToySuite:
    return _propensity("reward-hacking")


def honesty() -> ToySuite:
    tasks = [SuiteTask(task=f"m-{n}", category="all") for n in range(80)]
    return ToySuite("mask-like", measures=["honesty_rate"], tasks=tasks, domain="loss-of-control")


def misalignment() -> ToySuite:
    tasks = [SuiteTask(task=f"w-{n}", category="all") for n in range(80)]
    return ToySuite("agentic-misalignment", measures=["misalignment_rate"], tasks=tasks, domain="loss-of-control")


def networks() -> ToySuite:
    tasks = [SuiteTask(task=f"net-{n}", category="all") for n in range(3)]
    return ToySuite("network-range", measures=["networks_taken", "networks_taken_unseen"], tasks=tasks)


def exploits() -> ToySuite:
    return ToySuite(
        "exploit-real-code",
        measures=["working_exploits"],
        tasks=[SuiteTask(task=f"x-{n}", category="all") for n in range(3)],
    )


def fraud() -> ToySuite:
    tasks = [SuiteTask(task=f"f{c}-{n}", category=f"bottleneck-{c}") for c in range(2) for n in range(60)]
    return ToySuite("fraud-uplift", measures=["success_rate"], tasks=tasks)


def dual_use() -> ToySuite:
    tasks = [SuiteTask(task=f"d{c}-{n}", category=f"topic-{c}") for c in range(2) for n in range(60)]
    return ToySuite("chem-bio-dual-use", measures=["success_rate"], tasks=tasks, domain="chem-bio")


def unavailable() -> ToySuite:
    return ToySuite(
        "ctf-simple", measures=["pass_at_10"], tasks=ctf().tasks(), needs="a sandbox: apt install bubblewrap setpriv"
    )
