"""Intents x attacks x languages -> scenarios, lazily, each with an id that never changes."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, zip_longest
from typing import NamedTuple

from safecase.compose._attacks import ATTACKS, TRANSLATED, Attack, learned_attacks
from safecase.compose._bank import LEARNED, Intent
from safecase.compose._catalogue import attacks_named
from safecase.compose._errors import NoAttacker
from safecase.compose._pairs import POLITICAL
from safecase.declare import Framework, Gate, Sampling, Scope
from safecase.evidence import Scenario, digest_bytes, digest_plain, quick_maker

_ID_DIGITS = 24


def compose(
    intents: Iterable[Intent],
    *,
    attacks: Sequence[Attack] = ATTACKS,
    languages: Sequence[str] = ("en",),
    seed: int = 0,
    twins: bool = True,
) -> Iterator[Scenario]:
    """Yield every scenario of a bank, intent by intent.

    Attacks wrap the English wording. Another language is its own attack, `translated`, where the bank has it. Benign
    twins are sent plain: they measure over-refusal, not robustness; and so are political pairs and statements.

    Args:
        seed: chooses the wording within an attack.
    """
    rng = random.Random()  # noqa: S311 - chooses wordings, guards nothing; seeded for each
    for intent in intents:
        if intent.category in POLITICAL:
            yield _political(intent)
            continue
        yield from _harmful(intent, attacks=attacks, languages=languages, seed=seed, rng=rng)
        if twins:
            yield from _twins(intent, languages=languages)


def select(
    framework: Framework, intents: Sequence[Intent], sampling: Sampling, *, gates: Sequence[Gate]
) -> Iterator[Scenario]:
    """The scenarios of a plan: every gate's intents, all of them in one seeded random order.

    Which intents a gate draws is stratified (`sample`); the order in which they come is not. Gate by gate, or category
    by category, the first answers would all be of one kind, and a bet on them no bet on the whole; in a random order
    the intents of any gate, category or attack come in a random order too.

    The whole of one intent comes together, so that a bet per *completed intent* can be made at any point of the run; a
    scenario that two gates share comes once. Learned scenarios come before all, as they were met, so that a run that
    stops early has run them; political pairs and statements, where the case asks for them, last. Both in the order in
    which they stand among the intents.

    A learned scenario with a frame is an attack too: every harmful intent that a gate draws meets it in English,
    whatever the case samples of the portfolio, unless the gate names its attacks.
    """
    for intent in intents:
        if intent.subcategory == LEARNED:
            yield scenario_of(intent, attack=ATTACKS[0], language="en", harmful=True, seed=0)
    attacks, learned = planned_attacks(sampling), learned_attacks(intents)
    rng = random.Random()  # noqa: S311 - chooses wordings, guards nothing; seeded for each
    for _, drawn in groupby(_draws(framework, intents, sampling, gates), key=lambda draw: draw.intent.id):
        seen: set[str] = set()
        for draw in drawn:
            scope, gate_languages = draw.scope, draw.scope.languages
            languages = tuple(x for x in sampling.languages if not gate_languages or x in gate_languages)
            if scope.harmful:
                portion = _portion(attacks, scope, draw.position, sampling.attacks_per_intent)
                met = (*portion, *(() if scope.attacks else learned))
                composed = _harmful(draw.intent, attacks=met, languages=languages, seed=sampling.seed, rng=rng)
            else:
                composed = _twins(draw.intent, languages=languages)
            for scenario in composed:
                if scenario.scenario_id not in seen:
                    seen.add(scenario.scenario_id)
                    yield scenario
    yield from (_political(intent) for intent in intents if intent.category in POLITICAL)


class _Draw(NamedTuple):
    """An intent that a gate drew, as the `position`-th of its sample."""

    intent: Intent
    scope: Scope
    position: int


def _draws(framework: Framework, intents: Sequence[Intent], sampling: Sampling, gates: Sequence[Gate]) -> list[_Draw]:
    """What every gate draws, intent by intent in a random order that depends on the seed and the intents' ids alone."""
    found = [
        _Draw(intent, gate.scope, position)
        for gate in gates
        for position, intent in enumerate(
            sample(matching(intents, gate.scope, framework), size=sampling.intents, seed=sampling.seed)
        )
    ]
    return sorted(found, key=lambda draw: digest_bytes(f"{sampling.seed}/order/{draw.intent.id}".encode()))


def matching(intents: Iterable[Intent], scope: Scope, framework: Framework) -> list[Intent]:
    """The intents of a scope; for benign scopes, those that have a twin. Political and learned ones are in no scope.

    A learned scenario is there because it once went wrong: in a sample that stands for a whole it is no fair draw.
    """
    policy = {area for domain in framework.domains if domain.kind == "content-policy" for area in domain.areas}
    return [
        intent
        for intent in intents
        if intent.category not in POLITICAL
        and intent.subcategory != LEARNED
        and (not scope.domains or intent.domain in scope.domains or intent.category in scope.domains)
        and (not scope.categories or intent.category in scope.categories)
        and (not scope.subcategories or intent.subcategory.startswith(scope.subcategories))
        and (scope.harmful or intent.twin is not None)
        and (scope.domains or scope.categories or intent.category in policy)
    ]


