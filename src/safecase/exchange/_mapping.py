"""What fields of another tool's record become fields of a trial."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from safecase.exchange._errors import ExchangeError
from safecase.exchange._sample import Sample

FIELDS = (
    "attack",
    "category",
    "domain",
    "family",
    "harmful",
    "held_out",
    "intent_id",
    "language",
    "scenario_id",
    "severity",
    "subcategory",
)
"""Fields of a trial that a mapping may fill."""

DOMAINS = frozenset({"cyber", "chem-bio", "loss-of-control", "content-policy"})
_YES, _NO = frozenset({"true", "yes", "1", "harmful", "unsafe"}), frozenset({"false", "no", "0", "benign", "safe"})

_HAZARDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "chem-bio",
        re.compile(
            r"wmdp(?!.*cyber)|chem|biolog|bio.?weapon|bio.?risk|bio.?threat|bio.?secur|\bbio\b|_bio\b|lab.?bench|virology"
            r"|\bvct\b|cbrn|pathogen|toxin|nerve.?agent|radiolog|nuclear|indiscriminate|mass.?destruction|\bwmds?\b"
            r"|protocol.?qa|seq.?qa|cloning.?scenario"
        ),
    ),
    (
        "cyber",
        re.compile(
            r"cyber|cybench|cyse|malware|malicious.?code|exploitation\.|\bexploits?\b|\bctf\b|_ctf|intercode|sec.?qa"
            r"|hacking|vulnerab|\bcve\b|\bcve_|ransomware|phish|spyware|rootkit|keylogg|botnet|ddos"
        ),
    ),
)
"""Names of suites, probes and categories whose answers are kept sealed. Where in doubt, an answer is sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """Where fields of a trial come from, beyond what the record says under their own names.

    Attributes:
        paths: field -> dotted path into the tool's record, such as `metadata.category` or `vars.harm.0`.
        values: field -> one value for every sample.
    """

    paths: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def said(self) -> dict[str, str]:
        """The mapping for people and for the ledger."""
        return {**dict(self.paths), **{name: f"={value}" for name, value in self.values.items()}}

    def find(self, sample: Sample, name: str) -> Any:
        """The value of a field, None where the sample does not say.

        Raises:
            ExchangeError: the value is none that the field can have.
        """
        found = self.values.get(name)
        if found is None and name in self.paths:
            found = _reach(sample.record, self.paths[name])
        if found is not None:
            return _typed(name, found, sample)
        own = sample.fields.get(name)
        return _typed(name, own, sample) if own is not None and _fits(name, own, sample) else None

    def unfit(self, sample: Sample) -> tuple[str, ...]:
        """Fields that the record has under our names and means otherwise, such as a severity of `high`. Left aside."""
        return tuple(name for name, value in sample.fields.items() if name in FIELDS and not _fits(name, value, sample))


def parse_field_map(paths: Iterable[str], values: Iterable[str]) -> FieldMap:
    """Read `FIELD=PATH` and `FIELD=VALUE` pairs of a command line.

    >>> parse_field_map(["category=metadata.kind"], ["harmful=true"]).said
    {'category': 'metadata.kind', 'harmful': '=true'}

    Raises:
        ExchangeError: not a pair, or no field that can be mapped.
    """
    return FieldMap(paths=_pairs(paths, option="--map"), values=_pairs(values, option="--set"))


def domain_of(sample: Sample, mapping: FieldMap, category: str | None) -> str | None:
    """The risk domain of a sample: as mapped, or told from its names; None when nothing tells.

    A name can only move a sample into a domain whose answers are sealed.
    """
    stated = mapping.find(sample, "domain")
    if stated is not None:
        return str(stated)
    if category in DOMAINS:
        return category
    said = (sample.task, category, mapping.find(sample, "subcategory"), sample.fields.get("domain"))
    names = " ".join(str(name) for name in said if name is not None).lower()
    return next((domain for domain, pattern in _HAZARDS if pattern.search(names)), None)


def _pairs(texts: Iterable[str], *, option: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value or name not in FIELDS:
            raise ExchangeError(f"{option} is {text!r}; write FIELD=..., with FIELD one of {', '.join(FIELDS)}")
        found[name] = value
    return MappingProxyType(found)


def _reach(record: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(record, Mapping):
            record = record.get(step)
        elif isinstance(record, list) and step.isdigit() and int(step) < len(record):
            record = record[int(step)]
        else:
            return None
    return record


def _typed(name: str, value: Any, sample: Sample) -> Any:
    if name in {"harmful", "held_out"}:
        word = str(value).strip().lower()
        if word in _YES | _NO:
            return word in _YES
        raise _no(sample, name, value, "true or false")
    if name == "severity":
        if str(value) in {"1", "2", "3", "4"}:
            return int(value)
        raise _no(sample, name, value, "1 to 4")
    if isinstance(value, bool | Mapping | list):
        raise _no(sample, name, value, "text")
    text = " ".join(str(value).split())
    if name == "domain" and text not in DOMAINS:
        raise _no(sample, name, value, f"one of {', '.join(sorted(DOMAINS))}")
    return text or None


def _fits(name: str, value: Any, sample: Sample) -> bool:
    try:
        return _typed(name, value, sample) is not None
    except ExchangeError:
        return False


def _no(sample: Sample, name: str, value: Any, wanted: str) -> ExchangeError:
    said = f"{sample.where}: {name} is {value!r:.60}, it must be {wanted}"
    return ExchangeError(f"{said}; map it from another place with --map {name}=PATH, or --set {name}=VALUE")
