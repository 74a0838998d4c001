"""Apparent child-abuse material: text that sexualises a minor.

What hangs on this is law 4 of the design: such text is never stored, only its digest and a referral. So the rule is
plain enough to be read by the person who must answer for it, and errs towards firing when explicit sexual words stand
close to a minor. It reads words, not meaning:

* it fires on explicit sexual vocabulary within `_NEAR` words of a word for a minor (or an age under 18);
* words of the *subject* of abuse (`sexual abuse`, `molest`, `rape`) are also what survivors, parents, police and
  teachers write: they count only together with a word of *depiction or solicitation* (`story`, `pictures`, `describe`);
* fixed phrases of medicine, law and schooling (`sex education`, `same-sex`) do not count at all.

It misses euphemism, coded slang and languages other than English; and it takes no account of who speaks. It is not a
classifier of such material and never replaces a hash list or a person's report.
"""

import re
from collections.abc import Collection, Iterator
from itertools import groupby

from ._normalise import normalise

_NEAR = 12
"""Words between a minor and a sexual word for the two to belong together: about one sentence."""

_MINOR = re.compile(
    r"child(?:ren|s)?|childlike|kids?|minors?|under-?age(?:d)?|pre-?teens?|pre-?pubescent|toddlers?|infants?|bab(?:y"
    r"|ies)"
    r"|school-?(?:girls?|boys?|kids?|child(?:ren)?)|lolis?|lolitas?|lolicon|shotas?|shotacon|jailbait|tweens?"
    r"|kindergart(?:en|ne)rs?|(?:elementary|primary|middle)-?schoolers?|girl-?child|pae?do(?:phil\w*)?"
)
_AGE_UNIT = re.compile(r"years?|yrs?|yo|y/o|years?-old|year-olds?|yrs?-old")
_SMALL_NUMBERS = re.compile(
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
)
_NUMBER_AGE = re.compile(r"(\d{1,2})(?:-?(?:year|yr)s?-?olds?|-?y/?o)?")

_EXPLICIT = re.compile(
    r"sexy|sexuali[sz]\w*|erotic\w*|erotica|porn\w*|nudes?|nudity|naked|topless|orgasm\w*|masturbat\w*|ejaculat\w*"
    r"|arous\w*"
    r"|fondl\w*|fellatio|cunnilingus|intercourse|genitals?|penis|vagina|nipples?|cum|cock|dick|pussy|tits|horny|hentai"
    r"|fuck\w*|blowjobs?|handjobs?|undress\w*|strip(?:ping|tease)|seduc\w*|fetish\w*|sext(?:s|ing)?|kinky|nsfw"
    r"|lewd\w*|csam"
)
_SUBJECT = re.compile(r"sex|sexual\w*|rape[ds]?|raping|molest\w*|groom(?:ed|ing)|incest\w*")
_DEPICTION = re.compile(
    r"story|stories|scenes?|novel|fanfic\w*|fiction|pictures?|pics?|photos?|images?|videos?|clips?|drawings?|describ\w*"
    r"|graphic|explicit|detail(?:ed|s)?|roleplay\w*|role-play\w*|imagin\w*|fantas\w*|depict\w*|with|seek\w*|find|meet"
    r"|want"
    r"|how"
)
_PROTECTION = re.compile(
    r"prevent\w*|protect\w*|report\w*|polic\w*|laws?|legal\w*|crim(?:e|es|inal)|hotline|helpline|survivors?|victims?"
    r"|signs?"
    r"|detect\w*|support\w*|therap\w*|counsel\w*|safeguard\w*|teach\w*|educat\w*|parents?|statistics|research\w*|court"
    r"|convicted|charged|arrested|prosecut\w*|recogni[sz]\w*|disclos\w*|stop\w*|against|safe\w*|warn\w*|combat\w*"
)
# Phrases in which the words mean something else; taken out before anything is counted.
_HARMLESS = re.compile(
    r"\bsex(?:ual)?[ -]ed(?:ucation)?\b|\b(?:same|opposite|both|either|biological)[ -]sex(?:es)?\b|\bsex (?:of"
    r"|assigned|at birth"
    r"|chromosomes?|offenders?|determination|ratio)\b|\bsexual (?:health|orientation|reproduction|development"
    r"|dimorphism)\b"
    r"|\bnaked (?:eye|mole)\b|\bbaby (?:steps?|boomers?|shower)\b|\b(?:paint|wall|comic) strip(?:ping)?\b|\bchild "
    r"process(?:es)?\b"
    r"|\bchild (?:nodes?|elements?|class(?:es)?)\b|\bminor (?:version|league|chord|key|bug|issue|change)s?\b"
    r"|\bcock-a-doodle\b|\bmoby dick\b|\bstem cells?\b"
)
_TOKEN = re.compile(r"[\w/'-]+")
# A whole token that is explicit or of the subject; without one there is nothing to look for, which is nearly always.
_SEXUAL = re.compile(rf"(?<![\w/'-])(?:{_EXPLICIT.pattern}|{_SUBJECT.pattern})(?![\w/'-])")


