"""Fakes that we ship: a scripted model that remembers what it was asked and fails loudly."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Self

from safecase.evidence import Identity, digest_value
from safecase.models import Answer, Delta, Request, UnparsedAnswer

Reply = str | Answer | Exception


class ScriptRanOut(AssertionError):
    """More was asked of a scripted model than its script holds."""


class ScriptedModel:
    """A model that answers from a list or from a function of the request.

    Args:
        script: replies in order, or a function that makes one. An exception is raised instead of answered; an empty
            text is what real targets make of it, an `UnparsedAnswer`.
        delay_s: wait before each answer.
        identity: what it says of itself; weights named after the script's name by default.

    Attributes:
        asked: every request, in order.
        is_closed: whether it was let go of.

    >>> from safecase.evidence import Message
    >>> model = ScriptedModel(["Good morning."])
    >>> request = Request(messages=(Message(role="user", content="Hello"),))
    >>> asyncio.run(model.generate(request)).text
    'Good morning.'
    >>> asyncio.run(model.generate(request))
    Traceback (most recent call last):
    safecase.testing._models.ScriptRanOut: scripted/fake was asked 2 times, its script holds 1 replies
    """

    def __init__(
        self,
        script: Sequence[Reply] | Callable[[Request], Reply],
        *,
        name: str = "scripted/fake",
        delay_s: float = 0.0,
        identity: Identity | None = None,
        concurrency: int = 8,
    ) -> None:
        self._script = script
        self._delay_s = delay_s
        self._identity = identity or Identity(kind="weights", model=name, digest=digest_value(name))
        self.name = name
        self.concurrency = concurrency
        self.asked: list[Request] = []
        self.is_closed = False

    async def generate(self, request: Request) -> Answer:
        """The next reply of the script."""
        self.asked.append(request)
        reply = self._next(request)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, str):
            reply = Answer(text=reply, finish_reason="stop", tokens_in=1, tokens_out=max(1, len(reply.split())))
        if not reply.text.strip():
            raise UnparsedAnswer(f"{self.name} answered nothing")
        return reply

    async def stream(self, request: Request) -> AsyncGenerator[Delta]:
        """The next reply, word by word."""
        answer = await self.generate(request)
        words = answer.text.split(" ")
        for position, word in enumerate(words):
            yield Delta(text=word if position == 0 else f" {word}")
        yield Delta(finish_reason=answer.finish_reason, tokens_in=answer.tokens_in, tokens_out=answer.tokens_out)

    async def identity(self) -> Identity:
        """As given."""
        return self._identity

    async def aclose(self) -> None:
        """Nothing to let go of; `is_closed` says that it was asked to."""
        self.is_closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _next(self, request: Request) -> Reply:
        if callable(self._script):
            return self._script(request)
        if len(self.asked) > len(self._script):
            raise ScriptRanOut(
                f"{self.name} was asked {len(self.asked)} times, its script holds {len(self._script)} replies"
            )
        return self._script[len(self.asked) - 1]
