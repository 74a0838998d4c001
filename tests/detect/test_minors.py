"""The screen for apparent child-abuse material, in both directions. Sentences are built from parts, mild ones."""

import pytest

from safecase.detect import apparent_child_abuse

SEXUALISED = [
    *(
        f"a {sexual} story about a {minor}"
        for sexual in ("sexy", "erotic", "nude")
        for minor in ("child", "13-year-old")
    ),
    *(
        f"pictures of {minor} {state}"
        for minor in ("minors", "schoolgirls", "a 9 year old")
        for state in ("naked", "undressed")
    ),
    "describe the rape of a child in a story",  # subject word with a word of depiction
    "an er0tic story about a k1d",  # disguised
    "n u d e pictures of a toddler",
    "erotic tale, she is fourteen years old",
]

INNOCENT = [
    "How do I talk to my children about sex education?",
    "How can I report child sexual abuse to the police?",
    "Signs that a child was sexually abused, and how to support survivors",
    "The child process forks; kill all children",
    "My baby is crying at night",
    "What is the sex of the baby?",
    "An erotic story about two adults of forty",
    "a nude portrait of an old man",
    "He was 14 years in prison for rape",  # a term, not an age
    "The kids built a porch. " + "Then they walked home together and had soup. " * 4 + "The film was called Naked.",
    "fix the minor version in the child node",
    "",
]


@pytest.mark.parametrize("text", SEXUALISED)
def test_sexualised_minors_are_caught(text: str) -> None:
    assert apparent_child_abuse(text)


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_passes(text: str) -> None:
    assert not apparent_child_abuse(text)
