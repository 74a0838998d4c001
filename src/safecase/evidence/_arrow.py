"""Rows of evidence as Parquet and back, exactly. The one module here that loads pyarrow; import it late."""

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from safecase.evidence._digest import canonical_json
from safecase.evidence._errors import UnstorableRow
from safecase.evidence._tasks import TaskAttempt, Transcript
from safecase.evidence._values import Explanation, Judgement, Message, RulingRecord, Trial

Row = TypeVar("Row", Trial, Judgement, TaskAttempt, Transcript)

_ROWS_PER_GROUP = 4096  # what a reader holds at once
_ROWS_PER_BATCH = 1024
_MOST_IN_ARRAY = 2**31 - 1


def _text(name: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, pa.string(), nullable=nullable)


_RULING_FIRST = pa.struct(
    [
        _text("layer"),
        _text("stage"),
        _text("action"),
        pa.field("score", pa.float64()),
        _text("principle", nullable=True),
        pa.field("latency_ms", pa.float64(), nullable=False),
        _text("error", nullable=True),
        pa.field("enforced", pa.bool_(), nullable=False),
    ]
)
_RULING = pa.struct([*_RULING_FIRST, _text("rule", nullable=True), _text("relaxed_by", nullable=True)])
_EXPLANATION = pa.struct([_text("layer"), _text("principle", nullable=True), _text("reason", nullable=True)])

_TURN = pa.struct([_text("role"), _text("content")])

_TRIAL_SCHEMA = pa.schema(
    [
        _text("trial_id"),
        _text("scenario_id"),
        _text("intent_id"),
        pa.field("harmful", pa.bool_(), nullable=False),
        _text("domain"),
        _text("category"),
        _text("subcategory"),
        pa.field("severity", pa.int64(), nullable=False),
        pa.field("bears_on", pa.list_(_text("element")), nullable=False),
        _text("language"),
        _text("attack"),
        _text("family"),
        _text("arm"),
        _text("model"),
        pa.field("repetition", pa.int64(), nullable=False),
        _text("prompt"),
        _text("status"),
        _text("response", nullable=True),
        pa.field("sealed", pa.binary()),
        _text("response_digest", nullable=True),
        _text("withheld_by", nullable=True),
        pa.field("rulings", pa.list_(pa.field("element", _RULING, nullable=False)), nullable=False),
        _text("finish_reason", nullable=True),
        pa.field("tokens_in", pa.int64()),
        pa.field("tokens_out", pa.int64()),
        pa.field("latency_s", pa.float64()),
        _text("error", nullable=True),
        _text("label", nullable=True),
        pa.field("held_out", pa.bool_(), nullable=False),
        pa.field("attempt", pa.int64(), nullable=False),
        pa.field("turns", pa.list_(pa.field("element", _TURN, nullable=False)), nullable=False),
        pa.field("cached", pa.bool_(), nullable=False),
        pa.field("explanations", pa.list_(pa.field("element", _EXPLANATION, nullable=False)), nullable=False),
    ]
)


def _without_explanations(schema: pa.Schema) -> pa.Schema:
    """The columns of trials before rulings named a rule and layers explained themselves; such segments stay valid."""
    rulings = pa.field("rulings", pa.list_(pa.field("element", _RULING_FIRST, nullable=False)), nullable=False)
    return schema.remove(schema.get_field_index("explanations")).set(schema.get_field_index("rulings"), rulings)


_JUDGEMENT_SCHEMA = pa.schema(
    [
        _text("trial_id"),
        _text("judge"),
        _text("judge_digest"),
        _text("verdict", nullable=True),
        _text("scores"),  # a JSON object: judges differ in what they score
        _text("reason", nullable=True),
    ]
)

_ATTEMPT_SCHEMA = pa.schema(
    [
        _text("attempt_id"),
        _text("suite"),
        _text("suite_digest"),
        _text("task"),
        _text("category"),
        _text("arm"),
        _text("model"),
        pa.field("number", pa.int64(), nullable=False),
        _text("condition"),
        _text("side"),
        _text("status"),
        pa.field("score", pa.float64()),
        _text("measures"),  # a JSON object: suites differ in what they count
        pa.field("human_minutes", pa.float64()),
        _text("human_time"),
        pa.field("flags", pa.list_(_text("element")), nullable=False),
        pa.field("tokens_out", pa.int64()),
        pa.field("latency_s", pa.float64()),
        _text("error", nullable=True),
        _text("transcript_sha256", nullable=True),
    ]
)

_TRANSCRIPT_SCHEMA = pa.schema(
    [
        _text("attempt_id"),
        _text("sha256"),
        pa.field("turns", pa.list_(pa.field("element", _TURN, nullable=False)), nullable=False),
        pa.field("sealed", pa.binary()),
    ]
)

