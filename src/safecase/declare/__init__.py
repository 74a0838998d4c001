"""Turn written frameworks into checked values.

Takes:  pack, case, model-spec and exercise files (YAML).
Gives:  `Framework`, `CaseSpec`, `ModelSpec`, exercise records, their JSON Schemas, and the difference of two packs.
Does not own: scenarios, measuring, deciding. A gate is data here; `decide` holds it against evidence.
"""

from safecase.declare._case import (
    Bank,
    Benefit,
    Budget,
    CaseSpec,
    ExpertTier,
    Generation,
    ModelVersion,
    ReferenceMember,
    Sampling,
    load_case,
)
from safecase.declare._errors import DeclareError, PackError, Problem, UnknownName
from safecase.declare._framework import (
    Capability,
    Change,
    Context,
    Criterion,
    Domain,
    Framework,
    FrontierTest,
    Gate,
    Id,
    Inclusion,
    Limit,
    Outcome,
    Record,
    Role,
    Scope,
    Suite,
    ThreatScenario,
    Threshold,
    Tier,
    Triggers,
)
from safecase.declare._packs import load_framework, pack_path, resolve_context, shipped_packs
from safecase.declare._spec import ModelSpec, Principle, load_model_spec
from safecase.declare._yaml import Document

__all__ = [
    "Bank",
    "Benefit",
    "Budget",
    "Capability",
    "CaseSpec",
    "Change",
    "Context",
    "Criterion",
    "DeclareError",
    "Document",
    "Domain",
    "ExpertTier",
    "Framework",
    "FrontierTest",
    "Gate",
    "Generation",
    "Id",
    "Inclusion",
    "Limit",
    "ModelSpec",
    "ModelVersion",
    "Outcome",
    "PackError",
    "Principle",
    "Problem",
    "Record",
    "ReferenceMember",
    "Role",
    "Sampling",
    "Scope",
    "Suite",
    "ThreatScenario",
    "Threshold",
    "Tier",
    "Triggers",
    "UnknownName",
    "load_case",
    "load_framework",
    "load_model_spec",
    "pack_path",
    "resolve_context",
    "shipped_packs",
]
