"""Our model as Inspect's provider, so that any Inspect task asks it through the arm's safeguards.

Our door takes messages and gives text, and so do the safeguards that stand in it. Tools are therefore told to the
model in words, and its calls are read from its answer: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, the
form that open models with tool training know. Where the limits say `native` they are declared to the endpoint in its
own form, and what it calls reaches us as the same text (`models/_calls.py`).
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
    modelapi,
)
from inspect_ai.model import Model as InspectsModel
from inspect_ai.tool import ToolCall, ToolInfo

from safecase.evidence import Message
from safecase.models import Answer, Model, PlatformFailed, Request, Settings, Tool, UnparsedAnswer

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
_CHARACTERS_PER_TOKEN = 4
_STOPS: dict[str, StopReason] = {"length": "max_tokens", "max_tokens": "max_tokens", "content_filter": "content_filter"}
_TOOLS = """You have these tools. To call one, write on a line of its own:
<tool_call>{{"name": "NAME", "arguments": {{...}}}}</tool_call>
You are then told what it gave. Tools, with the JSON Schema of their arguments:
{listed}"""


def as_inspect_model(model: Model, *, settings: Settings, is_native: bool = False) -> InspectsModel:
    """An Inspect model that answers with ours.

    Args:
        settings: what a task does not set itself.
        is_native: declare tools to the endpoint in its own form.
    """
    return InspectsModel(_Provider(model, settings, is_native=is_native), GenerateConfig())


@modelapi(name="safecase")
class _Provider(ModelAPI):  # type: ignore[misc]  # Inspect ships no types to us
    def __init__(self, model: Model, settings: Settings, *, is_native: bool) -> None:
        super().__init__(model_name=model.name)
        self._model, self._settings, self._is_native = model, settings, is_native
        self.fault: PlatformFailed | None = None  # Inspect counts it as a sample's error; the run must end

    async def generate(
        self,
        input: list[Any],  # noqa: A002 - the name is Inspect's
        tools: list[ToolInfo],
        tool_choice: Any,  # noqa: ARG002 - a model that is told of tools in words cannot be forced to one, nor is any
        config: GenerateConfig,
    ) -> ModelOutput:
        request = Request(
            messages=_messages(input, () if self._is_native else tools),
            settings=_settings(self._settings, config),
            tools=tuple(_declared(tool) for tool in tools) if self._is_native else (),
        )
        try:
            answer = await self._model.generate(request)
        except UnparsedAnswer as fault:
            return ModelOutput(model=self.model_name, error=str(fault), choices=[])
        except PlatformFailed as fault:
            self.fault = fault
            raise
        return _output(self.model_name, answer, with_tools=bool(tools))

    def max_connections(self) -> int:
        return self._model.concurrency

    def should_retry(self, ex: BaseException) -> bool:  # noqa: ARG002 - our door has retried already
        return False

    async def count_text_tokens(self, text: str) -> int:
        """An estimate; Inspect's own would download a tokenizer."""
        return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def _messages(given: Sequence[Any], tools: Sequence[ToolInfo]) -> tuple[Message, ...]:
    turns = [Message(role=turn.role, content=_text(turn)) for turn in given]
    if not tools:
        return tuple(turns)
    listed = "\n".join(
        f"- {tool.name}: {tool.description} {json.dumps(tool.parameters.model_dump(exclude_none=True), sort_keys=True)}"
        for tool in tools
    )
    told = _TOOLS.format(listed=listed)
    if turns and turns[0].role == "system":
        return (Message(role="system", content=f"{turns[0].content}\n\n{told}"), *turns[1:])
    return (Message(role="system", content=told), *turns)


def _declared(tool: ToolInfo) -> Tool:
    return Tool(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters.model_dump(mode="json", exclude_none=True),
    )


def _text(turn: Any) -> str:
    """A turn's text; a call that the model made, as it wrote it; a tool's result or its error."""
    text: str = turn.text
    if turn.role == "assistant" and turn.tool_calls and "<tool_call>" not in text:
        calls = [json.dumps({"name": call.function, "arguments": call.arguments}) for call in turn.tool_calls]
        return "\n".join([text, *(f"<tool_call>{call}</tool_call>" for call in calls)])
    if turn.role == "tool" and turn.error is not None:
        return f"error: {turn.error.message}"
    return text


def _settings(ours: Settings, config: GenerateConfig) -> Settings:
    return Settings(
        max_tokens=config.max_tokens or ours.max_tokens,
        temperature=ours.temperature if config.temperature is None else config.temperature,
        top_p=ours.top_p if config.top_p is None else config.top_p,
        seed=ours.seed if config.seed is None else config.seed,
        stop=tuple(config.stop_seqs or ours.stop),
    )


def _output(name: str, answer: Answer, *, with_tools: bool) -> ModelOutput:
    calls = list(_calls(answer.text)) if with_tools else []
    message = ChatMessageAssistant(content=answer.text, tool_calls=calls or None, model=name, source="generate")
    stop = "tool_calls" if calls else _STOPS.get(answer.finish_reason or "", "stop")
    said, asked = answer.tokens_out, answer.tokens_in
    out = math.ceil(len(answer.text) / _CHARACTERS_PER_TOKEN) if said is None else said
    usage = ModelUsage(input_tokens=asked or 0, output_tokens=out, total_tokens=(asked or 0) + out)
    return ModelOutput(model=name, choices=[ChatCompletionChoice(message=message, stop_reason=stop)], usage=usage)


def _calls(text: str) -> Sequence[ToolCall]:
    found: list[ToolCall] = []
    for number, match in enumerate(_CALL.finditer(text)):
        try:
            said = json.loads(match[1])
            name, arguments = str(said["name"]), said.get("arguments") or {}
            fault = None if isinstance(arguments, dict) else "the arguments are no JSON object"
        except (ValueError, KeyError, TypeError, AttributeError):
            name, arguments, fault = "unreadable", {}, "the call is no JSON object with a name and arguments"
        arguments = arguments if isinstance(arguments, dict) else {}
        found.append(ToolCall(id=f"call-{number}", function=name, arguments=arguments, parse_error=fault))
    return found
