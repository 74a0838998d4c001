"""A fingerprint: greedy answers to fixed harmless probes, digested.

It tells that an endpoint still answers as it did, which a name does not; it does not tell that two models differ only
where the probes look. An endpoint that samples, or decodes in batches, may not repeat itself: then it has no
fingerprint, and its identity stays a name.
"""

from safecase.evidence import Identity, Message, digest_value
from safecase.models._errors import UnparsedAnswer
from safecase.models._values import Model, Request, Settings

PROBES: tuple[str, ...] = (
    "Name the planets of the solar system in order.",
    "Spell the word 'bicycle' backwards.",
    "What is 17 times 23?",
    "Continue the sequence: 2, 3, 5, 7, 11,",
    "Translate 'good morning' into French.",
    "Which is heavier, a kilogram of iron or a kilogram of wool?",
    "Write one sentence about rain without the letter a.",
    "List three uses of a paper clip.",
)
_SETTINGS = Settings(max_tokens=24, temperature=0.0, top_p=1.0, seed=0)


async def fingerprint(model: Model, *, probes: tuple[str, ...] = PROBES) -> Identity:
    """Replay the probes twice, one after another, and digest the answers.

    Returns:
        An identity of kind `fingerprint` when both rounds agree, else a name.

    Raises:
        AttemptFailed: a probe failed, or all came back empty; a fingerprint with holes would match too much.
        PlatformFailed: as `Model.generate`.
    """
    rounds = [[await _answer(model, probe) for probe in probes] for _ in range(2)]
    if not any(rounds[0]):
        raise UnparsedAnswer(f"{model.name} answered none of the {len(probes)} probes, so it has no fingerprint")
    if rounds[0] != rounds[1]:
        return Identity(kind="name-only", model=model.name, details={"fingerprint": "two rounds of probes differ"})
    digest = digest_value([probes, _SETTINGS.digest, rounds[0]])
    return Identity(kind="fingerprint", model=model.name, digest=digest, details={"probes": str(len(probes))})


async def _answer(model: Model, probe: str) -> str:
    request = Request(messages=(Message(role="user", content=probe),), settings=_SETTINGS, trace="fingerprint")
    try:
        return (await model.generate(request)).text
    except UnparsedAnswer:
        return ""
