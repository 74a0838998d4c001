"""A conversation with the model under test that keeps to an attempt's limits, and keeps what was said."""

from collections.abc import Mapping, Sequence
from typing import Literal

from safecase.evidence import Message, PlannedAttempt
from safecase.models import Model, Request, Settings, Tool
from safecase.suites._flags import TRUNCATED
from safecase.suites._suite import Limits

_SEEDS = 2**32 - 1


class Talk:
    """One attempt's conversation.

    Args:
        system: what the model is told first, "" for nothing.
        planned: the attempt; its number and task go into the tags that scripted fakes read.
        tools: declared in the endpoint's own form where the limits say `native`.
        tags: more of those.

    Attributes:
        said: every turn, the system's too.
        tokens_out: as the model counts, else estimated at four characters a token.
        flags: `truncated` once an answer was cut off.
        is_withheld: a safeguard, or the endpoint's own filter, kept the last answer back.
        is_native: tools are declared to the endpoint, and a result is a turn of its own.
    """

    def __init__(
        self,
        model: Model,
        *,
        planned: PlannedAttempt,
        limits: Limits,
        system: str = "",
        tools: Sequence[Tool] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._model, self._limits, self._number = model, limits, planned.number
        self._tags = {
            "suite": planned.suite,
            "task": planned.task,
            "condition": planned.condition,
            "number": str(planned.number),
            "seed": str(limits.seed),
            **(tags or {}),
        }
        self.said: list[Message] = [Message(role="system", content=system)] if system else []
        self.tokens_out = 0
        self.flags: set[str] = set()
        self.is_withheld = False
        self.is_native = limits.tools == "native"
        self._tools = tuple(tools) if self.is_native else ()
        self._turns = 0

    @property
    def is_spent(self) -> bool:
        """Whether no further answer may be asked for."""
        return self._turns >= self._limits.turns or self.tokens_out >= self._limits.tokens

    @property
    def transcript(self) -> tuple[Message, ...]:
        """What was said so far."""
        return tuple(self.said)

    async def ask(
        self,
        text: str | Sequence[str],
        *,
        most_tokens: int | None = None,
        part: str = "",
        role: Literal["user", "tool"] = "user",
    ) -> str:
        """Say something and take the answer.

        Args:
            text: several are the results of several calls; said in words, they are one turn.
            role: whose turn it is; what a tool gave back is `tool`, so that safeguards know it as that.
            most_tokens: of the answer, where it is to be shorter than the limits let it be.
            part: a tag for scripted fakes: what this question is for.

        Raises:
            AttemptFailed: the model did not answer.
            PlatformFailed: it cannot be used at all.
        """
        texts = [text] if isinstance(text, str) else list(text)
        turns = texts if self.is_native else ["\n\n".join(texts)]
        self.said += [Message(role=role, content=one) for one in turns]
        self._turns += 1
        room = max(1, self._limits.tokens - self.tokens_out)
        settings = Settings(
            max_tokens=min(self._limits.answer_tokens, most_tokens or room, room),
            temperature=self._limits.temperature,
            seed=(self._limits.seed + 1000 * self._number + self._turns) % _SEEDS,
        )
        request = Request(
            messages=self.transcript, settings=settings, tools=self._tools, tags={**self._tags, "part": part}
        )
        answer = await self._model.generate(request)
        self.tokens_out += answer.tokens_out if answer.tokens_out is not None else max(1, len(answer.text) // 4)
        self.is_withheld = answer.finish_reason == "content_filter"
        if answer.finish_reason == "length":
            self.flags.add(TRUNCATED)
        self.said.append(Message(role="assistant", content=answer.text))
        return answer.text
