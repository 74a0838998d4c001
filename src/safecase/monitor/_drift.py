"""What is watched of the inputs: outcomes of one call that are 0 or 1, cheap, and the same before and after release.

beyond            alike to nothing assessed and nothing usual
attack-like       reads like an attempt to get around safeguards
harmful, and by category        as the embedded reader says
short, long       under 40 characters, over 1,000
other-script      most letters are not Latin: a coarse stand-in for the language, which takes no model
"""

import unicodedata
from collections.abc import Sequence

from safecase.monitor._values import Seen

_SHORT, _LONG, _LOOKED_AT = 40, 1000, 400

PLAIN = ("beyond", "attack-like", "harmful", "short", "long", "other-script")


def input_outcomes(categories: Sequence[str]) -> tuple[str, ...]:
    """Names of the outcomes, in the order of `input_hits`."""
    return (*PLAIN, *(f"category/{name}" for name in categories))


def input_hits(seen: Seen, categories: Sequence[str]) -> list[float] | None:
    """The outcomes of a call; None where its request was not read or has no place."""
    prompt, reading, place = seen.prompt, seen.reading, seen.place
    if not prompt or reading is None or reading.is_harmful is None or place is None:
        return None
    is_long = len(prompt) > _LONG
    plain = (
        place.is_beyond,
        place.is_attack_like,
        reading.is_harmful,
        len(prompt) < _SHORT,
        is_long,
        is_other_script(prompt),
    )
    found = [float(one) for one in plain] + [0.0] * len(categories)
    if reading.category in categories:
        found[len(plain) + categories.index(reading.category)] = 1.0
    return found


def is_other_script(text: str) -> bool:
    """Whether most letters of the beginning are not Latin.

    >>> is_other_script("Как испечь хлеб?"), is_other_script("Wie backe ich Brot?"), is_other_script("2 + 2")
    (True, False, False)
    """
    begin = text[:_LOOKED_AT]
    if begin.isascii():
        return False
    letters = [letter for letter in begin if letter.isalpha()]
    other = sum(not unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return 2 * other > len(letters)
