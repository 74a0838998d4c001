"""Trials and planned places as columns: names become small integers, so that counting is arithmetic.

At 200,000 trials one Python object each would take several hundred megabytes; these columns take about a hundred bytes
a trial, text left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from safecase.evidence import digest_bytes, digest_value

Codes = NDArray[np.int32]
Mask = NDArray[np.bool_]
Ids = NDArray[np.bytes_]
"""Trial ids as UTF-8 of one width; they sort as their text does."""

CHUNK = 4096
"""Rows that are Python objects at once."""
GROUPS = ("intent_id", "domain", "category", "subcategory", "language", "attack", "family", "arm")
"""The columns that are names."""


class Placed(Protocol):
    """What a trial and a planned place share."""

    @property
    def trial_id(self) -> str: ...
    @property
    def scenario_id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def arm(self) -> str: ...
    @property
    def repetition(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def harmful(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in the plan: what groups a trial, before anything is known of its answer.

    Attributes:
        attempt: always 0; which further attempts an attack makes is known only as they are made.
    """

    trial_id: str
    scenario_id: str
    intent_id: str
    harmful: bool
    domain: str
    category: str
    subcategory: str
    language: str
    attack: str
    family: str
    arm: str
    model: str
    repetition: int
    attempt: int = 0


class Names:
    """Names and the codes they have, numbered in the order in which they came."""

    def __init__(self) -> None:
        self._codes: defaultdict[str, int] = defaultdict()
        self._codes.default_factory = self._codes.__len__

    def encode(self, names: Sequence[str]) -> Codes:
        """Codes of these names; a new name gets the next one."""
        return np.fromiter((self._codes[name] for name in names), dtype=np.int32, count=len(names))

    def code(self, name: str) -> int:
        """The code of a name, -1 for one that never came."""
        return self._codes.get(name, -1)

    def __iter__(self) -> Iterator[str]:
        """Names by code."""
        return iter(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    def holding(self, names: Iterable[str]) -> Mask:
        """By code: whether the name is one of these, (codes,)."""
        wanted = frozenset(names)
        return np.fromiter((name in wanted for name in self._codes), dtype=np.bool_, count=len(self._codes))


Book = Mapping[str, Names]
"""Column -> its names. Planned places and trials share one, so that their codes compare."""


def new_book() -> dict[str, Names]:
    """A book in which nothing is named yet."""
    return {name: Names() for name in (*GROUPS, "judge")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Rows by column; every array has the shape (rows,).

    Attributes:
        codes: one array per name in `GROUPS`.
        keys: what names the episode of a row.
    """

    ids: Ids
    keys: Ids
    codes: Mapping[str, Codes]
    harmful: Mask
    attempt: NDArray[np.int16]

    def __len__(self) -> int:
        return int(self.ids.size)

    def take(self, rows: NDArray[np.int64]) -> "Columns":
        """Some of the rows."""
        return Columns(
            ids=self.ids[rows],
            keys=self.keys[rows],
            codes={name: codes[rows] for name, codes in self.codes.items()},
            harmful=self.harmful[rows],
            attempt=self.attempt[rows],
        )


RowT = TypeVar("RowT")


def chunks(rows: Iterable[RowT]) -> Iterator[list[RowT]]:
    """Lists of at most `CHUNK` rows."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def encode(rows: Sequence[Placed], book: Book) -> Columns:
    """Rows as columns."""
    count = len(rows)
    return Columns(
        ids=as_ids(row.trial_id for row in rows),
        keys=as_ids(episode_key(row) for row in rows),
        codes={name: book[name].encode([getattr(row, name) for row in rows]) for name in GROUPS},
        harmful=np.fromiter((row.harmful for row in rows), dtype=np.bool_, count=count),
        attempt=np.fromiter((row.attempt for row in rows), dtype=np.int16, count=count),
    )


def join(parts: Sequence[Columns], book: Book) -> Columns:
    """Columns one after another."""
    if not parts:
        return encode([], book)
    return Columns(
        ids=np.concatenate([part.ids for part in parts]),
        keys=np.concatenate([part.keys for part in parts]),
        codes={name: np.concatenate([part.codes[name] for part in parts]) for name in GROUPS},
        harmful=np.concatenate([part.harmful for part in parts]),
        attempt=np.concatenate([part.attempt for part in parts]),
    )


def as_ids(names: Iterable[str]) -> Ids:
    """Names as an array of UTF-8, (names,)."""
    found = [name.encode() for name in names]
    return np.array(found, dtype=np.bytes_) if found else np.empty(0, dtype="S1")


def episode_key(row: Placed) -> str:
    """What the attempts of one episode share, as 24 hex digits."""
    return digest_bytes(f"{row.scenario_id}\0{row.arm}\0{row.model}\0{row.repetition}".encode())[:24]


def attempt_id(first: str, number: int) -> str:
    """The id of attempt `number` of the episode whose first attempt is `first`.

    An attempt whose id does not follow from a planned one was made under another plan (another stack, say).
    """
    return first if number == 0 else digest_value([first, number])[:24]


class Finder:
    """Positions of ids in an array of distinct ones."""

    def __init__(self, ids: Ids) -> None:
        self._order = np.argsort(ids, kind="stable")
        self._sorted = ids[self._order]

    def find(self, ids: Ids) -> NDArray[np.int64]:
        """Where each id lies, -1 for one that is not there; (ids,)."""
        if not self._sorted.size:
            return np.full(ids.size, -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self._sorted, ids), self._sorted.size - 1)
        return np.where(self._sorted[place] == ids, self._order[place], -1)


def digest_ids(ids: Ids) -> str:
    """`digest_value` of the list of these ids, sorted already."""
    raw = ids.tobytes()
    if not raw.isalnum():  # shorter than the longest, or in need of escapes: the plain way
        return digest_value([name.decode() for name in ids.tolist()])
    text = np.full((ids.size, ids.itemsize + 3), ord('"'), dtype=np.uint8)
    text[:, 1:-2] = np.frombuffer(raw, dtype=np.uint8).reshape(ids.size, ids.itemsize)
    text[:, -1] = ord(",")
    return digest_bytes(b"[" + text.tobytes()[:-1] + b"]")
