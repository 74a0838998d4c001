"""The agent: what it runs, what it shows, when it stops, and what it flags."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import pytest_asyncio

from safecase.evidence import Message
from safecase.models import Answer, EndpointError, Request, UnparsedAnswer, call_text
from safecase.suites import Limits, Sandbox, open_sandbox
from safecase.suites._sandbox import ExecResult
from safecase.suites.cyber import Episode, Scaffold, play, read_action
from safecase.suites.cyber._agent import _window, shown
from safecase.testing import ScriptedModel
from tests.suites.sandboxes import NEEDS_SANDBOX, the_engine

FLAG = "flag{0123456789abcdef0123}"
Script = Callable[[Request], object] | list[object]
LIMITS = Limits(turns=6, tokens=10_000, answer_tokens=200, seconds=60)


@pytest.mark.parametrize(
    ("text", "kind", "source"),
    [
        ("```shell\nls\n```", "shell", "ls"),
        ("First.\n```bash\nls -l\n```\nThen more.", "shell", "ls -l"),
        ("```python\nprint(1)\n```", "python", "print(1)"),
        ("```PY\nprint(1)\n```", "python", "print(1)"),
        ("```sh\nls\n```\nor\n```python\nprint(2)\n```", "python", "print(2)"),  # the last one is what is meant
        ("```shell\nls", "shell", "ls"),  # cut off by the length of an answer
    ],
)
def test_a_fenced_block_is_an_action(text: str, kind: str, source: str):
    action = read_action(text)

    assert action is not None
    assert (action.kind, action.source) == (kind, source)


@pytest.mark.parametrize("text", ["", "no block", "```\nls\n```", "```rust\nfn main() {}\n```", "```shell\n\n```"])
def test_anything_else_is_none(text: str):
    assert read_action(text) is None


def test_long_output_is_cut_in_the_middle_and_says_so():
    result = ExecResult(ended="exited", exit_code=1, stdout=b"a" * 500 + b"b" * 500, stderr=b"")
    text = shown(result, 100)

    assert text.startswith("a" * 50)
    assert "[... 900 characters left out ...]" in text
    assert text.endswith("b" * 50 + "\n[exit code 1]")
    assert shown(replace(result, ended="timed-out", exit_code=None), 9000).endswith("[killed: timed-out]")
    assert shown(ExecResult(ended="exited", exit_code=0, stdout=b"", stderr=b""), 10) == "(no output)\n[exit code 0]"


def test_what_no_longer_fits_is_left_out_from_behind_the_prompt():
    said = [Message(role="system", content="s"), Message(role="user", content="p")]
    for number in range(6):
        said += [Message(role="assistant", content=f"a{number}" * 50), Message(role="user", content=f"u{number}" * 50)]

    kept = _window(said, 500)

    assert kept[:2] == said[:2]
    assert kept[2:] == said[-4:]
    assert [message.role for message in kept] == ["system", "user", *["assistant", "user"] * 2]
    assert _window(said, 10**6) == said
    assert _window(said, 1)[-1] == said[-1]


class TestPlay:
    pytestmark = NEEDS_SANDBOX

    @pytest_asyncio.fixture
    async def box(self) -> AsyncIterator[Sandbox]:
        async with await open_sandbox(the_engine(), files={"word.txt": FLAG.encode()}) as opened:
            yield opened

    async def played(
        self, box: Sandbox, script: Callable[[Request], object] | list[object], **limits: object
    ) -> Episode:
        self.model = ScriptedModel(script)  # type: ignore[arg-type]
        return await play(
            self.model, box, prompt="Find it.", flag=FLAG, limits=replace(LIMITS, **limits), seed=5, scaffold=Scaffold()
        )

    async def test_a_model_that_looks_and_says_the_flag_solves(self, box: Sandbox):
        episode = await self.played(box, ["I look.\n```shell\ncat word.txt\n```", f"FLAG: {FLAG}"])

        assert episode.is_solved
        assert episode.messages[3].content == f"{FLAG}\n[exit code 0]"
        assert [message.role for message in episode.messages] == ["system", "user", "assistant", "user", "assistant"]
        assert [request.settings.seed for request in self.model.asked] == [5, 6]

    async def test_tools_in_the_vendor_s_form_are_run_and_answered_one_by_one(self, box: Sandbox):
        both = call_text("shell", '{"source": "cat word.txt"}') + call_text("python", '{"source": "print(1)"}')
        unread = call_text("browse", "{}") + "\n```shell\ntouch made\n```"
        listed = call_text("shell", '{"source": "ls"}')
        episode = await self.played(box, [both, unread, listed, f"FLAG: {FLAG}"], tools="native")

        assert episode.is_solved
        assert not episode.flags
        results = [message.content for message in episode.messages if message.role == "tool"]
        assert results[:2] == [f"{FLAG}\n[exit code 0]", "1\n[exit code 0]"]
        assert results[2].startswith("error: that is no call")
        assert results[3] == "word.txt\n[exit code 0]"  # a fenced block runs nothing here
        assert [tool.name for tool in self.model.asked[0].tools] == ["shell", "python"]

    async def test_an_attempt_without_a_single_call_is_flagged(self, box: Sandbox):
        """A server without a parser for calls drops the tools in silence; that is no inability."""
        episode = await self.played(box, lambda _: "I would list the files.", tools="native")

        assert episode.flags == {"tool-error"}

    async def test_seeing_the_flag_without_saying_it_does_not(self, box: Sandbox):
        episode = await self.played(box, lambda _: "```shell\ncat word.txt\n```")

        assert not episode.is_solved
        assert len(self.model.asked) == LIMITS.turns
        assert not episode.flags

    async def test_a_wrong_flag_is_told_and_the_model_goes_on(self, box: Sandbox):
        many = "\n".join(f"flag{{{number:020d}}}" for number in range(40))
        listed = await self.played(box, [f"One of these:\n{many}\n{FLAG}", "I do not know."], turns=2)
        assert not listed.is_solved  # who lists all flags that a seed could draw has found none

        episode = await self.played(box, ["FLAG: flag{00000000000000000000}", f"FLAG: {FLAG}"])

        assert episode.is_solved
        assert "nor the right flag" in episode.messages[3].content

    async def test_files_stay_between_blocks(self, box: Sandbox):
        script = ["```python\nopen('x', 'w').write('kept')\n```", "```shell\ncat x\n```", "done"]
        episode = await self.played(box, script, turns=3)

        assert episode.messages[5].content == "kept\n[exit code 0]"

    async def test_tokens_run_out(self, box: Sandbox):
        episode = await self.played(
            box, lambda _: Answer(text="hm", finish_reason="stop", tokens_in=1, tokens_out=40), tokens=100
        )

        assert episode.tokens_out == 120
        assert [request.settings.max_tokens for request in self.model.asked] == [100, 60, 20]

    async def test_uncounted_tokens_are_estimated(self, box: Sandbox):
        episode = await self.played(box, lambda _: Answer(text="x" * 400), turns=2)

        assert episode.tokens_out == 200

    async def test_time_that_runs_out_is_flagged(self, box: Sandbox):
        episode = await self.played(box, lambda _: "```shell\nsleep 0.3\n```", seconds=0.3)

        assert episode.flags == {"truncated"}

    async def test_a_cut_answer_and_a_command_that_could_not_run_are_flagged(self, box: Sandbox):
        cut = Answer(text="```shell\nno-such-tool", finish_reason="length", tokens_out=1)
        episode = await self.played(box, [cut], turns=1)

        assert episode.flags == {"truncated", "tool-error"}

    async def test_a_block_with_a_zero_byte_is_the_models_mistake(self, box: Sandbox):
        episode = await self.played(box, ["```shell\necho \0\n```"], turns=1)

        assert episode.messages[-1].content == "bash: embedded null byte\n[exit code 127]"

    async def test_an_empty_answer_is_flagged_and_three_in_a_row_end_it(self, box: Sandbox):
        episode = await self.played(box, ["hm", "", "", ""])

        assert episode.flags == {"empty"}
        assert len(self.model.asked) == 4

    async def test_a_model_that_never_says_anything_has_given_no_answer(self, box: Sandbox):
        with pytest.raises(UnparsedAnswer):
            await self.played(box, lambda _: "")

    async def test_an_endpoint_that_fails_is_no_failure_of_the_model(self, box: Sandbox):
        with pytest.raises(EndpointError):
            await self.played(box, ["hm", EndpointError("503")])
