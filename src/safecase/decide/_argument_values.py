"""What a safety-case argument is made of: nodes and links of the Goal Structuring Notation, and defeaters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

NodeKind = Literal["goal", "strategy", "solution", "context", "assumption"]
"""As in GSN community standard 3: claims, ways to argue them, items of evidence, and what they are meant in."""

Pattern = Literal["decomposition", "frontier-test", "inability", "control", "trustworthiness", "safeguard"]
"""How a claim is argued. `inability`: the model cannot; `control`: it would be seen and stopped; `trustworthiness`: it
does not tend to; `safeguard`: what is asked for is withheld; `frontier-test`: too little compute to be able."""

ClaimState = Literal["supported", "excepted", "undecided", "refuted", "set-aside"]
"""`excepted`: people opened it by a signed exception; `set-aside`: nothing calls for it here, so it carries nothing."""

Confidence = Literal["none", "low", "moderate", "high"]
CONFIDENCES: tuple[Confidence, ...] = ("none", "low", "moderate", "high")

DefeaterKind = Literal[
    "sandbagging",
    "under-elicitation",
    "uncovered-scenario",
    "uncalibrated-judge",
    "open-incident",
    "broken-condition",
]
DefeaterState = Literal["open", "rebutted", "accepted"]
Relation = Literal["supported-by", "in-context-of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the argument.

    Attributes:
        node_id: stable: made of ids of the framework.
        about: the domain, outcome, scenario, area or gate it speaks of; "" for the whole.
        state, confidence: of goals and strategies; None for the others.
        pattern: of strategies.
        citation: where the framework says so, "" where it does not.
        evidence: estimate ids, of solutions.
        rests_on: digest of the finding, the estimates and the determination it rests on itself, not through others.
        moved: why it is open again since people last settled the argument; empty when it is not.
    """

    node_id: str
    kind: NodeKind
    text: str
    about: str = ""
    state: ClaimState | None = None
    confidence: Confidence | None = None
    pattern: Pattern | None = None
    citation: str = ""
    evidence: tuple[str, ...] = ()
    rests_on: str = ""
    moved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`source` is supported by, or meant in the context of, `target`."""

    source: str
    target: str
    relation: Relation = "supported-by"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defeater:
    """A reason to doubt a claim.

    Attributes:
        target: node id of the claim or strategy it speaks against.
        by: the evidence that rebuts it, or the people who accepted it; "" while it is open.
        digest: over its words and what its target rests on. An acceptance names it, and lapses when it changes.
    """

    defeater_id: str
    kind: DefeaterKind
    target: str
    text: str
    state: DefeaterState
    by: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A verified, signed word that a doubt is lived with. It never raises confidence over `low`."""

    digest: str
    reason: str
    signers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """What happened after the assessment: an incident, or a condition that no longer holds.

    Attributes:
        touches: ids of domains, outcomes, scenarios, areas or gates; empty for the whole.
        contexts: deployment contexts; empty for every one.
        closed: how it was closed, None while it is open.
    """

    concern_id: str
    kind: Literal["incident", "condition"]
    what: str
    touches: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    closed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """What a claim stood on when people last settled the argument.

    Attributes:
        rests_on: as in `Node`. open: ids of the defeaters that were open against it.
    """

    rests_on: str
    open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """The argument that a deployment in one context is acceptably safe.

    Attributes:
        nodes: depth first from the top claim, each once.
        basis: node id -> what it stood on; the argument's own footing where nothing was settled before.
    """

    context: str
    framework: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    defeaters: tuple[Defeater, ...]
    basis: Mapping[str, Footing] = field(default_factory=dict)

    @property
    def top(self) -> Node:
        """The claim that all others support."""
        return self.nodes[0]

    @property
    def moved(self) -> tuple[Node, ...]:
        """The claims that are open again."""
        return tuple(node for node in self.nodes if node.moved)

    def node(self, node_id: str) -> Node:
        """The node of that id.

        Raises:
            KeyError: there is none.
        """
        return {node.node_id: node for node in self.nodes}[node_id]

    def supports(self, node_id: str) -> tuple[str, ...]:
        """Ids of what supports a node, in order."""
        return tuple(x.target for x in self.links if x.source == node_id and x.relation == "supported-by")

    def against(self, node_id: str) -> tuple[Defeater, ...]:
        """The defeaters of a node."""
        return tuple(defeater for defeater in self.defeaters if defeater.target == node_id)

    def footing(self) -> dict[str, Footing]:
        """What every claim stands on now."""
        return {
            node.node_id: Footing(
                rests_on=node.rests_on,
                open=tuple(d.defeater_id for d in self.against(node.node_id) if d.state == "open"),
            )
            for node in self.nodes
            if node.state is not None
        }
