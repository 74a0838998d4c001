"""Where a live request lies: how far from every request that was assessed, and from what is usual.

    reference     texts of the case's scenarios, and of attacks that the case did not use, as vectors
    radius        how near counts as alike: as near as requests of different intents under the same wording of an attack
                  often are, and nearer than those that have nothing in common come to one another by chance
    beyond        farther than that from every assessed request, and from the middle of every usual cluster

A request that is near nothing assessed is no harm: most of what people ask is. It is what the assessment says nothing
about, and where many accounts begin to ask alike there, somebody should look (`Clusters`).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from safecase.assess import Case
from safecase.compose import ATTACKS, Intent, compose
from safecase.detect import OVERRIDE_RULES, Embedder, HeadSet, find_rules, scores_many
from safecase.evidence import digest_value
from safecase.monitor._errors import MonitorError
from safecase.monitor._readings import ATTACK_HEAD
from safecase.monitor._values import Place, Reading, Seen, Vector

ALIKE_QUANTILE, CHANCE_QUANTILE = 0.5, 0.01
"""Of the distances that set the radius: between intents under one attack, and where nothing is in common."""
MOST_TEXTS = 3000
"""Assessed requests that are compared with, at most; every live request is held against all of them."""
_READ_TEXTS = 20_000
_OTHER_INTENTS = 40
_KNOWN_TEXTS, _LONGEST_KEY = 20_000, 2_000
_RULES_READ = 8000
_HALF_SURE = 0.2
"""A request reads like an attack where the head fires, or is half sure and a rule matches. (Rules cost more.)"""


class Text(NamedTuple):
    """A request of the reference, with where it comes from."""

    text: str
    intent: str
    category: str
    attack: str
    is_assessed: bool


@dataclass(frozen=True, eq=False)
class Reference:
    """What live requests are held against.

    Attributes:
        vectors: (text, dimension), of the assessed requests.
        others: (text, dimension), of attacks that are known and were not used; other_attacks: the name of each.
        radius: cosine distance up to which two requests count as alike.
        digest: of embedder, texts and radius.
    """

    embedder: Embedder
    vectors: NDArray[np.float32]
    attacks: tuple[str, ...]
    others: NDArray[np.float32]
    other_attacks: tuple[str, ...]
    radius: float
    digest: str

    def nearest(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distance of each row to the nearest assessed request, (row,), in [0, 2]."""
        return np.asarray(1.0 - (vectors @ self.vectors.T).max(axis=1), np.float32)

    def attack_near(self, vector: Vector) -> str:
        """The attack that a text is alike to, although the case did not use it; "" where there is none."""
        if not len(self.others):
            return ""
        near = self.others @ vector
        best = int(np.argmax(near))
        return self.other_attacks[best] if 1.0 - near[best] <= self.radius else ""


def make_reference(texts: Sequence[Text], embedder: Embedder) -> Reference:
    """Embed and calibrate.

    Raises:
        MonitorError: under two assessed intents, between which no distance can be told.
    """
    assessed = [one for one in texts if one.is_assessed]
    others = [one for one in texts if not one.is_assessed]
    if len({one.intent for one in assessed}) < 2:
        raise MonitorError(f"{len(assessed)} assessed requests of fewer than two intents: nothing to tell distances by")
    vectors, wrapped = embedder.embed([one.text for one in assessed]), embedder.embed([one.text for one in others])
    radius = _radius(np.concatenate((vectors, wrapped)), [*assessed, *others])
    return Reference(
        embedder=embedder,
        vectors=vectors,
        attacks=tuple(one.attack for one in assessed),
        others=wrapped,
        other_attacks=tuple(one.attack for one in others),
        radius=radius,
        digest=digest_value([embedder.digest, [list(one) for one in texts], round(radius, 6)]),
    )


def _radius(vectors: NDArray[np.float32], texts: Sequence[Text]) -> float:
    """Leave one intent out: how near the nearest request of another intent is, and of another attack and category.

    Attacks that were not used take part, and requests under an attack alone say what alike is: two plain requests of
    different intents are alike only by chance.
    """
    near = vectors @ vectors.T
    intents, categories = _codes([one.intent for one in texts]), _codes([one.category for one in texts])
    attacks = _codes([one.attack for one in texts])
    is_wrapped = np.array([one.attack != "none" for one in texts])
    same_intent = intents[:, None] == intents
    between = 1.0 - np.where(same_intent, -1.0, near).max(axis=1)
    between = between[is_wrapped] if is_wrapped.any() else between
    common = same_intent | (categories[:, None] == categories) | ((attacks[:, None] == attacks) & is_wrapped)
    apart = 1.0 - np.where(common, -1.0, near).max(axis=1)
    apart = apart[~common.all(axis=1)]
    chance = float(np.quantile(apart, CHANCE_QUANTILE)) if len(apart) else 2.0
    return min(float(np.quantile(between, ALIKE_QUANTILE)), chance)


def _codes(words: Sequence[str]) -> NDArray[np.intp]:
    return np.unique(np.array(words), return_inverse=True)[1].reshape(-1)


