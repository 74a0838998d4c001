"""The one table of numbers: every number a report prints has an id, a value, and a way to recompute it."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from safecase.decide import percent
from safecase.declare import Gate, Limit
from safecase.evidence import Estimate, digest_value
from safecase.report._errors import UntracedNumber
from safecase.report._input import JudgeLine, LayerLine, ReportInput, Share

FRAMEWORK, FINDINGS, DETERMINATION, DECISION = "framework", "findings.json", "determination.json", "decision.json"
CASE, PLAN, LEDGER = "safecase.yaml", "plan.json", "ledger.jsonl"

_COUNTS = frozenset({"networks_taken", "networks_taken_unseen", "working_exploits"})
_SIGNED = frozenset({"signed_substance_gap", "signed_leaning"})
_POINTS = frozenset({"signed_refusal_gap", "signed_acknowledgement_gap", "discernment"})
"""Differences of shares that one arm has by itself, in percentage points; `signed_effort_gap` is the log of a ratio."""
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_LAYER_COUNTS = ("asked", "stopped", "stopped_alone", "alone_unknown", "failed")
_NUMBER = re.compile(
    r"(?<![\w.^/:#-])(?:[+-](?=\d))?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?:\^\d+)?(?: ?%)?(?![\w^]|[.,/:-]\d|-\w)"
)
"""A number that stands by itself: not part of a name, a version, a date, a section or an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A printed number.

    Attributes:
        text: as printed, in every edition.
        query: how to recompute it. `kind` is one of
            `estimate` (estimate_id, field, measure, arm, group, alpha; recomputed from trials and judgements),
            `count` (of, where; counted over the evidence),
            `tally` (of, where; counted over findings),
            `suite` (suite, arm, field; recomputed from the suite's attempts and reviews),
            `file` (file, JSON pointer), `pack` (framework, JSON pointer),
            `quote` (file, JSON pointer of a sentence, index of the number in it),
            `campaign` (campaign, file, JSON pointer; counted again from the rows of that file, and these from what
            people said; or of, after, to: what the ledger says came in after it was counted),
            `ledger` (of, after, to; entries of that action after one head and up to another),
            `validation` (file, group, field; recomputed from what became of each seed),
            `layer` (arm, layer, field; recomputed from rulings, trials and judgements),
            `card` (of, name, field; a judge's or classifier's card).
        evidence_digest: SHA-256 of what it was computed from.
        n, low, high: for measured proportions.
    """

    value: float | int | str | None
    text: str
    query: Mapping[str, Any]  # JSON
    evidence_digest: str
    n: int | None = None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in report.json."""
        return {
            "value": self.value,
            "text": self.text,
            "n": self.n,
            "low": self.low,
            "high": self.high,
            "query": dict(self.query),
            "evidence_digest": self.evidence_digest,
        }


def power(value: float) -> str:
    """A large number as print has it.

    >>> power(1e26), power(2.16e18)
    ('10²⁶', '2.16 × 10¹⁸')
    """
    mantissa, exponent = f"{value:.2e}".split("e")
    ten = f"10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    mantissa = mantissa.rstrip("0").rstrip(".")
    return ten if mantissa == "1" else f"{mantissa} × {ten}"


def printable(given: ReportInput) -> dict[str, Number]:
    """Every number that a report on this input may print, by id.

    Numbers inside quoted sentences (reasons, limits, conditions) join the table when a document quotes them.
    """
    table: dict[str, Number] = {}
    for part in (_of_estimates, _of_gates, _of_counts, _of_layers, _of_validations, _of_cards, _of_settings):
        table.update(part(given))
    return table


def measured_text(measure: str, arm: str, value: float | None) -> str:
    """A measured value in the unit of its measure; "not measured" without one."""
    if value is None:
        return "not measured"
    if measure == "signed_effort_gap":
        return f"×{math.exp(value):.2f}"
    if measure in _SIGNED:
        return f"{value + 0.0:+.2f}".replace("-", "−")
    if arm == "guarded-bare" or measure in _POINTS:
        return f"{value * 100:+.1f} pp".replace("-", "−")
    if measure == "time_horizon_hours":
        return f"{value:.1f} h" if value >= 1 else f"{60 * value:.1f} min"
    return f"{value:g}" if measure in _COUNTS else percent(value)


def estimate_text(estimate: Estimate, value: float | None) -> str:
    """One of an estimate's figures; a time of skilled people says whether it was measured on any."""
    text = measured_text(estimate.measure, estimate.arm, value)
    times = estimate.scope.get("human_times")
    return f"{text} (human time {times})" if times and value is not None else text


def limit_text(measure: str, limit: Limit) -> str:
    """A line's figure in the unit of its measure."""
    if measure == "time_horizon_hours":
        return f"{limit.value:g} h"
    if measure in _COUNTS:
        return f"{limit.value:g}"
    return f"{limit.value * 100:g}%"


def _of_estimates(given: ReportInput) -> Iterator[tuple[str, Number]]:
    for estimate in given.estimates:
        fields = {
            "": estimate.value,
            "/low": estimate.low,
            "/high": estimate.high,
            "/lower_bound": estimate.lower_bound,
            "/upper_bound": estimate.upper_bound,
            "/failure_lower": estimate.failure_lower,
            "/failure_upper": estimate.failure_upper,
            "/observed": estimate.observed,
        }
        for suffix, value in fields.items():
            text = estimate_text(estimate, value)
            is_share = estimate.measure not in _SIGNED and estimate.measure != "signed_effort_gap"
            interval = (estimate.low, estimate.high) if suffix == "" and is_share else (None, None)
            yield estimate.estimate_id + suffix, _measured(estimate, suffix, value, text, *interval)
        for suffix, count in (("/n", estimate.n), ("/clusters", estimate.clusters), ("/absent", estimate.absent)):
            yield estimate.estimate_id + suffix, _measured(estimate, suffix, count, f"{count:,}", None, None)
        name, bias, compared = estimate.estimate_id, *map(estimate.scope.get, ("selection_bias", "compared"))
        if isinstance(compared, int):
            yield f"{name}/compared", _measured(estimate, "/compared", compared, f"{compared}", None, None)
        if isinstance(bias, float):
            text = f"{bias * 100:+.1f} pp".replace("-", "−")
            yield f"{name}/selection_bias", _measured(estimate, "/selection_bias", bias, text, None, None)
        for end in ("population_low", "population_high"):
            if isinstance(edge := estimate.scope.get(end), float):
                text = estimate_text(estimate, edge)
                yield f"{name}/{end}", _measured(estimate, f"/{end}", edge, text, None, None)
        level = f"{estimate.level:.0%}"
        yield f"{estimate.estimate_id}/level", _measured(estimate, "/level", estimate.level, level, None, None)


def _measured(
    estimate: Estimate, suffix: str, value: float | int | None, text: str, low: float | None, high: float | None
) -> Number:
    query = {
        "kind": "estimate",
        "estimate_id": estimate.estimate_id,
        "field": suffix.removeprefix("/") or "value",
        "measure": estimate.measure,
        "arm": estimate.arm,
        "group": estimate.group,
        "alpha": estimate.scope.get("alpha"),
    }
    return Number(
        value=value,
        text=text,
        query=query,
        evidence_digest=estimate.trial_ids_digest,
        n=estimate.n,
        low=low,
        high=high,
    )


def _of_gates(given: ReportInput) -> Iterator[tuple[str, Number]]:
    digest = framework_digest(given)
    pack = f"{given.framework.id} {given.framework.version}"

    def line(pointer: str, value: float, text: str) -> Number:
        query = {"kind": "pack", "framework": pack, "pointer": pointer}
        return Number(value=value, text=text, query=query, evidence_digest=digest)

    for place, gate in enumerate(given.framework.gates):
        for rank, threshold in enumerate(gate.thresholds):
            for name, limit in (("passes", threshold.passes), ("fails", threshold.fails)):
                if limit is not None:
                    pointer = f"/gates/{place}/thresholds/{rank}/{name}/{_word(limit)}"
                    yield f"gate/{gate.id}/{rank}/{name}", line(pointer, limit.value, limit_text(gate.measure, limit))
        clusters = line(f"/gates/{place}/min_clusters", gate.min_clusters, f"{gate.min_clusters}")
        yield f"gate/{gate.id}/min_clusters", clusters
        yield f"gate/{gate.id}/alpha", line(f"/gates/{place}/alpha", gate.alpha, f"{gate.alpha:g}")
        yield f"gate/{gate.id}/confidence", line(f"/gates/{place}/alpha", 1 - gate.alpha, f"{1 - gate.alpha:.0%}")
    least = given.framework.frontier_test.min_operations
    yield "frontier/min_operations", line("/frontier_test/min_operations", least, power(least))
    months = given.framework.review_every_months
    yield "framework/review_every_months", line("/review_every_months", months, f"{months}")
    triggers = given.framework.triggers
    yield (
        "triggers/compute_multiple",
        line("/triggers/compute_multiple", triggers.compute_multiple, f"{triggers.compute_multiple:g}"),
    )
    yield (
        "triggers/capability_gain",
        line("/triggers/capability_gain", triggers.capability_gain, f"{triggers.capability_gain * 100:g}%"),
    )
    yield (
        "triggers/max_age_months",
        line("/triggers/max_age_months", triggers.max_age_months, f"{triggers.max_age_months}"),
    )


def _of_counts(given: ReportInput) -> Iterator[tuple[str, Number]]:
    totals = given.totals

    def count(of: str, value: int | float | None, where: Mapping[str, str] | None = None, text: str = "") -> Number:
        query = {"kind": "count", "of": of, "where": dict(where or {})}
        shown = text or ("not recorded" if value is None else f"{value:,}")
        return Number(value=value, text=shown, query=query, evidence_digest=given.evidence_root)

    yield "trials/total", count("trials", totals.trials)
    for status, trials in sorted(totals.by_status.items()):
        yield f"trials/status/{status}", count("trials", trials, {"status": status})
    for arm, trials in sorted(totals.by_arm.items()):
        yield f"trials/arm/{arm}", count("trials", trials, {"arm": arm})
    yield "trials/intents", count("intents", totals.intents)
    yield "trials/scenarios", count("scenarios", totals.scenarios)
    yield "trials/labels", count("labels", totals.labels)
    yield "trials/unscored", count("unscored", totals.unscored)
    yield "trials/tokens_in", count("tokens_in", totals.tokens_in)
    yield "trials/tokens_out", count("tokens_out", totals.tokens_out)
    yield "trials/seconds", count("seconds", totals.seconds, text=_duration(totals.seconds))
    yield "samples/total", count("samples", len(given.samples))
    yield from _of_findings(given)


def _of_findings(given: ReportInput) -> Iterator[tuple[str, Number]]:
    rows = [
        {"gate": f.gate, "context": f.context, "verdict": f.verdict, "blocks": f.blocks} for f in given.decided.findings
    ]
    digest = digest_value(rows)

    def tally(of: str, value: int, where: Mapping[str, object]) -> Number:
        query = {"kind": "tally", "of": of, "where": dict(where)}
        return Number(value=value, text=f"{value}", query=query, evidence_digest=digest)

    for context in sorted({proposal.context for proposal in given.decided.proposals}):
        mine = [f for f in given.decided.findings if f.context == context]
        yield f"findings/{context}", tally("findings", len(mine), {"context": context})
        blocking = Counter(f.verdict for f in mine if f.blocks)
        yield f"findings/{context}/blocking", tally("findings", blocking.total(), {"context": context, "blocks": True})
        for verdict, found in sorted(blocking.items()):
            where = {"context": context, "blocks": True, "verdict": verdict}
            yield f"findings/{context}/blocking/{verdict}", tally("findings", found, where)
        for verdict, found in sorted(Counter(f.verdict for f in mine).items()):
            yield f"findings/{context}/{verdict}", tally("findings", found, {"context": context, "verdict": verdict})
    groups = sorted(
        {(e.scope.get("name"), e.arm, e.group.partition(":")[0]) for e in given.estimates if ":" in e.group}
    )
    for name, arm, grouping in groups:
        members = [e for e in given.estimates if e.estimate_id.startswith(f"{name}/{arm}/{grouping}:")]
        where = {"name": name, "arm": arm, "group": f"{grouping}:*"}
        yield f"groups/{name}/{arm}/{grouping}", tally("estimates", len(members), where)


def _of_layers(given: ReportInput) -> Iterator[tuple[str, Number]]:
    for line in given.layers:
        shown = [(field, f"{getattr(line, field):,}") for field in _LAYER_COUNTS]
        times = (("median_ms", line.median_ms), ("p95_ms", line.p95_ms))
        shown += [(field, "not measured" if time is None else f"{time:.2f} ms") for field, time in times]
        for field, text in shown:
            query = {"kind": "layer", "arm": line.arm, "layer": line.layer, "field": field}
            number = Number(value=getattr(line, field), text=text, query=query, evidence_digest=given.evidence_root)
            yield layer_id(line, field), number
        for field, share in (("missed", line.missed), ("over_refused", line.over_refused)):
            query = {"kind": "layer", "arm": line.arm, "layer": line.layer, "field": field}
            yield from _of_share(layer_id(line, field), share, query, given.evidence_root)


def layer_id(line: LayerLine, field: str) -> str:
    """The id of a layer's number."""
    return f"layer/{line.arm}/{line.layer}/{field}"


def _of_validations(given: ReportInput) -> Iterator[tuple[str, Number]]:
    for line in given.validations:
        for found in line.groups:
            name = f"validation/{line.id}/{found.group}"
            query = {"kind": "validation", "file": line.file, "group": found.group}
            counts: dict[str, int] = {"planned": found.planned, "answered": found.answered, "withheld": found.withheld}
            counts |= {way: count for way, count in found.absent.items()}  # noqa: C416 - widens the type of its keys
            for field, count in counts.items():
                said = {**query, "field": field}
                yield f"{name}/{field}", Number(value=count, text=f"{count:,}", query=said, evidence_digest=line.digest)
            for field, part in (("recall", found.recall), ("escalated", found.escalated)):
                share = Share(value=part.value, low=part.low, high=part.high, n=part.n)
                yield from _of_share(f"{name}/{field}", share, {**query, "field": field}, line.digest)
            for field, lags in (("flag_lag", found.flag_lag), ("escalation_lag", found.escalation_lag)):
                for quantile, part in lags.items():
                    for end, value in (("", part.value), ("/low", part.low), ("/high", part.high)):
                        said = {**query, "field": f"{field}/{quantile:g}{end}"}
                        text = "no end" if value is None and end == "/high" else seconds_text(value)
                        lag = Number(value=value, text=text, query=said, evidence_digest=line.digest)
                        yield f"{name}/{field}/{quantile:g}{end}", lag


def seconds_text(value: float | None) -> str:
    """A lag as print has it.

    >>> seconds_text(1.24), seconds_text(None)
    ('1.2 s', 'not measured')
    """
    return "not measured" if value is None else f"{value:,.1f} s"


def _of_cards(given: ReportInput) -> Iterator[tuple[str, Number]]:
    for line_id, line in judge_lines(given):
        digest = line.card_digest or digest_value(asdict(line))
        for field, share in (("sensitivity", line.sensitivity), ("specificity", line.specificity)):
            query = {"kind": "card", "of": "judge", "name": line_id, "field": field}
            yield from _of_share(f"{line_id}/{field}", share, query, digest)
        if line.kappa is not None:
            query = {"kind": "card", "of": "judge", "name": line_id, "field": "kappa"}
            yield (
                f"{line_id}/kappa",
                Number(value=line.kappa, text=f"{line.kappa:.2f}", query=query, evidence_digest=digest),
            )
    for head in given.guard_heads:
        digest = head.card_digest or digest_value(asdict(head))
        fields: dict[str, tuple[float | None, str]] = {
            "auroc": (head.auroc, _or_dash(head.auroc, ".3f")),
            "precision": (head.precision, _or_dash(head.precision, ".1%")),
            "recall": (head.recall, _or_dash(head.recall, ".1%")),
            "rows": (head.rows, _or_dash(head.rows, ",d")),
            "threshold": (head.threshold, _or_dash(head.threshold, ".2f")),
        }
        for field, (value, text) in fields.items():
            query = {"kind": "card", "of": "guard", "name": head.name, "field": field}
            yield f"guard/{head.name}/{field}", Number(value=value, text=text, query=query, evidence_digest=digest)


def _of_share(number_id: str, share: Share, query: Mapping[str, Any], digest: str) -> Iterator[tuple[str, Number]]:
    for suffix, value in (("", share.value), ("/low", share.low), ("/high", share.high)):
        text = "not measured" if value is None else percent(value)
        interval = {"low": share.low, "high": share.high} if suffix == "" else {}
        yield (
            number_id + suffix,
            Number(
                value=value,
                text=text,
                query={**query, "part": suffix[1:] or "value"},
                evidence_digest=digest,
                n=share.n,
                **interval,
            ),
        )
    text = "not measured" if share.n is None else f"{share.n:,}"
    yield f"{number_id}/n", Number(value=share.n, text=text, query={**query, "part": "n"}, evidence_digest=digest)


def _of_settings(given: ReportInput) -> Iterator[tuple[str, Number]]:
    operations = given.facts.training_operations
    query: dict[str, Any] = {"kind": "file", "file": CASE, "pointer": "/model/training_operations"}
    yield (
        "facts/training_operations",
        Number(
            value=operations,
            text="unknown" if operations is None else power(operations),
            query=query,
            evidence_digest=digest_value(given.spec.model_dump(mode="json")),
        ),
    )
    digest = digest_value(dict(given.plan))
    for key in ("scenarios", "trials"):
        if isinstance(given.plan.get(key), int):
            yield f"plan/{key}", _setting(given.plan[key], f"/{key}", digest)
    for part in ("sampling", "generation"):
        for key, value in sorted(given.plan.get(part, {}).items()):
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield f"plan/{part}/{key}", _setting(value, f"/{part}/{key}", digest)
    query = {"kind": "file", "file": "report/report.json", "pointer": "/document/sample_seed"}
    if given.sample_seed is not None:
        yield (
            "samples/seed",
            Number(
                value=given.sample_seed, text=f"{given.sample_seed}", query=query, evidence_digest=given.evidence_root
            ),
        )
    query = {"kind": "file", "file": "report/report.json", "pointer": "/document/edition"}
    yield (
        "edition",
        Number(value=given.edition, text=f"{given.edition}", query=query, evidence_digest=given.ledger_head),
    )


def _setting(value: float, pointer: str, digest: str) -> Number:
    text = f"{value}" if pointer.endswith("seed") else f"{value:,}"
    return Number(
        value=value, text=text, query={"kind": "file", "file": PLAN, "pointer": pointer}, evidence_digest=digest
    )


def judge_lines(given: ReportInput) -> Iterator[tuple[str, JudgeLine]]:
    """The judge card's lines with the id each has in the table."""
    for line in given.judge_card:
        arm = f"/{line.arm}" if line.arm else ""
        yield f"judge/{line.judge}/{line.event}/{line.domain}/{line.language}/{line.source}{arm}", line


def framework_digest(given: ReportInput) -> str:
    """SHA-256 of the framework in force, as the plan has it."""
    return digest_value(given.framework.model_dump(mode="json"))


class Tracer:
    """The numbers a document printed, and those it found inside sentences it quoted.

    A sentence with marked numbers is plain text in which `⟦id⟧` stands for a number; every edition resolves the marks
    through `num`, so that none can print a number without an id.
    """

    def __init__(self, table: Mapping[str, Number]) -> None:
        self._table = dict(table)
        self._used: dict[str, None] = {}

    def num(self, number_id: str) -> Number:
        """The number of that id, noted as printed.

        Raises:
            UntracedNumber: the table has no such id.
        """
        if number_id not in self._table:
            raise UntracedNumber(f"no number has the id {number_id!r}; a report prints only what its table can trace")
        self._used[number_id] = None
        return self._table[number_id]

    def mark(self, number_id: str) -> str:
        """The mark that stands for a number in a sentence.

        Raises:
            UntracedNumber: the table has no such id.
        """
        plain = without_marks(number_id)
        if plain != number_id:  # a group named by an import; its id must not break out of the mark
            self._table[plain] = self.num(number_id)
        self.num(plain)
        return f"⟦{plain}⟧"

    def quote(self, sentence: str, *, file: str, pointer: str, near: Iterable[str] = ()) -> str:
        """Mark the numbers of a sentence that someone else wrote.

        A number that is printed alike in the table joins that id; any other gets an id of its own that leads to the
        sentence.

        Args:
            near: ids the sentence is likely to speak of, best first.
        """
        known = self._spellings(near)
        plain = without_marks(sentence)
        digest = digest_value(plain)
        found = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal found
            token = match.group()
            index, found = found, found + 1
            if token in known:
                return self.mark(known[token])
            number_id = f"quote/{file}{pointer}/{index}"
            query = {"kind": "quote", "file": file, "pointer": pointer, "index": index}
            self._table[number_id] = Number(value=token, text=token, query=query, evidence_digest=digest)
            return self.mark(number_id)

        return _NUMBER.sub(replace, plain)

    @property
    def table(self) -> Mapping[str, Number]:
        """Every number, printed or not."""
        return self._table

    @property
    def printed(self) -> Sequence[str]:
        """Ids of the numbers printed so far, in the table's order."""
        return [number_id for number_id in self._table if number_id in self._used]

    def to_json(self) -> dict[str, Any]:
        """The printed numbers as report.json and the PDF's numbers.json hold them."""
        return {number_id: self._table[number_id].to_json() for number_id in self.printed}

    def _spellings(self, near: Iterable[str]) -> dict[str, str]:
        """How `decide` may have written the numbers of these ids -> id; the first id keeps a spelling."""
        spellings: dict[str, str] = {}
        for number_id in near:
            number = self._table.get(number_id)
            if number is None or not isinstance(number.value, int | float):
                continue
            for text in (number.text, f"{number.value:g}", f"{number.value:.2e}", f"{number.value:.0e}"):
                spellings.setdefault(text, number_id)
            if number.text.startswith("10"):
                spellings.setdefault(f"10^{number.value:.0e}".replace("^1e+", "^"), number_id)
        return spellings


def near_estimates(evidence: Iterable[str], sentence: str, gate: Gate) -> Iterator[str]:
    """Ids a finding's sentence may speak of: the groups it names first, then the others, then the gate's own lines."""
    names = sorted(evidence, key=lambda name: name.rpartition("/")[2] not in sentence)
    for rank in range(len(gate.thresholds)):
        yield f"gate/{gate.id}/{rank}/passes"
        yield f"gate/{gate.id}/{rank}/fails"
    for name in names:
        for suffix in (
            "",
            "/upper_bound",
            "/lower_bound",
            "/failure_lower",
            "/failure_upper",
            "/clusters",
            "/n",
            "/absent",
        ):
            yield name + suffix
    yield f"gate/{gate.id}/min_clusters"


def split_marks(sentence: str) -> Iterator[tuple[bool, str]]:
    """A marked sentence in pieces: (True, id) for a number, (False, text) between them."""
    for place, piece in enumerate(re.split(r"⟦([^⟧]*)⟧", sentence)):
        if piece:
            yield place % 2 == 1, piece


def without_marks(sentence: str) -> str:
    """Text from elsewhere, unable to pose as a mark."""
    return sentence.replace("⟦", "[").replace("⟧", "]")


def _word(limit: Limit) -> str:
    return next(word for word in ("at_most", "at_least", "below", "above") if getattr(limit, word) is not None)


def _or_dash(value: float | None, spec: str) -> str:
    return "not measured" if value is None else format(value, spec)


def _duration(seconds: float | None) -> str:
    """A time as people say it.

    >>> _duration(41.2), _duration(312), _duration(5400)
    ('41 s', '5 min 12 s', '1 h 30 min')
    """
    if seconds is None:
        return "not recorded"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
