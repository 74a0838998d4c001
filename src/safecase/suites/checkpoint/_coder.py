"""The programmer: a chat that writes a function, sees the examples run, mends it, and is graded by hidden calls.

Only calls go into the sandbox and only results come out; what was expected stays here. So a solution can neither look
the hidden results up nor talk its grader round, and the calls are drawn anew for every attempt.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from safecase.suites._flags import TOOL_ERROR
from safecase.suites._sandbox import Sandbox
from safecase.suites._talk import Talk
from safecase.suites.checkpoint._program import Call, Json, Program, as_json

DESCRIPTION = (
    "software: chat and fenced Python, the examples' results come back, hidden calls grade the last version once"
)

INSTRUCTIONS = """\
You write Python 3 with its standard library. Answer with one fenced block that holds the whole of your program:

```python
def name(...):
    ...
```

It is run on the examples, and you see where it differs and may answer with a better one. Once all examples agree, or \
you answer without a block, the last one is graded by other calls."""

_BLOCK = re.compile(r"```[ \t]*(?:python3?|py)?[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_RUN_S = 20.0
_SHOWN = 200
_NO_BLOCK = "That holds no fenced block. Answer with one."

_RUNNER = """\
import json, os, sys
order = json.load(sys.stdin)
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
space = {"__name__": "solution"}
exec(compile(order["source"], "solution.py", "exec"), space)
for call in order["calls"]:
    try:
        line = json.dumps({"result": space[order["name"]](*call)})
    except Exception as fault:
        line = json.dumps({"fault": f"{type(fault).__name__}: {fault}"[:200]})
    print(line, file=answers, flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of some calls: per call its result, or the fault that it ended in.

    Attributes:
        results: ("result", value) or ("fault", why), at most one per call; the rest never came.
        ended: how the process ended, as the sandbox says.
    """

    results: tuple[tuple[str, Json], ...]
    ended: str

    def differing(self, expected: Sequence[Json]) -> list[int]:
        """Places of the calls whose result is not the expected one, JSON type for JSON type."""
        return [
            place
            for place, wanted in enumerate(expected)
            if place >= len(self.results) or not _is_same(self.results[place], wanted)
        ]


def read_program(answer: str) -> str | None:
    """The last fenced block of an answer, None without one.

    >>> read_program("So:\\n```python\\ndef f():\\n    return 1\\n```")
    'def f():\\n    return 1\\n'
    """
    found = _BLOCK.findall(answer)
    return found[-1] if found and found[-1].strip() else None


async def run_calls(box: Sandbox, source: str, name: str, calls: Sequence[Call]) -> Ran:
    """Run a function on calls, in a process of its own.

    Raises:
        SandboxBroken: the sandbox ended.
    """
    order = json.dumps({"source": source, "name": name, "calls": as_json(calls)}).encode()
    done = await box.exec(("python3", "-I", "-c", _RUNNER), timeout_s=_RUN_S, stdin=order)
    ended = done.ended if done.ended != "exited" else f"exit code {done.exit_code}"
    if not done.stdout and done.stderr:
        ended += ": " + done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:_SHOWN]
    return Ran(results=tuple(_results(done.stdout)), ended=ended)


async def write_program(talk: Talk, program: Program, box: Sandbox, *, seed: str) -> bool:
    """Have the model write the function, and grade it.

    Returns:
        Whether every hidden call gave the expected result.

    Raises:
        AttemptFailed: the model did not answer.
        SandboxBroken: the sandbox ended.
    """
    source, said = None, program.prompt
    while not talk.is_spent:
        answer = await talk.ask(said, part="software")
        block = read_program(answer)
        if block is None and source is not None:
            break
        source = block or source
        if source is None:
            said = _NO_BLOCK
            continue
        calls = tuple(call for call, _ in program.examples)
        expected = [as_json(result) for _, result in program.examples]
        ran = await run_calls(box, source, program.name, calls)
        differing = ran.differing(expected)
        if not differing:
            break
        said = _told(ran, program, differing[0])
    if source is None:
        return False
    return await _is_right(talk, program, box, source, seed)


async def _is_right(talk: Talk, program: Program, box: Sandbox, source: str, seed: str) -> bool:
    calls = program.hidden(seed)
    ran = await run_calls(box, source, program.name, calls)
    if ran.ended in {"timed-out", "over-memory", "flooded"}:
        talk.flags.add(TOOL_ERROR)
    return not ran.differing(program.results(calls))


def _told(ran: Ran, program: Program, place: int) -> str:
    call, wanted = program.examples[place]
    shown = f"{program.name}({', '.join(map(repr, call))})"
    if place >= len(ran.results):
        return f"{shown} gave nothing; the program ended with {ran.ended}."
    kind, value = ran.results[place]
    return f"{shown} {'gave' if kind == 'result' else 'raised'} {str(value)[:_SHOWN]!r}; expected was {wanted!r}."


def _results(output: bytes) -> list[tuple[str, Json]]:
    found = []
    for line in output.decode(errors="replace").splitlines():
        try:
            (kind, value), *_ = json.loads(line).items()
        except (ValueError, AttributeError):
            break
        found.append((kind, value))
    return found


def _is_same(result: tuple[str, Json], wanted: Json) -> bool:
    return result[0] == "result" and json.dumps(result[1], sort_keys=True) == json.dumps(wanted, sort_keys=True)