def reference_texts(case: Case) -> list[Text]:
    """Requests that the case's plan asks (its bank, where it has none), and attacks that it does not use."""
    plan = case.plan
    found = list(islice(_asked(case), _READ_TEXTS)) if plan is not None else _plain(case.intents)
    used = {one.attack for one in found}
    missing = [attack for attack in ATTACKS if attack.name not in used and attack.play is None]
    some = sorted(case.intents, key=lambda one: digest_value(one.id))[:_OTHER_INTENTS]
    wrapped = (scenario for scenario in compose(some, attacks=missing, twins=False) if scenario.attack != "none")
    others = [
        Text(scenario.messages[-1].content, scenario.intent_id, scenario.category, scenario.attack, False)
        for scenario in wrapped
    ]
    return [*_thinned(found), *others]


def _asked(case: Case) -> Iterator[Text]:
    """Every distinct request of the plan."""
    known: set[str] = set()
    assert case.plan is not None  # noqa: S101 - the caller looked
    for one in case.planned(case.plan):
        said = one.scenario.messages[-1].content
        if said not in known:
            known.add(said)
            yield Text(said, one.scenario.intent_id, one.scenario.category, one.scenario.attack, True)


def _plain(intents: Sequence[Intent]) -> list[Text]:
    return [Text(one.text, one.id, one.category, "none", True) for one in intents]


def _thinned(texts: Sequence[Text]) -> list[Text]:
    """At most `MOST_TEXTS`, half of them plain where there are so many; which, their digests say."""
    if len(texts) <= MOST_TEXTS:
        return list(texts)
    ordered = sorted(texts, key=lambda one: digest_value(one.text))
    plain = [one for one in ordered if one.attack == "none"][: MOST_TEXTS // 2]
    rest = [one for one in ordered if one.attack != "none"]
    return [*plain, *rest[: MOST_TEXTS - len(plain)]]


# --- Live -------------------------------------------------------------------------------------------------------------


class _Reader(Protocol):
    def read(self, batch: Sequence[Seen]) -> list[Seen]: ...


@dataclass
class Places:
    """Gives every call whose prompt can be read its place, a batch at once, repeated texts once.

    Args:
        detectors: what reads calls otherwise; it is asked first.
        usual: middles of usual clusters, (cluster, dimension).
        heads: of which the one for jailbreak prompts says, beside rules, whether a request looks like an attack.
        share: of the texts, drawn by their digests, that are placed; in (0, 1].

    Raises:
        ValueError: a share out of range.
    """

    detectors: _Reader
    reference: Reference
    heads: HeadSet
    usual: NDArray[np.float32] | None = None
    share: float = 1.0
    _known: OrderedDict[str, Place | None] = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share is a part of all texts in (0, 1], got {self.share!r}")

    def read(self, batch: Sequence[Seen]) -> list[Seen]:
        """The same calls with readings and places."""
        calls = self.detectors.read(batch)
        prompts = {seen.prompt: seen.reading for seen in calls if seen.prompt}
        new = {text: reading for text, reading in prompts.items() if text not in self._known}
        found = dict(zip(new, self._placed(new), strict=True))
        places = {text: found[text] if text in found else self._known[text] for text in prompts}
        self._known.update((text, place) for text, place in found.items() if len(text) <= _LONGEST_KEY)
        while len(self._known) > _KNOWN_TEXTS:
            self._known.popitem(last=False)
        return [_put(seen, places[seen.prompt]) if seen.prompt else seen for seen in calls]

    def is_beyond(self, vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether each row is alike to nothing assessed and nothing usual, (row,)."""
        beyond = self.reference.nearest(vectors) > self.reference.radius
        if self.usual is not None and len(self.usual):
            beyond &= 1.0 - (vectors @ self.usual.T).max(axis=1) > self.reference.radius
        return np.asarray(beyond)

    def _placed(self, texts: Mapping[str, Reading | None]) -> list[Place | None]:
        drawn = [text for text in texts if self.share >= 1.0 or _drawn(text) < self.share]
        if not drawn:
            return [None] * len(texts)
        vectors = self.reference.embedder.embed(drawn)
        beyond = self.is_beyond(vectors)
        attack_like = self._attack_like({text: texts[text] for text in drawn})
        places = {
            text: Place(vector=vectors[row].copy(), is_beyond=bool(beyond[row]), is_attack_like=attack_like[row])
            for row, text in enumerate(drawn)
        }
        return [places.get(text) for text in texts]

    def _attack_like(self, texts: Mapping[str, Reading | None]) -> list[bool]:
        head = self.heads[ATTACK_HEAD]
        said = [None if reading is None else reading.attack for reading in texts.values()]
        scores = [one for one in said if one is not None]
        if len(scores) < len(said):  # by detectors that did not look
            scores = scores_many(self.heads, list(texts), names=[ATTACK_HEAD])[ATTACK_HEAD]
        sure = head.threshold if head.enabled else 2.0
        return [
            score >= sure or (score >= _HALF_SURE and bool(find_rules(text[:_RULES_READ], OVERRIDE_RULES)))
            for text, score in zip(texts, scores, strict=True)
        ]


def _put(seen: Seen, place: Place | None) -> Seen:
    """The call with its place; `dataclasses.replace` would take four times as long, on every call."""
    return Seen(
        event=seen.event,
        prompt=seen.prompt,
        reply=seen.reply,
        source=seen.source,
        offset=seen.offset,
        reading=seen.reading,
        place=place,
    )


def _drawn(text: str) -> float:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=b"place").digest()
    return int.from_bytes(digest, "big") / float(1 << 64)
