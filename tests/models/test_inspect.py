"""Any Inspect provider."""

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from safecase.models import BadKey, EndpointError, Model, Request, UnknownModel, UnparsedAnswer, open_model
from safecase.models._inspect import InspectModel
from safecase.testing import check_model

Ask = Callable[..., Request]

pytestmark = [
    pytest.mark.suites,
    pytest.mark.skipif(importlib.util.find_spec("inspect_ai") is None, reason="inspect-ai is not installed"),
    # Inspect's own dependencies warn; our code raises no warning of its own here.
    pytest.mark.filterwarnings("ignore"),
]


def _mock(text: str = "Good morning.", *, asked: list[Any] | None = None) -> Model:
    """Inspect's mock with its usage given: without, it fetches a tokenizer from the network."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    def answer(messages: Any, tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        if asked is not None:
            asked.append((messages, config))
        output = ModelOutput.from_content("mockllm/model", text)
        output.usage = ModelUsage(input_tokens=5, output_tokens=3, total_tokens=8)
        return output

    opened = get_model("mockllm/model", memoize=False, custom_outputs=answer)
    return InspectModel("mockllm/model", opened=opened)


async def test_it_keeps_the_promises_of_a_target() -> None:
    await check_model(_mock())


async def test_the_conversation_and_the_settings_reach_the_provider(ask: Ask) -> None:
    asked: list[Any] = []
    async with _mock(asked=asked) as model:
        answer = await model.generate(ask("Hi", system="Be kind.", temperature=0.5, stop=("\n",)))

    (messages, config) = asked[0]
    assert [(message.role, message.text) for message in messages] == [("system", "Be kind."), ("user", "Hi")]
    assert (config.max_tokens, config.temperature, config.seed, config.stop_seqs) == (16, 0.5, 1, ["\n"])
    assert config.max_retries is not None  # Inspect retries for ever by default
    assert (answer.tokens_in, answer.tokens_out, answer.finish_reason) == (5, 3, "stop")


async def test_an_empty_answer_is_unparsed(ask: Ask) -> None:
    async with _mock("") as model:
        with pytest.raises(UnparsedAnswer):
            await model.generate(ask())


@pytest.mark.parametrize(
    ("status", "kind"), [(401, BadKey), (403, EndpointError), (500, EndpointError), (None, EndpointError)]
)
async def test_a_providers_own_error_becomes_one_of_ours(ask: Ask, status: int | None, kind: type[Exception]) -> None:
    class Refused(Exception):
        status_code = status

    class Broken:
        async def generate(self, *_: object, **__: object) -> None:
            raise Refused("no\nluck")

    with pytest.raises(kind, match="Refused: no luck"):
        await InspectModel("mockllm/model", opened=Broken()).generate(ask())


@pytest.mark.parametrize("name", ["nonsense/model", "mockllm"])
def test_a_name_that_inspect_does_not_know_gives_one_line(name: str) -> None:
    with pytest.raises(UnknownModel, match=f"inspect/{name}") as caught:
        open_model(f"inspect/{name}")

    assert "\n" not in str(caught.value)


async def test_its_identity_is_a_name() -> None:
    async with _mock() as model:
        assert (await model.identity()).kind == "name-only"
