"""Who is under test: a model behind an arm's safeguards, which a suite asks as if it were a model."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Self

from safecase.evidence import Identity, why_unruled
from safecase.models import Answer, Delta, EndpointError, Model, Request
from safecase.safeguard import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An arm of a suite's run.

    Attributes:
        arm: "bare", "trained" or "guarded".
        model: answers through the arm's stack; a suite needs to know no more. The caller closes it.
        digest: over arm, model identity, stack and limits, as in every attempt's id.
    """

    arm: str
    model: Model
    digest: str


class Guarded:
    """A model behind a stack, as a model: the one path of `Stack.answer`, so that a suite cannot go round it.

    What a layer withholds comes back as the stack's safe completion, as a user would get it. What one withheld because
    it failed is no answer.
    """

    def __init__(self, model: Model, stack: Stack) -> None:
        self.name = model.name
        self.concurrency = model.concurrency
        self._model, self._stack = model, stack

    async def generate(self, request: Request) -> Answer:
        """Answer whole, through the stack.

        Raises:
            EndpointError: a layer gave no ruling.
        """
        served = await self._stack.answer(self._model, request)
        if (unruled := why_unruled(served.rulings)) is not None:
            raise EndpointError(unruled)
        if served.answer is None:  # withheld before the model was asked
            return Answer(text=served.text, finish_reason="content_filter", tokens_in=0, tokens_out=0)
        if served.withheld_by is None:
            return replace(served.answer, text=served.text)
        return replace(served.answer, text=served.text, reasoning=None, finish_reason="content_filter")

    async def stream(self, request: Request) -> AsyncGenerator[Delta]:
        """The whole answer as one piece: a stack rules on whole replies here."""
        answer = await self.generate(request)
        yield Delta(
            text=answer.text,
            finish_reason=answer.finish_reason,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
        )

    async def identity(self) -> Identity:
        """The model's own."""
        return await self._model.identity()

    async def aclose(self) -> None:
        """Nothing of its own to close; whoever opened model and stack closes them."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
