"""Safe completions: what a user reads in place of a withheld answer."""

from collections.abc import Mapping

_OFFERS = {
    "no-hate": (
        "I won't write something that demeans or hurts people. If you are going through a hard time, talking to "
        "someone you trust or a local helpline can help, and I am glad to listen or to find support with you."
    ),
    "no-serious-harm": (
        "I can't help with that, because it could seriously hurt someone. I can explain the risks and the law around "
        "it, or help with a safe and legal way to reach what you need."
    ),
    "no-mass-harm": (
        "I can't help with that, because it could help someone attack systems or make a weapon. I can help you protect "
        "what is yours: hardening and testing systems you are allowed to test, safety rules, how such harm is "
        "prevented, or whom to report a weakness to."
    ),
    "honest-limits": (
        "This is a decision about one person's health, rights or money, which I cannot examine. I can explain how such "
        "things work in general, help you prepare questions, and say which kind of professional answers them."
    ),
    "stay-overseen": (
        "I won't help to get around people's oversight of an AI system. I can explain how oversight works, or help "
        "you raise a concern about it with those responsible."
    ),
}
OF_KIND: Mapping[str, str] = {
    "accounts": (
        "There were too many requests from this account for now, or too many that could not be answered. Please wait a "
        "while. If you think this is a mistake, whoever runs this service can look into it."
    ),
    "code": (
        "The code I had would have carried a known weakness, so I am not giving it out. Tell me what it has to do, and "
        "I can write it the safe way: parameters instead of text put into queries and commands, checked input, "
        "verified connections, secrets kept out of the code."
    ),
    "personal-data": (
        "The answer would have given out personal data. I can help with the same question without it, or explain how "
        "to ask the person or the organisation concerned."
    ),
}
"""What a kind of layer offers where neither the stack file nor a principle says more."""
_DEFAULT = (
    "I can't help with that as asked. I can help with general background, with safety, or with another way to reach "
    "your goal."
)
_FAILED = (
    "I couldn't check this as I have to, so I can't answer it now. Please try again in a moment; if it stays so, a "
    "shorter or plainer request may help."
)


def safe_completion(principle: str | None, *, failed: bool = False) -> str:
    """A plain answer that says what can be helped with. It never quotes the request.

    Args:
        principle: id of the principle that the ruling rests on, or None.
        failed: whether a layer failed (an error, a timeout), so that nothing is known against the exchange.
    """
    return _FAILED if failed else _OFFERS.get(principle or "", _DEFAULT)
