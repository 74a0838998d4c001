"""What changes from one framework to another, field by field, with the reason where the changelog gives one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from safecase.declare._framework import Change, Framework, Record, Threshold

Kind = Literal[
    "framework",
    "role",
    "tier",
    "context",
    "domain",
    "outcome",
    "scenario",
    "capability",
    "suite",
    "gate",
    "term",
    "rule",
]
How = Literal["added", "removed", "changed"]

_CONTAINERS = {"outcomes", "threat_scenarios"}
"""Fields that hold entries of their own; those are compared by id, not as part of their holder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field with both values, as JSON values; None where one side does not have it."""

    field: str
    before: Any  # JSON is what the field holds
    after: Any

    def __str__(self) -> str:
        return f"{self.field}: {_show(self.before)} -> {_show(self.after)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryChange:
    """One entry that differs.

    Attributes:
        title: what people call it, in the newer framework where it is in both.
        fields: the fields that differ; empty for what was added or removed.
        reasons: the lines of the newer changelog that speak of it, each with its reason.
    """

    kind: Kind
    id: str
    how: How
    title: str
    fields: tuple[FieldChange, ...] = ()
    reasons: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkDiff:
    """Every entry that differs between two frameworks, in the order of the newer pack."""

    before: str
    after: str
    entries: tuple[EntryChange, ...]

    def of(self, kind: Kind, how: How | None = None) -> tuple[EntryChange, ...]:
        """The entries of one kind, and of one way of differing where that is given."""
        return tuple(entry for entry in self.entries if entry.kind == kind and how in (None, entry.how))

    def lines(self) -> tuple[str, ...]:
        """The difference for people: a line an entry, its fields and reasons below it."""
        out = [f"{self.before} -> {self.after}: {len(self.entries)} entries differ"]
        signs = {"added": "+", "removed": "-", "changed": "~"}
        for entry in self.entries:
            out.append(f"{signs[entry.how]} {entry.kind} {entry.id}: {entry.title}")
            out += [f"    {change}" for change in entry.fields]
            out += [f"    why: {change.reason}" for change in entry.reasons]
        return tuple(out)

    def to_json(self) -> dict[str, Any]:
        """The difference as a JSON value."""
        return {
            "before": self.before,
            "after": self.after,
            "entries": [
                {
                    "kind": entry.kind,
                    "id": entry.id,
                    "how": entry.how,
                    "title": entry.title,
                    "fields": [{"field": c.field, "before": c.before, "after": c.after} for c in entry.fields],
                    "reasons": [{"change": change.change, "reason": change.reason} for change in entry.reasons],
                }
                for entry in self.entries
            ],
        }


def diff(before: Framework, after: Framework) -> FrameworkDiff:
    """Compare two frameworks entry by entry.

    >>> from safecase.declare import load_framework
    >>> changes = diff(load_framework("frontier-v1.1"), load_framework("scaling-v2"))
    >>> [entry.id for entry in changes.of("domain", "added")]
    ['loss-of-control', 'watch-list']
    """
    old, new = dict(_entries(before)), dict(_entries(after))
    fresh = [change for change in after.changelog if change not in before.changelog]
    came_or_went = {name for _, name in old.keys() ^ new.keys()}
    found: list[EntryChange] = []
    for key in [*new, *(key for key in old if key not in new)]:
        kind, entry_id = key
        entry = new.get(key) or old[key]
        how: How = "changed" if key in old and key in new else "added" if key in new else "removed"
        fields = tuple(_field_changes(old[key], new[key])) if how == "changed" else ()
        if how == "changed" and not fields:
            continue
        homes = _homes(after if key in new else before, kind, entry_id)
        if kind in ("gate", "suite"):  # new words for a domain do not explain a new line in it; a new domain does
            homes = tuple(home for home in homes if home in came_or_went)
        found.append(
            EntryChange(
                kind=kind,
                id=entry_id,
                how=how,
                title=str(
                    entry.get("title") or entry.get("meaning") or entry.get("text") or "frontier test, triggers, review"
                ),
                fields=fields,
                reasons=_reasons(fresh, entry_id, homes),
            )
        )
    return FrameworkDiff(before=before.id, after=after.id, entries=tuple(found))


def _entries(framework: Framework) -> Iterator[tuple[tuple[Kind, str], Mapping[str, Any]]]:
    # Id, title, version and date of a pack always differ and are said in the first line. `cites` of an entry stays
    # in: it tells where a wording comes from.
    process = {"review_every_months", "frontier_test", "triggers"}
    yield ("framework", "process"), framework.model_dump(mode="json", include=process)
    lists: tuple[tuple[Kind, tuple[Record, ...]], ...] = (
        ("role", framework.roles),
        ("term", framework.terms),
        ("rule", framework.rules),
        ("tier", framework.tiers),
        ("context", framework.contexts),
        ("capability", framework.capabilities),
    )
    for kind, records in lists:
        for record in records:
            yield _keyed(kind, record)
    for domain in framework.domains:
        yield _keyed("domain", domain)
        for outcome in domain.outcomes:
            yield _keyed("outcome", outcome)
            for scenario in outcome.threat_scenarios:
                yield _keyed("scenario", scenario)
    for suite in framework.suites:
        yield _keyed("suite", suite)
    for gate in framework.gates:
        yield _keyed("gate", gate)


def _keyed(kind: Kind, record: Record) -> tuple[tuple[Kind, str], Mapping[str, Any]]:
    values = record.model_dump(mode="json", exclude=_CONTAINERS)
    return (kind, values["id"]), values


def _field_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[FieldChange]:
    before, after = dict(_flat(old)), dict(_flat(new))
    for field in [*after, *(field for field in before if field not in after)]:
        if before.get(field) != after.get(field):
            yield FieldChange(field=field, before=before.get(field), after=after.get(field))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _homes(framework: Framework, kind: Kind, entry_id: str) -> tuple[str, ...]:
    """The ids that an entry belongs to, nearest first: its outcomes, then its domains."""
    if kind == "gate":
        gate = framework.gate(entry_id)
        return (*gate.bears_on, *dict.fromkeys(framework.domain_of(entry).id for entry in gate.bears_on))
    homes: dict[str, None] = {}
    for domain in framework.domains:
        for outcome in domain.outcomes:
            scenarios = outcome.threat_scenarios
            inside = {
                "outcome": outcome.id == entry_id,
                "scenario": any(scenario.id == entry_id for scenario in scenarios),
                "capability": any(entry_id in scenario.capabilities for scenario in scenarios),
            }.get(kind, False)
            if inside:
                homes |= dict.fromkeys((outcome.id, domain.id))
    for gate in framework.gates if kind == "suite" else ():
        if gate.suite == entry_id:
            homes |= dict.fromkeys((gate.id, *_homes(framework, "gate", gate.id)))
    return tuple(homes)


def _reasons(changelog: list[Change], entry_id: str, homes: tuple[str, ...]) -> tuple[Change, ...]:
    """What the changelog says of the entry itself, or else of the nearest thing that holds it."""
    for name in (entry_id, *homes):
        if said := tuple(change for change in changelog if name in change.touches):
            return said
    return ()


def _show(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list) and value and all(isinstance(item, dict) and "passes" in item for item in value):
        return "; ".join(str(Threshold.model_validate(item)) for item in value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