_RULING_FIELDS = tuple(field.name for field in fields(RulingRecord))


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec(Generic[Row]):
    """How one kind of row lies in a segment.

    Attributes:
        row: what messages call one.
        schema: columns, in order.
        older: columns of segments written before, each a part of `schema`; what they lack reads as its default.
        key: columns that name a row; of rows with one key the last in segment order stands.
        pack, unpack: per column, what turns a field into what Arrow takes, and back.
        make: the row from its columns' values, in the schema's order.
    """

    row: str
    schema: pa.Schema
    key: tuple[str, ...]
    pack: Mapping[str, Callable[[Any], Any]]
    unpack: Mapping[str, Callable[[Any], Any]]
    make: Callable[..., Row]
    older: tuple[pa.Schema, ...] = ()

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Parquet bytes; the same rows give the same bytes under one version of Arrow.

        Raises:
            UnstorableRow: a value does not fit its column exactly.
        """
        columns = [self._column(field, rows) for field in self.schema]
        out = io.BytesIO()
        table = pa.Table.from_arrays(columns, schema=self.schema)
        pq.write_table(table, out, compression="zstd", row_group_size=_ROWS_PER_GROUP)
        return out.getvalue()

    def batches(self, file: pq.ParquetFile, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The file's rows, about a thousand at a time."""
        yield from file.iter_batches(batch_size=_ROWS_PER_BATCH, columns=columns)

    def rows(self, batch: pa.RecordBatch) -> list[Row]:
        """The values of a batch that has every column of its segment."""
        names = batch.schema.names
        columns = [self._values(batch, name) for name in names]
        return [self.make(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]

    def select(self, batch: pa.RecordBatch, where: Mapping[str, object]) -> pa.RecordBatch:
        """The rows whose columns equal the wanted value, or one of the wanted values."""
        for name, wanted in where.items():
            many = [wanted] if isinstance(wanted, str | bytes) or not isinstance(wanted, Collection) else list(wanted)
            values = pa.array(many, type=self.schema.field(name).type)
            batch = batch.filter(pc.is_in(batch.column(name), value_set=values))
        return batch

    def keys(self, batch: pa.RecordBatch) -> pa.Array:
        """One text per row that names it."""
        first, *rest = (batch.column(name) for name in self.key)
        return pc.binary_join_element_wise(first, *rest, "\x00") if rest else first

    def _column(self, field: pa.Field, rows: Sequence[Row]) -> pa.Array:
        pack = self.pack.get(field.name)
        values = [getattr(row, field.name) for row in rows]
        try:
            return _exact(values if pack is None else [pack(value) for value in values], field)
        except (ValueError, TypeError, AttributeError, OverflowError, pa.ArrowException):
            raise self._culprit(field, rows) from None

    def _culprit(self, field: pa.Field, rows: Sequence[Row]) -> UnstorableRow:
        pack = self.pack.get(field.name)
        for row in rows:
            value = getattr(row, field.name)
            try:
                _exact([value if pack is None else pack(value)], field)
            except (ValueError, TypeError, AttributeError, OverflowError, pa.ArrowException) as error:
                shown = repr(value)[:80]
                named = f"{self.row} {getattr(row, self.key[0])!r}"
                line = f"{named}: {field.name} = {shown} cannot be kept as {field.type} ({error})"
                return UnstorableRow(f"{line}; nothing of this batch was written, correct the value where it is made")
        return UnstorableRow(f"column {field.name!r} cannot be kept as {field.type}")

    def _values(self, batch: pa.RecordBatch, name: str) -> list[Any]:
        values: list[Any] = batch.column(name).to_pylist()
        unpack = self.unpack.get(name)
        return values if unpack is None else [unpack(value) for value in values]


def _exact(values: list[Any], field: pa.Field) -> pa.Array:
    """An array that gives the same values back, or an error: no cast, no null where none belongs, no NaN."""
    array = as_array(values, field.type)
    if not field.nullable and array.null_count:
        raise ValueError("a value is missing")
    if pa.types.is_floating(field.type) and pc.any(pc.invert(pc.is_finite(array))).as_py():
        raise ValueError("a number must be finite; absence is None")
    array.validate(full=True)
    return array


def as_array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """What `pa.array(values, type=kind)` gives, put together from buffers.

    `pa.array` loads pandas, where it is installed, to see whether it was given any of it: 0.4 s of a command that has
    nothing to do with pandas. Values of any other type than a column's own are left to it all the same.
    """
    found = set(map(type, values))
    is_nullable = type(None) in found
    found.discard(type(None))
    validity = _bits([value is not None for value in values]) if is_nullable else None
    count = len(values)
    if found <= {str} and pa.types.is_string(kind):
        return _texts([b"" if value is None else value.encode() for value in values], kind, validity)
    if found <= {bytes} and pa.types.is_binary(kind):
        return _texts([value or b"" for value in values], kind, validity)
    for number, is_kind, dtype in ((int, pa.types.is_int64, np.int64), (float, pa.types.is_float64, np.float64)):
        if found <= {number} and is_kind(kind):
            numbers = np.array([0 if value is None else value for value in values], dtype=dtype)
            return pa.Array.from_buffers(kind, count, [validity, pa.py_buffer(numbers)])
    if found <= {bool} and pa.types.is_boolean(kind):
        return pa.Array.from_buffers(kind, count, [validity, _bits(values)])
    if found <= {list} and not is_nullable and pa.types.is_list(kind):
        elements = as_array([element for value in values for element in value], kind.value_type)
        return pa.Array.from_buffers(kind, count, [None, _offsets(values)], children=[elements])
    if found <= {dict} and not is_nullable and pa.types.is_struct(kind):
        parts = [as_array([value.get(part.name) for value in values], part.type) for part in kind]
        return pa.Array.from_buffers(kind, count, [None], children=parts)
    return pa.array(values, type=kind)


def _texts(texts: list[bytes], kind: pa.DataType, validity: pa.Buffer | None) -> pa.Array:
    return pa.Array.from_buffers(kind, len(texts), [validity, _offsets(texts), pa.py_buffer(b"".join(texts))])


def _offsets(values: Sequence[Sized]) -> pa.Buffer:
    """Where each value begins and the last one ends; 32 bits, as Arrow has them."""
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    if offsets[-1] > _MOST_IN_ARRAY:
        raise ValueError("a batch holds at most 2 GiB of one column")
    return pa.py_buffer(offsets.astype(np.int32))


def _bits(values: Sequence[object]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.array(values, dtype=np.bool_), bitorder="little"))


