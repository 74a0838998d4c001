"""What a case holds, as tables: named columns with a meaning, rows that stream.

A sealed answer has no column: only that there is one. Values that nest (rulings, turns, scores, scope) are JSON text in
CSV, Parquet and data frames, and JSON in JSON.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import islice
from typing import Any, Literal

from safecase.evidence import Judgement, Trial
from safecase.exchange._errors import MissingExtra

TABLES = Literal["trials", "judgements", "estimates", "findings"]
"""Tables of a case."""

Kind = Literal["text", "integer", "number", "boolean", "list", "json"]
"""What a column holds; every one may be empty. `list` is a list of texts."""

_BATCH = 4096
_SHOWN = 10
_CELL_CHARS = 60


@dataclass(frozen=True, slots=True)
class Column:
    """A column and what it means."""

    name: str
    kind: Kind
    meaning: str


COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "trials": (
        Column("trial_id", "text", "names the attempt"),
        Column("scenario_id", "text", "intent, attack and language"),
        Column("intent_id", "text", "the cluster every estimate is grouped by"),
        Column("harmful", "boolean", "false for a benign twin, on which a refusal is over-refusal"),
        Column("domain", "text", "risk domain"),
        Column("category", "text", "category within the domain"),
        Column("subcategory", "text", "finer than category"),
        Column("severity", "integer", "1 (nuisance) to 4 (mass harm)"),
        Column("bears_on", "list", "outcomes or policy areas"),
        Column("language", "text", "language code of the request"),
        Column("attack", "text", "how the request was wrapped; none for plainly"),
        Column("family", "text", "family of the attack"),
        Column("arm", "text", "bare, trained or guarded"),
        Column("model", "text", "who answered; imported/<file> and external/<file> for others' logs"),
        Column("repetition", "integer", "from 0"),
        Column("attempt", "integer", "from 0, within one episode"),
        Column("prompt", "text", "the last user turn, as sent"),
        Column("turns", "json", "what was said before the prompt"),
        Column("status", "text", "answered, error, timeout, unparsed or not-stored"),
        Column("response", "text", "what the user would have seen; empty where sealed or not answered"),
        Column("is_sealed", "boolean", "true where the answer is kept encrypted in the case and is not given out"),
        Column("response_digest", "text", "SHA-256 of the response"),
        Column("withheld_by", "text", "the safeguard layer that withheld"),
        Column("rulings", "json", "what every safeguard layer did"),
        Column("explanations", "json", "why, in the words of the layers that reason"),
        Column("finish_reason", "text", "as the endpoint said"),
        Column("tokens_in", "integer", "as the endpoint counted"),
        Column("tokens_out", "integer", "as the endpoint counted"),
        Column("latency_s", "number", "seconds from request to last byte"),
        Column("error", "text", "why there is no answer"),
        Column("label", "text", "a person's label that came with the trial"),
        Column("held_out", "boolean", "never shown to whoever trains a model"),
    ),
    "judgements": (
        Column("trial_id", "text", "the attempt judged"),
        Column("judge", "text", "who judged; <tool>/<scorer> for another tool's score"),
        Column("judge_digest", "text", "state of the judge"),
        Column("verdict", "text", "what the answer is, in the words of `measure`; empty is unscored"),
        Column("scores", "json", "numbers behind the verdict"),
        Column("reason", "text", "why there is no verdict"),
    ),
    "estimates": (
        Column("estimate_id", "text", "gate or measure, arm, group"),
        Column("measure", "text", "which rate"),
        Column("arm", "text", "arm, or guarded-bare for a paired difference"),
        Column("group", "text", "all, or a category, attack, family or language"),
        Column("value", "number", "point estimate corrected for the judge; empty when nothing was judged"),
        Column("low", "number", "lower confidence bound at level"),
        Column("high", "number", "upper confidence bound at level"),
        Column("lower_bound", "number", "one-sided bound by which a gate is cleared"),
        Column("upper_bound", "number", "one-sided bound by which a gate is cleared"),
        Column("failure_lower", "number", "the same, corrected for the groups shown together"),
        Column("failure_upper", "number", "the same, corrected for the groups shown together"),
        Column("level", "number", "two-sided confidence level"),
        Column("n", "integer", "trials that answered and were judged"),
        Column("clusters", "integer", "completed intents"),
        Column("absent", "integer", "trials without an answer or a verdict"),
        Column("observed", "number", "rate before the correction for the judge"),
        Column("judge", "text", "who judged"),
        Column("calibration", "text", "how well the judge's error is known here: own, transferred, none"),
        Column("method", "text", "how the interval was made"),
        Column("scope", "json", "what was estimated"),
        Column("trial_ids_digest", "text", "digest of the sorted ids of the trials used"),
    ),
    "findings": (
        Column("gate", "text", "gate id"),
        Column("context", "text", "deployment context"),
        Column("arm", "text", "arm it was read on"),
        Column("verdict", "text", "pass, fail, inconclusive, provisional-high, or a kind of absence"),
        Column("reason", "text", "the bound and the line it was held against"),
        Column("evidence", "list", "ids of the estimates used"),
        Column("citation", "text", "where the framework asks for it"),
        Column("blocks", "boolean", "whether it bars the context"),
    ),
    "proposals": (
        Column("context", "text", "deployment context"),
        Column("choice", "text", "approve, require-mitigation or require-testing"),
        Column("reasons", "list", "why"),
        Column("exceptions", "list", "signed exceptions it rests on"),
    ),
}
"""Every table's columns, in order. `proposals` is for notebooks; a file of findings leads to `decision.json`."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table that reads its rows when asked, as often as asked.

    Args:
        name: a key of `COLUMNS`.
        read: gives the rows from the start.

    >>> row = {"context": "open", "choice": "approve", "reasons": [], "exceptions": []}
    >>> table = Table("proposals", lambda: iter([row]))
    >>> len(table), [row["choice"] for row in table]
    (1, ['approve'])
    """

    name: str
    read: Callable[[], Iterator[Row]]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, in order."""
        return COLUMNS[self.name]

    def __iter__(self) -> Iterator[Row]:
        return self.read()

    def __len__(self) -> int:
        return sum(1 for _ in self.read())

    def to_arrow(self) -> Any:  # pyarrow ships no types
        """A `pyarrow.Table`, all of it in memory."""
        import pyarrow as pa  # late: 0.2 s

        return pa.Table.from_batches(self.batches(), schema=arrow_schema(self.columns))

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401  # Arrow uses it
        except ImportError as error:
            raise MissingExtra("pandas is not installed; pip install 'safecase[notebook]'") from error
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """A `polars.DataFrame`.

        Raises:
            MissingExtra: polars is not installed.
        """
        try:
            import polars
        except ImportError as error:
            raise MissingExtra("polars is not installed; pip install 'safecase[notebook]'") from error
        return polars.from_arrow(self.to_arrow())

    def batches(self) -> Iterator[Any]:
        """Arrow record batches, a few thousand rows at a time."""
        import pyarrow as pa  # late: 0.2 s

        schema, rows = arrow_schema(self.columns), self.read()
        while batch := list(islice(rows, _BATCH)):
            columns = [[flat(row[column.name], column.kind) for row in batch] for column in self.columns]
            arrays = [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
            yield pa.record_batch(arrays, schema=schema)

    def __repr__(self) -> str:
        head, total = self._head()
        names = [column.name for column in self.columns][:6]
        lines = [f"<{self.name}: {total} rows, {len(self.columns)} columns; .to_pandas(), .to_polars(), .to_arrow()>"]
        lines += ["  ".join(f"{name:20.20}" for name in names).rstrip()] if head else []
        lines += ["  ".join(f"{_cell(row[name], 20):20}" for name in names).rstrip() for row in head]
        return "\n".join([*lines, *(["..."] if total > len(head) else [])])

    def _repr_html_(self) -> str:
        head, total = self._head()
        names = [column.name for column in self.columns]
        rows = [[_cell(row[name], _CELL_CHARS) for name in names] for row in head]
        note = f"{self.name}: {total} rows" + (f", the first {len(head)} shown" if total > len(head) else "")
        return html_table(names, rows, caption=note)

    def _head(self) -> tuple[list[Row], int]:
        rows = self.read()
        head = list(islice(rows, _SHOWN))
        return head, len(head) + sum(1 for _ in rows)


def trial_row(trial: Trial) -> Row:
    """A trial as a row. Its sealed answer stays where it is."""
    row: dict[str, Any] = {name: getattr(trial, name) for name in _PLAIN_TRIAL}
    return {
        **row,
        "is_sealed": trial.sealed is not None,
        "bears_on": list(trial.bears_on),
        "turns": [asdict(turn) for turn in trial.turns],
        "rulings": [asdict(ruling) for ruling in trial.rulings],
        "explanations": [asdict(one) for one in trial.explanations],
    }


def judgement_row(judgement: Judgement) -> Row:
    """A judgement as a row."""
    row = {column.name: getattr(judgement, column.name) for column in COLUMNS["judgements"]}
    return {**row, "scores": dict(judgement.scores)}


_NESTED = {"is_sealed", "bears_on", "turns", "rulings", "explanations"}
_PLAIN_TRIAL = [column.name for column in COLUMNS["trials"] if column.name not in _NESTED]


def arrow_schema(columns: Sequence[Column]) -> Any:
    """The Arrow schema of columns; the meaning of each stands in its field's metadata."""
    import pyarrow as pa  # late: 0.2 s

    types = {
        "text": pa.string(),
        "json": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "list": pa.list_(pa.string()),
    }
    return pa.schema([pa.field(c.name, types[c.kind], metadata={"meaning": c.meaning}) for c in columns])


def flat(value: Any, kind: Kind) -> Any:
    """A value as a column without nesting takes it."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if kind == "json" else value


def html_table(names: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> str:
    """A small HTML table with every text escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto"><p>{escape(caption)}</p>{table}</div>'


def _cell(value: Any, width: int) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."
