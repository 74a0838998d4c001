"""Babble is told from answers, and nothing that people really write is called babble."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safecase.detect import incoherence
from safecase.detect._coherence import _WORD, _words

PROMPT = "How do I bake a chocolate cake for my friend in the oven tonight?"
_rng = random.Random(0)

BABBLE = {
    "nothing": "   \n ",
    "signs": "#$%@^&*!(" * 10,
    "one word": "the " * 40,
    "a loop of sentences": "I am a helpful assistant. " * 15,
    "laughter": "ha" * 40,
    "keyboard": " ".join("".join(_rng.choices(string.ascii_lowercase, k=_rng.randint(2, 9))) for _ in range(60)),
    "echo": PROMPT,
    "a loop without spaces": "你好世界" * 100,
}

ANSWERS = {
    "short": "Yes.",
    "a number": "42",
    "an emoji": "👍",
    "prose": "To bake a cake, mix butter and sugar, add the eggs one by one, then the flour, and bake it for an hour.",
    "refusal": "I'm sorry, but I can't help with that.",
    "code": "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))  # 3\n",
    "list": "\n".join(f"{i}. item number {i}: {word}" for i, word in enumerate(["egg", "milk", "salt", "flour"], 1)),
    "shopping": "eggs, milk, butter, flour, sugar, cocoa, vanilla, salt, yeast, cream, berries, honey",
    "table": "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n",
    "formula": "x = (-b ± √(b² − 4ac)) / 2a",
    "German": "Zuerst rührt man Butter und Zucker schaumig, dann kommen die Eier dazu, und am Ende das Mehl.",
    "Turkish": "Önce tereyağı ve şekeri karıştırın, sonra yumurtaları ekleyin ve bir saat pişirin; en sonra un.",
    "Russian": "Сначала смешайте масло с сахаром, потом добавьте яйца и муку, и выпекайте целый час.",
    "Hindi": "पहले मक्खन और चीनी मिलाएँ, फिर अंडे डालें, अंत में मैदा और कोको मिलाकर एक घंटे तक पकाएँ।",
    "Chinese": "先把黄油和糖打发,再一个一个加入鸡蛋,最后拌入面粉和可可粉,放进烤箱烤一个小时。",
    "Arabic": "اخلط الزبدة والسكر أولا ثم أضف البيض والدقيق والكاكاو واخبز الكعكة لمدة ساعة كاملة.",
    "chorus": "Row, row, row your boat, gently down the stream, merrily, merrily, merrily, life is but a dream.",
    "quote, then answer": f"You asked: {PROMPT} Mix butter and sugar, add eggs, then flour, and bake it for an hour.",
}


@pytest.mark.parametrize("text", BABBLE.values(), ids=BABBLE)
def test_babble_is_incoherent(text: str) -> None:
    assert incoherence(text, PROMPT) >= 0.5


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_coherent(text: str) -> None:
    assert incoherence(text, PROMPT) < 0.5


@given(st.text(max_size=400), st.text(max_size=100))
def test_incoherence_is_a_share(text: str, prompt: str) -> None:
    assert 0 <= incoherence(text, prompt) <= 1


@given(
    text=st.text(alphabet=st.one_of(st.sampled_from("ab ' -.\x1f"), st.characters(max_codepoint=0x2FF)), max_size=40)
)
def test_words_by_the_table_are_those_of_the_expression(text: str) -> None:
    """The table is for ASCII alone, where an apostrophe between two letters joins them."""
    assert _words(text) == _WORD.findall(text)
