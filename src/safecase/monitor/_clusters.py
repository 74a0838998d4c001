"""New behaviour: live requests that are alike to one another and to nothing that was assessed, from many accounts.

    request beyond everything assessed  ->  nearest middle within the radius?   yes: joins     no: begins a cluster

Leaders with moving middles, as DP-means does it in one pass (Kulis and Jordan, ICML 2012): the radius decides how many
there are. Each account counts once in a middle, by its first request there, so nobody moves one by asking often. Memory
is bounded: where there are too many clusters the one of fewest accounts that was quiet for longest goes.

What is kept of a cluster: its middle, counts, ids of a few events whose content a reviewer may ask for, and who it came
from: by pseudonym while it is young (under `min_accounts`, shown to nobody), since a deletion request must find it;
afterwards by the smallest of keyed hashes, which count accounts and name none (k minimum values; Bar-Yossef et al.,
RANDOM 2002). A young cluster dies with the content key of any of its accounts, or after a week.

An alert here is an exploratory signal: it says that so many accounts asked alike, which is a fact and no test. It
spends nothing of the budget of false alarms and promises nothing about errors; there are at most `MOST_A_DAY`.
"""

import hashlib
import json
from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safecase.monitor._clock import StreamClock
from safecase.monitor._state import to_json
from safecase.monitor._values import Alert, Seen, Vector, alert_id, seconds_of

UNEXPECTED = "unexpected-cluster"
"""Kind of the alert."""
MIN_ACCOUNTS = 5
"""Accounts under which a cluster is shown to nobody."""
MOST_A_DAY = 10

IsBeyond = Callable[[NDArray[np.float32]], NDArray[np.bool_]]
KeyTag = Callable[[str], str]
"""Account -> the tag of its content key, "" where it has none (`ContentVault.tag`)."""