def _stems(*words: re.Pattern[str]) -> set[str]:
    """The plain letters that every alternative begins with."""
    ways = "|".join(re.sub(r"\(\?:[^)]*\)", "?", pattern.pattern) for pattern in words).split("|")
    begun = (re.match(r"([a-z]*)([?*]?)", way) for way in ways)
    return {stem[1][:-1] if stem[2] else stem[1] for stem in begun if stem}


def _branches(stems: Collection[str]) -> str:
    """An expression of these, letter by letter, so that most words are passed over at their first."""
    found = []
    for letter, group in groupby(sorted(stems), key=lambda stem: stem[0]):
        rests = {stem[1:] for stem in group}
        found.append(letter if "" in rests else f"{letter}(?:{_branches(rests)})")
    return "|".join(found)


# In ASCII, what no token holds as blanks, a token that may be one is found in a quarter of the time.
_APART = bytes(code if _TOKEN.fullmatch(chr(code)) else 32 for code in range(128)) + bytes(128)
_MAY_BE_SEXUAL = re.compile(f" (?:{_branches(_stems(_EXPLICIT, _SUBJECT))})".encode())


def apparent_child_abuse(text: str) -> bool:
    """Whether a text appears to sexualise a minor, so that it must not be stored.

    >>> apparent_child_abuse("How do I talk to my children about sex education?")
    False
    """
    plain = normalise(text)
    if not _may_be_sexual(plain):
        return False
    words = _TOKEN.findall(_HARMLESS.sub(" ", plain))
    minors = tuple(_minor_positions(words))
    return bool(minors) and any(_sexualised(words, position) for position in minors)


def _may_be_sexual(plain: str) -> bool:
    if plain.isascii() and not _MAY_BE_SEXUAL.search(b" " + plain.encode().translate(_APART)):
        return False
    return _SEXUAL.search(plain) is not None


def _minor_positions(words: list[str]) -> Iterator[int]:
    for i, word in enumerate(words):
        if _MINOR.fullmatch(word) or _is_young_age(word, words[i + 1 : i + 3]):
            yield i


def _is_young_age(word: str, following: list[str]) -> bool:
    """`14-year-old`, `14yo`, `14 years old`, `fourteen year old`; a bare `aged 14` is not read."""
    number = _NUMBER_AGE.fullmatch(word)
    young = _SMALL_NUMBERS.fullmatch(word) is not None or (number is not None and int(number[1]) < 18)
    if not young:
        spelled = word.split("-")
        return bool(_SMALL_NUMBERS.fullmatch(spelled[0])) and len(spelled) > 1 and spelled[1].startswith("year")
    if number is not None and number.end() > number.end(1):
        return True
    return bool(following) and _AGE_UNIT.fullmatch(following[0]) is not None and _is_age(following)


def _is_age(following: list[str]) -> bool:
    """`14 years` may be a term of prison; `14 years old`, `14 yo` and `14 year-old` are ages."""
    return not following[0].startswith(("year", "yr")) or "old" in following[0] or following[1:2] in (["old"], ["olds"])


def _sexualised(words: list[str], position: int) -> bool:
    near = words[max(0, position - _NEAR) : position + _NEAR + 1]
    if any(_EXPLICIT.fullmatch(word) for word in near):
        return True
    if not any(_SUBJECT.fullmatch(word) for word in near):
        return False
    return any(_DEPICTION.fullmatch(word) for word in near) and not any(_PROTECTION.fullmatch(word) for word in near)
