"""Columns put together from buffers are what `pa.array` makes, and digests of plain values are the canonical ones."""

import pyarrow as pa
import pytest

from safecase.evidence import digest_plain, digest_value
from safecase.evidence._arrow import TRIALS, as_array

RULINGS = TRIALS.schema.field("rulings").type
RULING = {"layer": "rules", "stage": "input", "action": "allow", "score": None, "principle": None, "latency_ms": 0.5}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], pa.string()),
        ([None, None], pa.string()),
        (["", "é\u0000", None, "x" * 300], pa.string()),
        ([b"", None, b"\xff\x00"], pa.binary()),
        ([0, None, -(2**63), 2**63 - 1], pa.int64()),
        ([0.0, -0.0, None, 1e-300], pa.float64()),
        ([1, 2.5], pa.float64()),  # a whole number among them: left to `pa.array`
        ([True] * 9 + [False], pa.bool_()),
        ([True, None], pa.bool_()),
        ([[], ["a", "b"], ["c"]], pa.list_(pa.string())),
        ([[], [{**RULING, "error": "e", "enforced": True, "rule": "r"}], [RULING, RULING]], RULINGS),
        ([None, ["a"]], pa.list_(pa.string())),  # no list: left to `pa.array`
    ],
)
def test_a_column_is_what_pyarrow_makes_of_it(values, kind):
    made, expected = as_array(values, kind), pa.array(values, type=kind)

    made.validate(full=True)
    assert made.equals(expected)
    assert repr(made.to_pylist()) == repr(expected.to_pylist())  # tells -0.0 from 0.0


@pytest.mark.parametrize(("values", "kind"), [(["a", 1], pa.string()), ([True], pa.int64()), ([2**63], pa.int64())])
def test_a_value_of_another_type_is_refused_as_pyarrow_refuses_it(values, kind):
    with pytest.raises((TypeError, ValueError, OverflowError, pa.ArrowException)):
        pa.array(values, type=kind)
    with pytest.raises((TypeError, ValueError, OverflowError, pa.ArrowException)):
        as_array(values, kind)


# Where two encoders of JSON may differ: controls, quotes, DEL, line separators, planes beyond the first, big numbers.
TEXTS = ["".join(map(chr, range(0x20))), '"\\/', "\x7f\x80", "\u2028\u2029", "é\U0001f600\uffff", ""]


@pytest.mark.parametrize("value", [*TEXTS, TEXTS, [[], [None, True, False]], [0, -1, 2**63, 2**64, -(2**80)], None])
def test_the_quick_digest_of_plain_values_is_the_canonical_one(value):
    assert digest_plain(value) == digest_value(value)
