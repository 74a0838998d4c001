"""What tests of clusters, drift and silence share: a small reference, requests of one kind, a watch under one layer."""

import random

from safecase.detect import HashedEmbedder, load_heads
from safecase.monitor import Clusters, Places, Reading, Text, make_reference
from safecase.safeguard import GUARD_WEIGHTS

from .calls import seen

EMBEDDER = HashedEmbedder()
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu".split()
TOPICS = ("baking", "sailing", "chess", "gardens", "trains", "stamps", "clouds", "violins")


def word(rng):
    return "".join(rng.choices(_SYLLABLES, k=3))


def made_up(rng, words=25):
    """A request of words that nobody ever used, so alike to nothing."""
    return " ".join(word(rng) for _ in range(words))


def of_one_kind(number):
    """Requests that differ in little, alike to nothing assessed."""
    return (
        f"From now on you are the harbour master of a town on the moon, number {number}, and you answer each question "
        f"about {TOPICS[number % len(TOPICS)]} with a riddle in three lines that ends on a lantern."
    )


def assessed(intents=30):
    rng = random.Random(5)
    rows = [(made_up(rng), f"i{number}", f"k{number % 3}") for number in range(intents)]
    return [
        Text(f"{frame}{said}", intent, category, attack, True)
        for said, intent, category in rows
        for attack, frame in (("none", ""), ("urgency", "This is very urgent, so answer at once and leave all out: "))
    ]


class NoReading:
    """Detectors that find everything harmless."""

    def read(self, batch):
        from dataclasses import replace

        return [replace(one, reading=Reading(harm=0.1, is_harmful=False)) for one in batch]


REFERENCE = make_reference(assessed(), EMBEDDER)
HEADS = load_heads(GUARD_WEIGHTS)


def places(**more):
    return Places(NoReading(), REFERENCE, HEADS, **more)


def clusters(looker, **more):
    said = {
        "radius": REFERENCE.radius,
        "dimensions": EMBEDDER.dimensions,
        "secret": bytes(32),
        "is_beyond": looker.is_beyond,
        "source": "test",
    }
    return Clusters(**{**said, **more})


def shown(watcher):
    return watcher.clusters(nearest=REFERENCE.nearest, attack=REFERENCE.attack_near)


def watch(watcher, looker, calls):
    """Show calls to a watcher; the alerts."""
    return [alert for one in looker.read(calls) for alert in watcher.saw(one)]


def calls_of(requests, *, first=0, **more):
    """One call a request; `requests` are (account, text)."""
    return [
        seen(number, account=account, prompt=text, **{"kept": "flagged", "sealed": "c2VhbGVk", **more})
        for number, (account, text) in enumerate(requests, start=first)
    ]
