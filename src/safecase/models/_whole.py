"""Put a streamed answer together, and say what is not an answer."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from safecase.models._errors import UnparsedAnswer
from safecase.models._values import Answer, Delta


async def gather_answer(pieces: AsyncGenerator[Delta], *, name: str) -> Answer:
    """Read a stream to its end.

    Raises:
        UnparsedAnswer: it held no text.
    """
    text, reasoning = [], []
    finish_reason, tokens_in, tokens_out = None, None, None
    async with aclosing(pieces):
        async for piece in pieces:
            text.append(piece.text)
            reasoning.append(piece.reasoning)
            finish_reason = piece.finish_reason or finish_reason
            tokens_in = tokens_in if piece.tokens_in is None else piece.tokens_in
            tokens_out = tokens_out if piece.tokens_out is None else piece.tokens_out
    return must_say_something(
        Answer(
            text="".join(text),
            finish_reason=finish_reason,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            reasoning="".join(reasoning) or None,
        ),
        name=name,
    )


def must_say_something(answer: Answer, *, name: str) -> Answer:
    """The answer itself, if it says anything.

    Raises:
        UnparsedAnswer: the text is empty or blank. Where the endpoint said why, so does the message.
    """
    if answer.text.strip():
        return answer
    why = {
        "content_filter": "; the endpoint's own filter withheld it",
        "tool_calls": "; it called a tool instead",
        "length": "; its tokens went into reasoning, raise max_tokens" if answer.reasoning else "",
    }.get(answer.finish_reason or "", "")
    raise UnparsedAnswer(f"{name} answered nothing (finish reason {answer.finish_reason!r}){why}")