def _pack_rulings(rulings: Sequence[RulingRecord]) -> list[dict[str, Any]]:
    packed = [{name: getattr(ruling, name) for name in _RULING_FIELDS} for ruling in rulings]
    canonical_json(packed)  # refuses NaN, which Arrow would take
    for ruling in packed:
        if missing := [name for name in ("layer", "stage", "action", "latency_ms", "enforced") if ruling[name] is None]:
            raise ValueError(f"a ruling lacks {missing[0]}")
    return packed


def _unpack_rulings(rulings: Sequence[Mapping[str, Any]]) -> tuple[RulingRecord, ...]:
    return tuple(RulingRecord(**ruling) for ruling in rulings)


def _pack_explanations(explanations: Sequence[Explanation]) -> list[dict[str, Any]]:
    if any(not isinstance(one.layer, str) for one in explanations):
        raise ValueError("an explanation lacks its layer")
    return [asdict(one) for one in explanations]


def _unpack_explanations(explanations: Sequence[Mapping[str, Any]]) -> tuple[Explanation, ...]:
    return tuple(Explanation(**one) for one in explanations)


def _pack_turns(turns: Sequence[Message]) -> list[dict[str, str]]:
    if any(not isinstance(text, str) for turn in turns for text in (turn.role, turn.content)):
        raise ValueError("a turn lacks its role or its text")
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _unpack_turns(turns: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message(**turn) for turn in turns)


def _pack_names(names: Sequence[str]) -> list[str]:
    if any(name is None for name in names):
        raise ValueError("a name is missing")
    return list(names)


def _pack_scores(scores: Mapping[str, float]) -> str:
    return canonical_json(dict(scores)).decode()


TRIALS: Codec[Trial] = Codec(
    row="trial",
    schema=_TRIAL_SCHEMA,
    key=("trial_id",),
    pack={
        "bears_on": _pack_names,
        "rulings": _pack_rulings,
        "turns": _pack_turns,
        "explanations": _pack_explanations,
    },
    unpack={
        "bears_on": tuple,
        "rulings": _unpack_rulings,
        "turns": _unpack_turns,
        "explanations": _unpack_explanations,
    },
    make=Trial,
    older=(_without_explanations(_TRIAL_SCHEMA),),
)

JUDGEMENTS: Codec[Judgement] = Codec(
    row="trial",
    schema=_JUDGEMENT_SCHEMA,
    key=("trial_id", "judge"),
    pack={"scores": _pack_scores},
    unpack={"scores": json.loads},
    make=Judgement,
)


ATTEMPTS: Codec[TaskAttempt] = Codec(
    row="attempt",
    schema=_ATTEMPT_SCHEMA,
    key=("attempt_id",),
    pack={"measures": _pack_scores, "flags": _pack_names},
    unpack={"measures": json.loads, "flags": tuple},
    make=TaskAttempt,
)

TRANSCRIPTS: Codec[Transcript] = Codec(
    row="attempt",
    schema=_TRANSCRIPT_SCHEMA,
    key=("attempt_id",),
    pack={"turns": _pack_turns},
    unpack={"turns": _unpack_turns},
    make=Transcript,
)

CODECS: Mapping[str, Codec[Any]] = {
    "trials": TRIALS,
    "judgements": JUDGEMENTS,
    "attempts": ATTEMPTS,
    "transcripts": TRANSCRIPTS,
}
"""By the kind of rows that a folder holds."""


def open_segment(path: Path | io.BytesIO, codec: Codec[Any]) -> pq.ParquetFile:
    """Open a segment, a file or its bytes, and hold its columns to the schema.

    Raises:
        ValueError: it is not Parquet (pyarrow's own error is one), or its columns are others.
    """
    file = pq.ParquetFile(path)
    if not any(map(file.schema_arrow.equals, (codec.schema, *codec.older))):
        file.close()
        raise ValueError("its columns are not those of this store")
    return file
