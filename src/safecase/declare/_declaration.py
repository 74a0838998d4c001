"""A case read as a whole: its file, the framework it names and the model spec, held against each other."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from safecase.declare._case import CaseSpec
from safecase.declare._errors import PackError, Problem
from safecase.declare._framework import Framework
from safecase.declare._packs import load_framework
from safecase.declare._spec import ModelSpec, load_model_spec
from safecase.declare._yaml import Document, Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """Everything a case declares.

    Attributes:
        folder: the directory that paths in the case are relative to.
    """

    folder: Path
    case: CaseSpec
    framework: Framework
    model_spec: ModelSpec


def load_declaration(path: Path, *, framework: str | None = None) -> Declaration:
    """Read a case with its framework and model spec, and check that the names of one stand in the other.

    Args:
        path: the case directory or its `safecase.yaml`.
        framework: a pack to use in place of the one that the case names; what the case says about gates and contexts
            of its own pack is then not held against it.

    Raises:
        PackError: a file has faults, each with file and line.
        UnknownName: there is no such pack.
    """
    document = Document(path / "safecase.yaml" if path.is_dir() else path)
    case = document.parse(CaseSpec)
    folder = document.path.parent
    pack = load_framework(framework or case.framework, beside=folder)
    if framework is None and (problems := tuple(_faults(case, pack, document))):
        raise PackError(problems)
    return Declaration(
        folder=folder, case=case, framework=pack, model_spec=load_model_spec(case.model_spec, beside=folder)
    )


def _faults(case: CaseSpec, framework: Framework, document: Document) -> Iterator[Problem]:
    def unknown(at: Location, what: str, name: str, known: Collection[str]) -> Iterator[Problem]:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            mend = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"
            yield document.problem(at, f"unknown {what} {name!r} under framework {framework.id!r}", mend)

    if case.budget.cost_usd is not None and case.model.prices is None:
        yield document.problem(
            ("budget", "cost_usd"),
            f"a limit of {case.budget.cost_usd:g} USD needs the model's prices",
            "add `prices: {input: 0.50, output: 1.50}` (USD per million tokens) under `model:`",
        )
    contexts = [context.id for context in framework.contexts]
    domains = [domain.id for domain in framework.domains]
    gates = [gate.id for gate in framework.gates]
    for i, context in enumerate(case.contexts):
        yield from unknown(("contexts", i), "context", context, contexts)
    sharing = [context.id for context in framework.contexts if context.admits == "share"]
    for context in case.shares:
        yield from unknown(("shares", context), "context with a share", context, sharing)
    for domain in case.model.more_capable_than_reference:
        yield from unknown(("model", "more_capable_than_reference", domain), "domain", domain, domains)
    for i, gate in enumerate(case.sampling.gates):
        yield from unknown(("sampling", "gates", i), "gate", gate, gates)
    for i, raised in enumerate(case.expert_tiers):
        yield from unknown(("expert_tiers", i, "domain"), "domain", raised.domain, domains)
