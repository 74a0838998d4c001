"""Any Inspect provider, for suites and for the models only it reaches."""

from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any, Self

from safecase.evidence import Identity
from safecase.models._errors import BadKey, EndpointError, EndpointTimeout, MissingPackage, ModelError, UnknownModel
from safecase.models._values import Answer, Delta, Request, must_ask_without_tools
from safecase.models._whole import must_say_something

_RETRIES = 5
_TIMEOUT_S = 300


class InspectModel:
    """A model by its Inspect name, such as `mockllm/model` or `anthropic/<model>`.

    Args:
        name: as Inspect spells it.
        opened: an open Inspect model, where the provider needs arguments that a name cannot carry.

    Raises:
        MissingPackage: `inspect-ai` (extra `[suites]`) is not installed.
        UnknownModel: Inspect does not know the provider, or lacks its package or key.
    """

    def __init__(self, name: str, *, opened: Any = None) -> None:  # Inspect's own type
        self.name = f"inspect/{name}"
        self.concurrency = 16
        self._inspect = opened or _open(name)

    async def generate(self, request: Request) -> Answer:
        """Answer whole. Inspect's own retries are bounded, or one dead endpoint would hold a run for ever."""
        from inspect_ai.model import GenerateConfig

        must_ask_without_tools(request, name=self.name)
        settings = request.settings
        config = GenerateConfig(
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed,
            stop_seqs=list(settings.stop) or None,
            max_retries=_RETRIES,
            timeout=_TIMEOUT_S,
        )
        try:
            output = await self._inspect.generate(_messages(request), config=config)
        except Exception as error:
            raise self._fault(error) from error
        if output.error:
            line = f"{self.name}: an error in place of an answer"
            raise EndpointError(f"{line}: {_one_line(output.error)}", ours=line)
        return must_say_something(_answer(output), name=self.name)

    async def stream(self, request: Request) -> AsyncGenerator[Delta]:
        """The whole answer as one piece: Inspect gives answers whole."""
        answer = await self.generate(request)
        yield Delta(
            text=answer.text,
            reasoning=answer.reasoning or "",
            finish_reason=answer.finish_reason,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
        )

    async def identity(self) -> Identity:
        """A name is all that a provider proves."""
        return Identity(kind="name-only", model=self.name)

    async def aclose(self) -> None:
        """Let Inspect close what it opened."""
        await self._inspect.__aexit__(None, None, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _fault(self, error: Exception) -> ModelError:
        """Providers raise their own kinds; what their names and status codes tell is enough to sort them."""
        status = getattr(error, "status_code", None)
        line = f"{self.name}: {type(error).__name__}: {_one_line(error)}"
        if status == HTTPStatus.UNAUTHORIZED:
            return BadKey(f"{line}; set the key where Inspect's provider looks for it")
        if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
            return EndpointTimeout(line)
        code = status if isinstance(status, int) else None
        return EndpointError(line, status=code, ours=f"{self.name}: {type(error).__name__}")


def _open(name: str) -> Any:
    try:
        from inspect_ai.model import get_model
    except ImportError as error:
        line = f"inspect/{name}: inspect-ai is not installed; pip install 'safecase[suites]'"
        raise MissingPackage(line) from error
    try:
        return get_model(name, memoize=False)  # one that is ours alone to close
    except Exception as error:
        line = f"inspect/{name}: Inspect cannot open it ({_one_line(error)}); check the name, its package and its key"
        raise UnknownModel(line) from error


def _messages(request: Request) -> list[Any]:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageTool, ChatMessageUser

    kinds = {
        "system": ChatMessageSystem,
        "user": ChatMessageUser,
        "assistant": ChatMessageAssistant,
        "tool": ChatMessageTool,
    }
    return [kinds[message.role](content=message.content) for message in request.messages]


def _answer(output: Any) -> Answer:
    reasoning = [
        part.reasoning
        for choice in output.choices[:1]
        if isinstance(choice.message.content, list)
        for part in choice.message.content
        if part.type == "reasoning"
    ]
    return Answer(
        text=output.completion,
        finish_reason=output.stop_reason,
        tokens_in=output.usage.input_tokens if output.usage else None,
        tokens_out=output.usage.output_tokens if output.usage else None,
        reasoning="\n".join(reasoning) or None,
    )


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200]
