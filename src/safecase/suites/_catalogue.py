"""The suites that ship, by the id that packs name them with: an explicit list, loaded when asked for."""

from collections.abc import Mapping
from importlib import import_module

from safecase.declare import Suite as DeclaredSuite
from safecase.models import MissingPackage
from safecase.suites._errors import SuiteMissing
from safecase.suites._inspect import InspectSuite
from safecase.suites._suite import Suite

SHIPPED: Mapping[str, str] = {
    "agent-injection": "safecase.suites.injection:injection_suite",
    "agentic-misalignment": "safecase.suites.misalignment:misalignment_suite",
    "ctf-simple": "safecase.suites.cyber:ctf_suite",
    "eval-awareness": "safecase.suites.awareness:awareness_suite",
    "insecure-code": "safecase.suites.insecure_code:insecure_code_suite",
    "interpreter-abuse": "safecase.suites.interpreter:interpreter_suite",
    "loc-checkpoint": "safecase.suites.checkpoint:checkpoint_suite",
    "loc-controls": "safecase.suites.arena:controls_suite",
    "loc-enhanced": "safecase.suites.arena:attacker_suite",
    "loc-honeypots": "safecase.suites.arena:honeypot_suite",
    "mask-like": "safecase.suites.honesty:honesty_suite",
    "reward-hacking": "safecase.suites.hacking:hacking_suite",
}
"""Suite id -> `module:function`, a function without arguments that gives the `Suite`."""


def load_suite(suite_id: str, *, plugin: str | None = None, declared: DeclaredSuite | None = None) -> Suite:
    """The suite of that id: another package's where one is named, an Inspect task's, or one that ships.

    Args:
        plugin: `module:function`.
        declared: the pack's entry, where an Inspect task may be named.

    Raises:
        SuiteMissing: none has that id, or what is named is no suite of that id; the message says what to do.
    """
    if plugin is None and declared is not None and declared.inspect is not None:
        return InspectSuite(declared)  # what the pack names goes before what ships
    place = plugin or SHIPPED.get(suite_id)
    if place is None:
        raise SuiteMissing(f"suite {suite_id!r} does not ship; those that do: {', '.join(sorted(SHIPPED)) or 'none'}")
    module, _, name = place.partition(":")
    try:
        suite = getattr(import_module(module), name)()
    except (ImportError, AttributeError, MissingPackage) as fault:
        raise SuiteMissing(f"suite {suite_id!r}: {place!r} cannot be loaded ({fault})") from fault
    if not isinstance(suite, Suite) or suite.id != suite_id:
        raise SuiteMissing(f"suite {suite_id!r}: {place!r} gives {type(suite).__name__}, no suite of that id")
    return suite