_VERSION = 1
_HOUR, _DAY = 3600.0, 86_400.0
_YOUNG_S, _OLD_S = 7 * _DAY, 30 * _DAY
_EXAMPLES, _MARKS, _SLOWEST = 5, 64, 50
_AGAIN = 4  # a cluster is news again when it has so many times the accounts
_MOST_ATTACK = 0.5  # share of a cluster's calls from which on it is labelled attack-like


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster as it is shown, never under the least number of accounts.

    Attributes:
        label: "attack-like" where at least half of its calls are, else "".
        attack: a known attack that the case did not use and that its middle is alike to, else "".
        accounts: distinct ones; an estimate (give or take an eighth) where `is_estimate`.
        calls_lately: of the last day, halved with every day.
        withheld, harmful, attack_like: shares of its calls: stopped by a safeguard; judged harmful; like attacks.
        nearest: distance of its middle to the nearest assessed request; over the radius.
        examples: ids of events whose content was kept, each of another account. `monitor look` opens them.
    """

    id: str
    label: str
    attack: str
    accounts: int
    is_estimate: bool
    calls: int
    calls_lately: float
    withheld: float
    harmful: float
    attack_like: float
    nearest: float
    first_at: str
    last_at: str
    examples: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """For people. Never content."""
        kind = f"{self.label} requests" if self.label else "requests"
        alike = f", alike to the attack {self.attack!r} that was not assessed" if self.attack else ""
        return (
            f"{self.id}: {self.accounts}{'+' if self.is_estimate else ''} accounts ask alike, as nothing that was "
            f"assessed ({kind}{alike}): {self.calls} calls since {self.first_at}, {self.withheld:.0%} withheld, "
            f"{self.harmful:.0%} judged harmful"
        )


@dataclass(slots=True)
class _Kept:
    """What is kept of one, beside its middle."""

    id: str
    at: float
    first_at: str
    last_at: str
    calls: int = 0
    lately: float = 0.0
    withheld: int = 0
    harmful: int = 0
    attack_like: int = 0
    names: dict[str, str] = field(default_factory=dict)  # account -> tag of its content key, while it is young
    marks: list[int] = field(default_factory=list)  # smallest keyed hashes, ascending, afterwards
    moved: int = 0
    said: int = 0
    examples: list[list[Any]] = field(default_factory=list)  # [mark of the account, event id], as JSON gives it back

    @property
    def accounts(self) -> int:
        """Distinct accounts, an estimate from `_MARKS` on."""
        if self.names or len(self.marks) < _MARKS:
            return len(self.names) + len(self.marks)
        return round((_MARKS - 1) * 2.0**64 / self.marks[-1])

    def age(self, at: float) -> None:
        self.lately *= 0.5 ** (max(0.0, at - self.at) / _DAY)
        self.at = max(self.at, at)


_FIELDS = attrgetter(*_Kept.__dataclass_fields__)  # `asdict` would copy every list, at every commit


class Clusters:
    """The watcher. It sees calls that have a place beyond everything known.

    Args:
        radius: cosine distance within which a request joins.
        dimensions: of the vectors.
        secret: keys the hashes of accounts; drawn anew for a new state, and then kept with it.
        is_beyond: whether a middle still is (`Places.is_beyond`).
        source: digest of the reference and of what is usual; under another the state starts anew.
        key_tag: finds accounts whose content key was destroyed; None where content lies under no keys.
        min_accounts: 2 or more.
        most: clusters that are remembered.

    Attributes:
        shown_from: accounts from which on a cluster is shown: `min_accounts`, or more where the state has more.
        seen, beyond, nobody: calls with a place; beyond everything known; of these, without an account.

    Raises:
        ValueError: a number out of range.
    """

    name = "clusters"

    def __init__(
        self,
        *,
        radius: float,
        dimensions: int,
        secret: bytes,
        is_beyond: IsBeyond,
        source: str,
        key_tag: KeyTag | None = None,
        min_accounts: int = MIN_ACCOUNTS,
        most: int = 2048,
    ) -> None:
        if min_accounts < 2 or most < 1:
            raise ValueError(f"min_accounts is {min_accounts!r} and most {most!r}; at least 2 and 1")
        self.radius, self.min_accounts, self.source = radius, min_accounts, source
        self._secret, self._is_beyond, self._key_tag, self._most = secret, is_beyond, key_tag, most
        self._kept: list[_Kept] = []
        self._middles = np.zeros((most, dimensions), np.float32)
        self._born = 0
        self._clock, self._tidied = StreamClock(), 0.0
        self._said: tuple[int, int] = (0, 0)  # day, alerts of it
        self.shown_from = min_accounts
        self.seen = self.beyond = self.nobody = self.started_anew = 0

    def __len__(self) -> int:
        """Clusters that are remembered, young ones too."""
        return len(self._kept)

    def saw_all(self, block: Iterable[Seen]) -> Iterator[Alert]:
        """Take many calls, one after the other."""
        for seen in block:
            yield from self.saw(seen)

    def saw(self, seen: Seen) -> Iterator[Alert]:
        """Take one call."""
        place = seen.place
        if place is None or seen.event.outcome == "refused":
            return
        self.seen += 1
        if not place.is_beyond:
            return
        self.beyond += 1
        if not seen.event.account:
            self.nobody += 1  # one account or many cannot be told
            return
        at = self._clock.at(seconds_of(seen.event.at))
        if at - self._tidied >= _HOUR:
            self._tidy()
        number = self._find(place.vector)
        kept = self._kept[number] if number is not None else None
        if number is None or kept is None:
            number, kept = self._begin(place.vector, seen, at)
        if self._count(kept, seen.event.account):
            self._move(number, kept, place.vector)
        self._note(kept, seen, at)
        yield from self._news(number, kept, seen)

    def clusters(
        self, *, nearest: Callable[[NDArray[np.float32]], NDArray[np.float32]], attack: Callable[[Vector], str]
    ) -> tuple[Cluster, ...]:
        """Those that may be shown: of enough accounts and still beyond; attack-like ones and large ones first.

        Args:
            nearest: distances of rows to what was assessed; attack: name of a known attack near a vector
                (both of `Reference`).
        """
        numbers = [number for number, kept in enumerate(self._kept) if kept.accounts >= self.shown_from]
        if not numbers:
            return ()
        middles = self._middles[numbers]
        rows = zip(numbers, self._is_beyond(middles), nearest(middles), strict=True)
        shown = [
            self._view(self._kept[number], float(distance), attack(self._middles[number]))
            for number, is_beyond, distance in rows
            if is_beyond
        ]
        return tuple(sorted(shown, key=lambda one: (one.label == "", -one.accounts, one.id)))

    def usual(self) -> NDArray[np.float32]:
        """Middles of what enough accounts asked, (cluster, dimension): of a baseline, they are the usual clusters."""
        numbers = [number for number, kept in enumerate(self._kept) if kept.accounts >= self.min_accounts]
        return self._middles[numbers].copy()

    def state(self) -> bytes:
        """A line of JSON, then the middles as float16, which is as they are reckoned with."""
        head = {
            "version": _VERSION,
            "source": self.source,
            "min_accounts": self.min_accounts,
            "secret": self._secret.hex(),
            "kept": [_FIELDS(kept) for kept in self._kept],
            "ahead": self._clock.ahead,
            "numbers": [self._born, self._clock.now, self._tidied, *self._said, self.seen, self.beyond, self.nobody],
        }
        middles = self._middles[: len(self._kept)].astype(np.float16)
        return to_json(head) + b"\n" + middles.tobytes()

    def restore(self, state: bytes) -> None:
        """Go on from there. Clusters under another reference cannot be compared: then nothing is taken up."""
        line, _, cells = state.partition(b"\n")
        head = json.loads(line)
        if head.get("version") != _VERSION:
            raise ValueError(f"the state of {self.name!r} is of version {head.get('version')!r}, not {_VERSION}")
        if head["source"] != self.source:
            self.started_anew += 1
            return
        self._secret = bytes.fromhex(head["secret"])
        self.shown_from = max(self.shown_from, head["min_accounts"])
        kept = [_Kept(*row) for row in head["kept"]]
        middles = np.frombuffer(cells, np.float16).reshape(len(kept), self._middles.shape[1]).astype(np.float32)
        self._kept = kept[: self._most]
        self._middles[: len(self._kept)] = middles[: self._most]
        self._born, now, self._tidied, day, count, self.seen, self.beyond, self.nobody = head["numbers"]
        self._clock, self._said = StreamClock(now, head.get("ahead", 0.0)), (day, count)

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _find(self, vector: Vector) -> int | None:
        if not self._kept:
            return None
        near = self._middles[: len(self._kept)] @ vector
        best = int(np.argmax(near))
        return best if 1.0 - near[best] <= self.radius else None

    def _begin(self, vector: Vector, seen: Seen, at: float) -> tuple[int, _Kept]:
        if len(self._kept) >= self._most:
            self._make_room()
        self._born += 1
        kept = _Kept(id=f"c{self._born}", at=at, first_at=seen.event.at, last_at=seen.event.at)
        self._kept.append(kept)
        number = len(self._kept) - 1
        self._middles[number] = _stored(vector)
        return number, kept

    def _count(self, kept: _Kept, account: str) -> bool:
        """Count an account; whether it is a new one, as far as can be told."""
        if not kept.marks:
            if account in kept.names:
                return False
            kept.names[account] = self._key_tag(account) if self._key_tag else ""
            if len(kept.names) >= self.min_accounts:  # from now on it may be shown, and holds no names
                kept.marks = sorted({self._mark(name) for name in kept.names})[:_MARKS]
                kept.names = {}
            return True
        mark = self._mark(account)
        if mark in kept.marks or (len(kept.marks) == _MARKS and mark > kept.marks[-1]):
            return False
        insort(kept.marks, mark)
        del kept.marks[_MARKS:]
        return True

    def _move(self, number: int, kept: _Kept, vector: Vector) -> None:
        kept.moved = min(kept.moved + 1, _SLOWEST)
        middle = self._middles[number]
        middle = middle + (vector - middle) / np.float32(kept.moved)
        self._middles[number] = _stored(middle / np.sqrt(middle @ middle))

    def _note(self, kept: _Kept, seen: Seen, at: float) -> None:
        event = seen.event
        kept.age(at)
        kept.calls += 1
        kept.lately += 1.0
        kept.withheld += event.outcome == "withheld"
        kept.harmful += bool(seen.reading is not None and seen.reading.is_harmful)
        kept.attack_like += bool(seen.place is not None and seen.place.is_attack_like)
        kept.last_at = max(kept.last_at, event.at)
        if event.sealed is None and event.prompt is None:
            return  # nobody can ever look at it
        mark = self._mark(event.account)
        kept.examples = [one for one in kept.examples if one[0] != mark] + [[mark, event.event_id]]
        if len(kept.examples) > _EXAMPLES:
            del kept.examples[_EXAMPLES // 2]  # the first ones stay, and the last ones

    def _news(self, number: int, kept: _Kept, seen: Seen) -> Iterator[Alert]:
        accounts = kept.accounts
        if accounts < self.min_accounts or accounts < _AGAIN * kept.said:
            return
        if not self._is_beyond(self._middles[number : number + 1])[0]:
            return
        kept.said = accounts
        day = int(self._clock.now // _DAY)
        if self._said[0] == day and self._said[1] >= MOST_A_DAY:
            return  # it stays in the list
        self._said = (day, self._said[1] + 1 if self._said[0] == day else 1)
        view = self._view(kept, 0.0, "")
        yield Alert(
            alert_id=alert_id(UNEXPECTED, f"{kept.id}@{self.source}", str(accounts)),
            at=seen.event.at,
            kind=UNEXPECTED,
            severity="warning" if view.label else "info",
            series=f"cluster/{kept.id}",
            what=f"exploratory, without a bound on errors: {view.sentence}",
            numbers={
                "accounts": float(accounts),
                "calls": float(view.calls),
                "withheld": view.withheld,
                "harmful": view.harmful,
                "attack_like": view.attack_like,
            },
            event_ids=view.examples,
        )

    def _view(self, kept: _Kept, distance: float, attack: str) -> Cluster:
        attack_like = kept.attack_like / kept.calls
        lately = kept.lately * 0.5 ** (max(0.0, self._clock.now - kept.at) / _DAY)
        return Cluster(
            id=kept.id,
            label="attack-like" if attack_like >= _MOST_ATTACK else "",
            attack=attack,
            accounts=kept.accounts,
            is_estimate=len(kept.marks) >= _MARKS,
            calls=kept.calls,
            calls_lately=lately,
            withheld=kept.withheld / kept.calls,
            harmful=kept.harmful / kept.calls,
            attack_like=attack_like,
            nearest=distance,
            first_at=kept.first_at,
            last_at=kept.last_at,
            examples=tuple(event_id for _, event_id in kept.examples),
        )

    def _mark(self, account: str) -> int:
        said = account.encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(said, key=self._secret, digest_size=8).digest(), "big") or 1

    def _tidy(self) -> None:
        """Drop what is over: the young of a week ago, the old of a month ago, and the young whose key is gone."""
        self._tidied = self._clock.now
        gone = [number for number, kept in enumerate(self._kept) if self._is_over(kept)]
        self._drop(gone)

    def _is_over(self, kept: _Kept) -> bool:
        if self._clock.now - kept.at >= (_OLD_S if kept.marks else _YOUNG_S):
            return True
        tag_of = self._key_tag
        return tag_of is not None and any(tag and tag_of(name) != tag for name, tag in kept.names.items())

    def _make_room(self) -> None:
        """Drop a tenth: those of the fewest accounts, and of these the ones that were quiet for longest."""
        least = sorted(range(len(self._kept)), key=lambda one: (self._kept[one].accounts, self._kept[one].at))
        self._drop(least[: 1 + self._most // 10])

    def _drop(self, numbers: Iterable[int]) -> None:
        gone = set(numbers)
        if not gone:
            return
        stay = [number for number in range(len(self._kept)) if number not in gone]
        self._middles[: len(stay)] = self._middles[stay]
        self._kept = [self._kept[number] for number in stay]


def _stored(vector: Vector) -> Vector:
    """As the state keeps it, so that a monitor that was killed goes on with the same numbers."""
    return vector.astype(np.float16).astype(np.float32)
