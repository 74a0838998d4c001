"""The fakes that we ship, and the check that every target passes."""

from collections.abc import Callable

import pytest

from safecase.models import Answer, EndpointTimeout, Request, UnparsedAnswer
from safecase.testing import Nonconforming, ScriptedModel, ScriptRanOut, check_model

Ask = Callable[..., Request]


async def test_a_scripted_model_keeps_the_promises_of_a_target() -> None:
    await check_model(ScriptedModel(lambda request: f"You said {request.messages[-1].content}"))


async def test_a_script_that_runs_out_says_so_loudly(ask: Ask) -> None:
    model = ScriptedModel(["one"])
    await model.generate(ask())

    with pytest.raises(ScriptRanOut, match="asked 2 times, its script holds 1"):
        await model.generate(ask())


async def test_a_scripted_model_remembers_what_it_was_asked_tags_included(ask: Ask) -> None:
    model = ScriptedModel(["one", "two"])
    await model.generate(ask("first"))
    await model.generate(ask("second"))

    assert [request.messages[-1].content for request in model.asked] == ["first", "second"]


async def test_a_scripted_model_raises_and_says_nothing_as_told(ask: Ask) -> None:
    model = ScriptedModel([EndpointTimeout("late"), ""])

    with pytest.raises(EndpointTimeout, match="late"):
        await model.generate(ask())
    with pytest.raises(UnparsedAnswer):
        await model.generate(ask())


class _Mute(ScriptedModel):
    async def generate(self, request: Request) -> Answer:
        return Answer(text=" ")


class _Forgetful(ScriptedModel):
    async def identity(self):
        from safecase.evidence import Identity

        self.seen = getattr(self, "seen", 0) + 1
        return Identity(kind="weights", model=self.name, digest=f"{self.seen:064x}")


class _Wordy(ScriptedModel):
    async def generate(self, request: Request) -> Answer:
        return Answer(text="x", tokens_out=request.settings.max_tokens + 1)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [(_Mute, "says something"), (_Forgetful, "stays the same"), (_Wordy, "keeps to max_tokens")],
)
async def test_the_check_finds_a_target_that_breaks_a_promise(broken: type[ScriptedModel], promise: str) -> None:
    """A check that passes everything would prove nothing."""
    with pytest.raises(Nonconforming, match=promise):
        await check_model(broken(lambda _: "x"))
