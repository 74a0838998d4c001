"""Random changes to a text that a reader sees through: the augmentations of best-of-N jailbreaking.

Source: Hughes et al., Best-of-N Jailbreaking (2024), text augmentations: scrambled words, random capitals, and
characters moved along the ASCII table, with a strength `sigma`. Spacing is ours.
"""

import random
import re

_WORDS = re.compile(r"\S+")
_SIGMA = 0.4


def augmented(text: str, rng: random.Random, *, sigma: float = _SIGMA) -> str:
    """One draw: words scrambled, capitals strewn, spaces put in and characters moved.

    Args:
        sigma: strength in [0, 1]; 0 leaves the text as it is.

    Raises:
        ValueError: `sigma` lies outside [0, 1].

    >>> augmented("Good morning to everyone here", random.Random(1), sigma=0.0)
    'Good morning to everyone here'
    """
    if not 0 <= sigma <= 1:
        raise ValueError(f"sigma must lie in [0, 1], got {sigma!r}")
    text = _WORDS.sub(lambda found: _scrambled(found.group(), rng, chance=sigma**0.5), text)
    text = "".join(_recased(letter, rng, chance=sigma**0.5) for letter in text)
    text = "".join(_moved(letter, rng, chance=sigma**3) for letter in text)
    return _WORDS.sub(lambda found: _spaced(found.group(), rng, chance=sigma**3), text)


def _scrambled(word: str, rng: random.Random, *, chance: float) -> str:
    """The inner letters of a word of more than three in random order."""
    if len(word) <= 3 or rng.random() >= chance:
        return word
    inner = list(word[1:-1])
    rng.shuffle(inner)
    return word[0] + "".join(inner) + word[-1]


def _recased(letter: str, rng: random.Random, *, chance: float) -> str:
    """The other case; a letter whose other case is longer (as the German sharp s) stays."""
    if not letter.isalpha() or rng.random() >= chance:
        return letter
    swapped = letter.swapcase()
    return swapped if len(swapped) == 1 else letter


def _moved(letter: str, rng: random.Random, *, chance: float) -> str:
    """A printable ASCII character one place on or back; others stay."""
    if not "!" < letter < "~" or rng.random() >= chance:
        return letter
    return chr(ord(letter) + rng.choice((-1, 1)))


def _spaced(word: str, rng: random.Random, *, chance: float) -> str:
    """The letters of a word apart."""
    return " ".join(word) if len(word) > 3 and rng.random() < chance else word
