"""The safety-case argument as pages show it: the drawing, and below it every claim with what it rests on.

A click on a box leads to its claim below; a claim leads on to the claims that carry it, to the finding of its gate and
to the estimates, and back up to what it supports.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safecase.assess import ArgumentError, Case, argument_in, kept_estimates, standing, standing_arguments
from safecase.console._overview import GateLine, Measured, gate_lines, measured_lines
from safecase.console._part import attempt
from safecase.decide import TOP, Argument, Defeater, Node
from safecase.evidence import Estimate
from safecase.report import draw_argument, themed

WORDS: Mapping[str, str] = {
    "supported": "supported",
    "excepted": "by exception",
    "undecided": "not supported yet",
    "refuted": "refuted",
    "set-aside": "not called for",
}
_TONES: Mapping[str, str] = {"supported": "good", "excepted": "open", "undecided": "open", "refuted": "bad"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimView:
    """A node of the argument and all that it is tied to.

    Attributes:
        anchor: its id on the page.
        above, below: (anchor, text) of what it supports and of what supports it.
        state, tone: in words; empty for what has none.
        gates: findings of the gate it speaks of, in this context.
        measured: the estimates it rests on, of an item of evidence.
    """

    anchor: str
    node: Node
    state: str
    tone: str
    above: tuple[tuple[str, str], ...]
    below: tuple[tuple[str, str], ...]
    defeaters: tuple[tuple[str, Defeater], ...]
    gates: tuple[GateLine, ...]
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentView:
    """The argument of one context.

    Attributes:
        svg: the drawing, its colours following the page; markup of our own making.
        parts: (id, text) of the claims that can be drawn alone.
        part: the one that is drawn, None for the whole.
        reopened: claims that are open again, with why. doubts: defeaters that no evidence answers.
        is_kept: whether the decision names an argument.
    """

    context: str
    contexts: tuple[str, ...]
    top: ClaimView
    svg: str
    description: str
    parts: tuple[tuple[str, str], ...]
    part: str | None
    claims: tuple[ClaimView, ...]
    reopened: tuple[ClaimView, ...]
    doubts: tuple[tuple[str, Defeater, str], ...]
    is_kept: bool


def argument_view(case: Case, *, context: str | None, part: str | None, at: dt.datetime) -> ArgumentView:
    """The argument of a context (the case's first by default), drawn whole or below one claim.

    Raises:
        NothingToRead: the case was not measured.
        ArgumentError: there is no such context or part.
    """
    made = standing_arguments(case, at=at)
    argument = argument_in(made, context or made[0].context)
    anchors = {node.node_id: f"c{place}" for place, node in enumerate(argument.nodes)}
    doubts = {one.defeater_id: f"d{place}" for place, one in enumerate(argument.defeaters)}
    try:
        figure = draw_argument(argument, part=part, link=lambda name: f"#{(anchors | doubts).get(name, 'claims')}")
    except KeyError:
        raise ArgumentError(f"nothing in the argument for {argument.context!r} is about {part!r}") from None
    estimates = attempt(lambda: {one.estimate_id: one for one in kept_estimates(case)}).value or {}
    gates = _gates(case, argument, estimates)
    claims = tuple(_claim(argument, node, anchors, doubts, gates, estimates) for node in argument.nodes)
    texts = {claim.node.node_id: claim.node.text for claim in claims}
    return ArgumentView(
        context=argument.context,
        contexts=tuple(one.context for one in made),
        top=next(claim for claim in claims if claim.node.node_id == TOP),
        svg=themed(figure.svg),
        description=figure.description,
        parts=tuple(_parts(case, argument)),
        part=part,
        claims=claims,
        reopened=tuple(claim for claim in claims if claim.node.moved),
        doubts=tuple(
            (doubts[one.defeater_id], one, texts.get(one.target, one.target))
            for one in argument.defeaters
            if one.state != "rebutted"
        ),
        is_kept=(case.path / "argument.json").exists(),
    )


def _gates(case: Case, argument: Argument, estimates: Mapping[str, Estimate]) -> dict[str, tuple[GateLine, ...]]:
    stands = standing(case)
    found: dict[str, tuple[GateLine, ...]] = {}
    for line in gate_lines(case, stands.findings if stands else (), estimates, argument.context):
        found[line.finding.gate] = (*found.get(line.finding.gate, ()), line)
    return found


def _claim(
    argument: Argument,
    node: Node,
    anchors: Mapping[str, str],
    doubts: Mapping[str, str],
    gates: Mapping[str, tuple[GateLine, ...]],
    estimates: Mapping[str, Estimate],
) -> ClaimView:
    texts = {one.node_id: one.text for one in argument.nodes}
    above = [link.source for link in argument.links if link.target == node.node_id]
    return ClaimView(
        anchor=anchors[node.node_id],
        node=node,
        state=WORDS[node.state] if node.state else "",
        tone=_TONES.get(node.state or "", "none"),
        above=_named(above, anchors, texts),
        below=_named(argument.supports(node.node_id), anchors, texts),
        defeaters=tuple((doubts[one.defeater_id], one) for one in argument.against(node.node_id)),
        gates=gates.get(node.about, ()) if node.kind in {"goal", "solution"} else (),
        measured=measured_lines(node.evidence, estimates),
    )


def _named(names: Sequence[str], anchors: Mapping[str, str], texts: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((anchors[name], texts[name]) for name in dict.fromkeys(names))


def _parts(case: Case, argument: Argument) -> list[tuple[str, str]]:
    """Outcomes, and domains that have areas in place of outcomes."""
    about = {node.about: node.text for node in reversed(argument.nodes) if node.kind == "goal" and node.about}
    entries = [name for domain in case.framework.domains for name in ([o.id for o in domain.outcomes] or [domain.id])]
    return [(name, about[name]) for name in entries if name in about]
