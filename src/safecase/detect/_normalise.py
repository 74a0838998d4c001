"""Undo the spellings that hide text from a detector: one plain form, the same for every disguise.

The order matters. Look-alike letters are resolved before case is folded (a capital Cyrillic EN looks like H, its small
form like nothing Latin); spaced-out letters are joined before leetspeak is read (`h 4 c k` is both).
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

# --- What is never seen on screen -------------------------------------------------------------------------------------

# Combining marks used to decorate ("zalgo") text. Vowel signs of Indic, Thai, Arabic and Hebrew writing are combining
# marks too, carry meaning, and lie outside these blocks.
_DECORATIVE_MARKS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")

# Tag characters mirror ASCII invisibly and some models read them: they are shown, not removed.
_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}

_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f"  # controls, except those that are white space
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # soft hyphen, joiners, fillers
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # zero width, bidi controls
    "\ufe00-\ufe0f\ufff0-\ufffb\U000e0000-\U000e0fff]"  # variation selectors, tags
)

# --- Letters that look Latin ------------------------------------------------------------------------------------------

_CYRILLIC_GREEK = {
    **dict(zip("авеѕіјкмнорсԁтухһԛԝѵԍ", "abesijkmhopcdtyxhqwvg", strict=True)),
    **dict(zip("АВЕЅІЈКМНОРСТУХҺԚԜҮ", "ABESIJKMHOPCTYXHQWY", strict=True)),
    **dict(zip("αβγεικνορτυωχηϲϳ", "abyeiknoptuwxncj", strict=True)),
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "ABEZHIKMNOPTYXC", strict=True)),
}
# These pass for Latin only in company: they count inside a mixed token, and do not make a token of their own "wholly
# look-alike" (or half of the short Russian words would be).
_WEAK = frozenset("вкмнтβγωητκ")
_STRONG = frozenset(_CYRILLIC_GREEK) - _WEAK

# Letters that no living script needs, whatever stands beside them: small capitals, enclosed letters, phonetic variants.
_ALWAYS = {
    **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnopqrstuvwyz", strict=True)),
    **dict(zip("ɑɡıƒøłđħ", "agifoldh", strict=True)),
    **dict(zip("ØŁĐĦ", "OLDH", strict=True)),
    **{chr(start + i): chr(65 + i) for start in (0x1F150, 0x1F170, 0x1F1E6) for i in range(26)},
}


# Typographic quotes and dashes as typed ones, so that `can’t` is `can't`.
_PUNCTUATION = {**dict.fromkeys("‘’‚‛ʼ′", "'"), **dict.fromkeys("“”„‟″", '"'), **dict.fromkeys("‐‑‒–—―−", "-")}


def _latin_without_marks() -> Iterator[tuple[int, str]]:
    """Each precomposed Latin letter with its base letter: `é` -> `e`."""
    for code in (*range(0x00C0, 0x0250), *range(0x1E00, 0x1F00)):
        base = unicodedata.normalize("NFKD", chr(code))
        if len(base) > 1 and base[0].isascii() and base[0].isalpha():
            yield code, _DECORATIVE_MARKS.sub("", base)


_LETTERS = {**_ALWAYS, **_PUNCTUATION, **{chr(code): base for code, base in _latin_without_marks()}}
_LETTERED = frozenset(_LETTERS)
_LOOKALIKES = str.maketrans(_CYRILLIC_GREEK)
_WORD = re.compile(r"[^\W\d_]+")
_FOREIGN = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_LATIN = re.compile("[A-Za-z]")


def _with_plain_letters(text: str) -> str:
    """The text by the table above. `str.translate` would ask it for every letter, which takes ten times as long."""
    for letter in _LETTERED.intersection(text):
        text = text.replace(letter, _LETTERS[letter])  # by what is in no table, so that the order does not matter
    return text


def _latinise(text: str) -> str:
    """Read Cyrillic and Greek look-alikes as Latin where the token mixes scripts, or hides whole among Latin words."""
    if not _FOREIGN.search(text) or not _LATIN.search(text):  # no company to pass in
        return text
    words = list(_WORD.finditer(text))
    tokens = [_latinise_mixed(word.group()) for word in words]
    kinds = [_kind(token) for token in tokens]
    for i, kind in enumerate(kinds):
        # Tokens are taken left to right, so a run of disguised words follows the Latin word it leans on.
        around = {*kinds[max(0, i - 1) : i], *kinds[i + 1 : i + 2]}
        if kind == "lookalike" and "latin" in around and "foreign" not in around:
            tokens[i], kinds[i] = tokens[i].translate(_LOOKALIKES), "latin"
    pieces, end = [], 0
    for word, token in zip(words, tokens, strict=True):
        pieces += [text[end : word.start()], token]
        end = word.end()
    return "".join([*pieces, text[end:]])


def _latinise_mixed(token: str) -> str:
    mixed = _LATIN.search(token) and _FOREIGN.search(token)
    return token.translate(_LOOKALIKES) if mixed else token


def _kind(token: str) -> str:
    if token.isascii():
        return "latin"
    return "lookalike" if all(letter in _STRONG for letter in token) else "foreign"


# --- Letters set apart, and letters written as digits -----------------------------------------------------------------

# Four or more single letters, digits or leet signs with the same kind of gap: `h e l l o`, `k.i.l.l`, `h-4-c-k`.
_SPACED = re.compile(r"(?<![^\s.\-_*|~])[^\W_](?:(?: {1,3}|[.\-_*|~])[^\W_]){3,}(?![^\s.\-_*|~!?,;:])")
_GAP = re.compile(r"[ .\-_*|~]+")
# In every such run two letters stand alone side by side. Letters as `a` and gaps as blanks, looking for that takes a
# tenth of what the expression does.
_SHAPES = bytes(97 if chr(code).isalnum() else 32 if chr(code) in " .-_*|~" else 10 for code in range(128)) + bytes(128)
_ALONE = re.compile(b" a {1,3}a ")


def _join(run: re.Match[str]) -> str:
    """Close the gaps of a spaced-out run; wider gaps than the narrowest one part words."""
    text = run.group()
    if sum(letter.isalpha() for letter in text) < 3:
        return text
    narrow = min(len(gap) for gap in _GAP.findall(text))
    return _GAP.sub(lambda gap: " " if len(gap.group()) > narrow else "", text)


_LEET = str.maketrans({"0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"})
# A leet token has a letter on both sides of one or two leet signs; those around it are then read too. Addresses, paths
# and identifiers (`a@b.c`, `x=1`, `id_3a`) are not tokens of this shape, nor are `mp3`, `covid19`, `4th`, `10am`.
_LEET_TOKEN = re.compile(
    r"(?<![\w@$./\\:=#-])[013457@$]{0,2}[a-z]+[013457@$!]{1,2}[a-z][a-z013457@$]*(?![\w@/\\=]|\.\w)"
)
# Without a sign, or two, between letters there is no leet token; to look for the sign first is ten times as fast.
_LEET_SIGN = re.compile(r"[013457@$!](?<=[a-z].)[013457@$!]?[a-z]")
_ONE = re.compile(r"(?<=[aeiou])1|(?<=[aeiou])!(?=[a-z])")


def _unleet(token: re.Match[str]) -> str:
    """Read the signs as letters; `1` and `!` are `l` after a vowel (`he1p`), else `i` (`k1ll`)."""
    text = _ONE.sub("l", token.group().translate(_LEET))
    return text.replace("1", "i").replace("!", "i")


# --- All together -----------------------------------------------------------------------------------------------------


def normalise(text: str) -> str:
    """Give the plain form of a text: what a reader sees, in lower-case letters.

    Compatibility forms are unified (NFKC), case folded, invisible characters removed (hidden tag characters are made
    visible), decorative marks stripped, quotes and dashes made plain, look-alike letters read as Latin inside words
    that mix scripts or hide among Latin words, spaced-out letters joined, leetspeak read, white space collapsed. Real
    Russian, Greek, Hindi, Thai or Arabic text keeps its letters (case folding makes a final sigma an ordinary one).
    Idempotent.

    Does not: decode base64 or ciphers, correct typing errors, transliterate. Offsets are not kept, so spans (personal
    data) are found on the raw text.

    >>> normalise("Ｈｏｗ tо  m4k3 a c\u200bаke, p l e a s e?")
    'how to make a cake, please?'
    >>> normalise("Привет, мир")
    'привет, мир'
    """
    return _normalise_short(text) if len(text) <= _SHORT else _normalise(text)


_SHORT = 8_000


def _normalise(text: str) -> str:
    if not text.isascii():
        lettered = _with_plain_letters(unicodedata.normalize("NFKC", text))
        if lettered.isascii():  # what all that follows would have made of it: nothing of it was hidden or foreign
            text = lettered
    if text.isascii() and not _may_be_spaced(text):
        folded = _folded(text)
        if folded is not None and not _has_leet(folded):
            return folded
    after, is_settled = _once(text)
    while not is_settled and after != text:
        if after.isascii() and not (_may_be_spaced(after) and _SPACED.search(after)) and not _has_leet(after):
            return after  # nothing is left to undo: spares the second pass
        text = after
        after, is_settled = _once(text)
    return after


def _folded(text: str) -> str | None:
    """ASCII text without letters set apart, folded and its white space collapsed; None where there is more to undo."""
    seen = text.encode()
    folded = text.casefold()
    if len(seen.translate(None, _CONTROLS)) == len(seen) and "  " not in text and text == text.strip(" "):
        return folded
    if len(seen.translate(None, _HIDDEN)) != len(seen):
        return None
    folded = " ".join(folded.split())
    return None if _may_be_spaced(folded) else folded


_CONTROLS = bytes([*range(32), 127])  # white space but for the blank is among them
_HIDDEN = bytes(code for code in range(128) if _INVISIBLE.match(chr(code)))


# Every detector reads the plain form, so one answer is asked for it half a dozen times in a row.
_normalise_short = lru_cache(maxsize=64)(_normalise)


def _once(text: str) -> tuple[str, bool]:
    """One pass, and whether it is known that another would change nothing."""
    if not text.isascii():
        text = _unify(text)
    elif _INVISIBLE.search(text):
        text = _INVISIBLE.sub("", text)
    text = text.replace("\r\n", "\n") if "\r" in text else text
    folded = text.casefold()
    joined = " ".join((_SPACED.sub(_join, folded) if _may_be_spaced(folded) else folded).split())
    plain = _LEET_TOKEN.sub(_unleet, joined) if _LEET_SIGN.search(joined) else joined
    # Case alone was changed, in ASCII: every step was asked about this very text and left it.
    return plain, plain == folded and plain.isascii()


def _may_be_spaced(text: str) -> bool:
    return not text.isascii() or _ALONE.search(text.encode().translate(_SHAPES)) is not None


def _has_leet(text: str) -> bool:
    return _LEET_SIGN.search(text) is not None and _LEET_TOKEN.search(text) is not None


def _unify(text: str) -> str:
    if _INVISIBLE.search(text):  # tags are among them
        text = _INVISIBLE.sub("", text.translate(_TAGS))
    text = _DECORATIVE_MARKS.sub("", unicodedata.normalize("NFKC", text))
    text = _latinise(_with_plain_letters(text))
    folded: Callable[[str], str] = str.casefold
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", folded(text)))
