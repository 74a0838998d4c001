"""Safe completions: what a user reads in place of a withheld answer."""

_OFFERS = {
    "no-hate": (
        "I won't write something that demeans or hurts people. If you are going through a hard time, talking to "
        "someone you trust or a local helpline can help, and I am glad to listen or to find support with you."
    ),
    "no-serious-harm": (
        "I can't help with that, because it could seriously hurt someone. I can explain the risks and the law around "
        "it, or help with a safe and legal way to reach what you need."
    ),
}
_DEFAULT = (
    "I can't help with that as asked. I can help with general background, with safety, or with another way to reach "
    "your goal."
)


def safe_completion(principle: str | None) -> str:
    """A plain answer that says what can be helped with. It never quotes the request.

    Args:
        principle: id of the principle that the ruling rests on, or None (an error, a timeout).
    """
    return _OFFERS.get(principle or "", _DEFAULT)