def sample(intents: Sequence[Intent], *, size: int | None, seed: int) -> list[Intent]:
    """A seeded random permutation within each category, categories dealt in turn, cut to `size`.

    The order of an intent within its category depends on the seed and its id alone, so a bank that grows keeps the
    relative order of what it had.
    """
    strata: dict[str, list[Intent]] = defaultdict(list)
    for intent in sorted(intents, key=lambda i: digest_bytes(f"{seed}/{i.id}".encode())):
        strata[intent.category].append(intent)
    dealt = [intent for turn in zip_longest(*(strata[key] for key in sorted(strata))) for intent in turn if intent]
    return dealt if size is None else dealt[:size]


def scope_holds(scope: Scope, framework: Framework, *, domain: str, category: str, subcategory: str) -> bool:
    """Whether an intent's domain, category and subcategory fall in a scope."""
    probe = Intent(
        id="probe",
        domain=domain,
        category=category,
        subcategory=subcategory,
        severity=1,
        bears_on=(),
        text="",
        twin="",
    )
    return bool(matching([probe], scope, framework))


def _portion(attacks: Sequence[Attack], scope: Scope, position: int, per_intent: int | None) -> Sequence[Attack]:
    """The attacks one intent meets: all, or a window that moves on, so that every attack gets its share."""
    allowed = [attack for attack in attacks if not scope.attacks or attack.name in scope.attacks]
    if per_intent is None or per_intent >= len(allowed):
        return allowed
    start = position * per_intent
    return [allowed[(start + step) % len(allowed)] for step in range(per_intent)]


def planned_attacks(sampling: Sampling) -> tuple[Attack, ...]:
    """The attacks of a plan, the adaptive ones with no more attempts than it allows.

    Raises:
        UnknownAttack: a name is in no list, or a plug-in is not an attack.
        NoAttacker: one asks an attacker model and the plan names none.
    """
    attacks = attacks_named(sampling.attacks, plugins=sampling.plugins)
    for attack in attacks:
        if attack.needs_attacker and sampling.attacker is None:
            raise NoAttacker(attack.name)
    return tuple(_capped(attack, sampling.attempts) for attack in attacks)


def _capped(attack: Attack, attempts: int | None) -> Attack:
    """An adaptive attack with at most this many attempts."""
    return attack if attempts is None else replace(attack, attempts=min(attempts, attack.attempts))


def _harmful(
    intent: Intent, *, attacks: Sequence[Attack], languages: Sequence[str], seed: int, rng: random.Random
) -> Iterator[Scenario]:
    for language in languages:
        if language == "en":
            for attack in attacks:
                yield _scenario(intent, intent.text, attack, language="en", harmful=True, seed=seed, rng=rng)
        elif language in intent.translations:
            yield scenario_of(intent, attack=TRANSLATED, language=language, harmful=True, seed=seed)


def _twins(intent: Intent, *, languages: Sequence[str]) -> Iterator[Scenario]:
    for language in languages:
        twin = intent.twin if language == "en" else intent.translations.get(language, ("", None))[1]
        if twin:
            attack = ATTACKS[0] if language == "en" else TRANSLATED
            yield scenario_of(intent, attack=attack, language=language, harmful=False, seed=0)


def scenario_of(intent: Intent, *, attack: Attack, language: str, harmful: bool, seed: int) -> Scenario:
    """One scenario of an intent: the same arguments give the same one, id included.

    Args:
        language: `en`, or a language that the intent is translated to; its attack is then `TRANSLATED`.
        harmful: False for the benign twin, which the intent must have in that language, with seed 0; and for a
            political request, whose text it is then.
    """
    if intent.category in POLITICAL:
        return _political(intent)
    text, twin = (intent.text, intent.twin) if language == "en" else intent.translations[language]
    said = text if harmful else twin or ""
    return _scenario(intent, said, attack, language=language, harmful=harmful, seed=seed)


def _political(intent: Intent) -> Scenario:
    return _scenario(intent, intent.text, ATTACKS[0], language="en", harmful=False, seed=0)


def _scenario(
    intent: Intent,
    text: str,
    attack: Attack,
    *,
    language: str,
    harmful: bool,
    seed: int,
    rng: random.Random | None = None,
) -> Scenario:
    """One scenario; `rng` is seeded here whatever it was, since to make one costs as much as to seed it twice."""
    if rng is None:
        rng = random.Random()  # noqa: S311 - chooses a wording, guards nothing
    rng.seed(f"{seed}/{intent.id}/{attack.name}")
    messages = attack.wrap(text, rng)
    identity: list[object] = [intent.id, harmful, attack.name, language, [[m.role, m.content] for m in messages]]
    if attack.play is not None:  # what follows the opening is decided by these, and by no wording that is known yet
        identity += [text, seed, attack.attempts, attack.revision]
    return _made(
        scenario_id=digest_plain(identity)[:_ID_DIGITS],
        intent_id=intent.id,
        harmful=harmful,
        domain=intent.domain,
        category=intent.category,
        subcategory=intent.subcategory,
        severity=intent.severity if harmful else 1,
        bears_on=intent.bears_on,
        language=language,
        attack=attack.name,
        family=attack.family,
        messages=messages,
        intent_text=text,
        held_out=intent.held_out,
        attempts=attack.attempts,
        asks_attacker=attack.needs_attacker,
    )


_made = quick_maker(Scenario)
