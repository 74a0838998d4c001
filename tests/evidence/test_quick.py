"""A record that is made quickly is the record."""

import pickle
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from safecase.evidence import CallEvent, RulingRecord, quick_maker


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    one: int
    other: str = "so"


def test_it_is_the_same_record() -> None:
    made = quick_maker(Pair)(one=1)

    assert type(made) is Pair
    assert made == Pair(one=1)
    assert hash(made) == hash(Pair(one=1))
    assert repr(made) == repr(Pair(one=1))
    assert replace(made, one=2) == Pair(one=2)
    assert pickle.loads(pickle.dumps(made)) == made


def test_it_is_frozen_all_the_same() -> None:
    made = quick_maker(Pair)(one=1)

    with pytest.raises(FrozenInstanceError):
        made.one = 2  # type: ignore[misc]  # what is tried


@pytest.mark.parametrize("given", [{}, {"one": 1, "third": 3}], ids=["missing", "unknown"])
def test_a_field_that_is_missing_or_unknown_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        quick_maker(Pair)(**given)


@pytest.mark.parametrize("cls", [CallEvent, RulingRecord])
def test_the_records_of_every_call_can_be_made_so(cls: type) -> None:
    """They have no `__post_init__`, which would be passed over, and every default is a value."""
    given = {name: name for name in cls.__slots__}

    assert not hasattr(cls, "__post_init__")
    assert quick_maker(cls)(**given) == cls(**given)
