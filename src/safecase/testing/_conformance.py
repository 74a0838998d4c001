"""What every target promises, held against an open one."""

import asyncio
from contextlib import aclosing

from safecase.evidence import IDENTITY_KINDS, Message
from safecase.models import Answer, Model, Request, Settings

_TOKENS = 12


class Nonconforming(AssertionError):
    """A target breaks a promise of the seam; the message is the promise."""


async def check_model(model: Model, *, question: str = "Say good morning.") -> None:
    """Hold a target against what `safecase.models.Model` promises, then close it.

    Args:
        model: open, answers the question in one way or another as often as asked (about ten times).

    Raises:
        Nonconforming: naming the promise that it breaks.
    """
    async with model as opened:
        _must(opened is model, "entering a model gives the model itself")
        _must(bool(model.name), "a model has a name")
        _must(model.concurrency >= 1, "a model suits at least one attempt in flight")
        await _check_identity(model)
        _check_answer(await model.generate(_request(question)))
        conversation = (
            Message(role="system", content="Be brief."),
            Message(role="user", content="Hello."),
            Message(role="assistant", content="Hello!"),
            Message(role="user", content=question),
        )
        _check_answer(await model.generate(_request(question, messages=conversation)))
        await _check_stream(model, question)
        await _check_stopping_early(model, question)
        await _check_many(model, question)
    await model.aclose()


async def _check_identity(model: Model) -> None:
    first, second = await model.identity(), await model.identity()
    _must(first == second, "a model's identity stays the same while it is open")
    _must(first.model == model.name, "an identity names the model as it is named")
    _must(first.kind in IDENTITY_KINDS, "an identity is of a known kind")


def _check_answer(answer: Answer) -> None:
    _must(bool(answer.text.strip()), "an answer says something; an empty one is raised as UnparsedAnswer")
    for count in (answer.tokens_in, answer.tokens_out):
        _must(count is None or count > 0, "a token count that is not known is None, never 0")
    if answer.tokens_out is not None:
        _must(answer.tokens_out <= _TOKENS, "an answer keeps to max_tokens")


async def _check_stream(model: Model, question: str) -> None:
    async with aclosing(model.stream(_request(question))) as stream:
        pieces = [piece async for piece in stream]
    _must(bool("".join(piece.text for piece in pieces).strip()), "the pieces of a stream say something")
    reasons = [piece.finish_reason for piece in pieces if piece.finish_reason is not None]
    _must(len(reasons) == 1, "one piece of a stream carries the finish reason")


async def _check_stopping_early(model: Model, question: str) -> None:
    async with aclosing(model.stream(_request(question))) as stream:
        await anext(stream)
    task = asyncio.create_task(model.generate(_request(question)))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    _must(task.done(), "an attempt can be cancelled")
    _check_answer(await model.generate(_request(question)))


async def _check_many(model: Model, question: str) -> None:
    many = min(model.concurrency, 4)
    for answer in await asyncio.gather(*(model.generate(_request(question)) for _ in range(many))):
        _check_answer(answer)


def _request(question: str, *, messages: tuple[Message, ...] = ()) -> Request:
    return Request(
        messages=messages or (Message(role="user", content=question),),
        settings=Settings(max_tokens=_TOKENS, temperature=0.0, seed=1),
        trace="check-model",
        tags={"harmful": "false"},
    )


def _must(is_kept: bool, promise: str) -> None:
    if not is_kept:
        raise Nonconforming(promise)
