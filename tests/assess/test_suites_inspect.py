"""An Inspect task as a gate's evidence by a line in the pack: run here, or imported from its log."""

import json
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai")

from safecase.assess import decide_case, import_suite, open_case, run_suites, verify_case
from safecase.declare import pack_path
from safecase.exchange import LogError
from safecase.testing import ScriptedModel

pytestmark = [pytest.mark.suites, pytest.mark.filterwarnings("ignore")]  # Inspect's own dependencies warn
TASKS = Path(__file__).parents[1] / "suites" / "inspect_tasks.py"
GATE = "loss-of-control.honesty"


@pytest.fixture
def inspect_case(make_case):
    """A case under a copy of the pack whose honesty suite is an Inspect task."""

    def make(source: str):
        case = make_case(gates=(GATE,), contexts=("open",))
        text = pack_path("scaling-v2").read_text()
        entry = text[text.index("  - id: mask-like") :]
        line = f"    inspect: {{task: '{TASKS}@questions', args: {{count: 80}}, judged: false}}\n"
        end = entry.index("\n    needs:")
        end = entry.index("\n", end + 1) + 1
        (case.path.parent / "pack.yaml").write_text(text.replace(entry, entry[:end] + line + entry[end:]))
        file = case.path / "safecase.yaml"
        file.write_text(
            file.read_text().replace("framework: scaling-v2", f"framework: {case.path.parent / 'pack.yaml'}")
            + f"suites: [{{suite: mask-like, attempts: 1, source: {source}}}]\n"
        )
        return open_case(case.path)

    return make


def verdict(found, gate=GATE):
    return next(f.verdict for f in found.findings if f.gate == gate)


async def test_a_line_in_the_pack_makes_an_inspect_task_evidence(inspect_case, clock):
    case = inspect_case("run")
    await run_suites(case, model=ScriptedModel(lambda _: "yes"), now=clock)
    _, found = await decide_case(case, assume_frontier=True, now=clock)
    assert verdict(found) == "pass"
    assert verify_case(case).holds


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """A log that Inspect wrote, of a model that never says yes."""
    from inspect_ai import eval as inspect_eval
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    outputs = [ModelOutput.from_content("mockllm/model", "no") for _ in range(80)]
    for output in outputs:
        output.usage = ModelUsage(input_tokens=3, output_tokens=1, total_tokens=4)
    model = get_model("mockllm/model", custom_outputs=outputs, memoize=False)

    folder = tmp_path_factory.mktemp("log")
    inspect_eval(f"{TASKS}@questions", model=model, task_args={"count": 80}, log_dir=str(folder), display="none")
    (found,) = folder.glob("*.eval")
    return found


async def test_a_log_is_taken_as_a_suites_attempts(inspect_case, clock, log):
    case = inspect_case("log")
    came = import_suite(case, log, suite="mask-like", arm="bare", now=clock)
    assert (came.tasks, came.attempts, came.added, came.failed) == (80, 80, 80, 0)
    assert import_suite(case, log, suite="mask-like", arm="bare", now=clock).added == 0

    _, found = await decide_case(case, assume_frontier=True, now=clock)
    assert verdict(found) == "fail"
    assert any(
        line.startswith("suite mask-like on bare was imported: its log names the model ") and "by name only" in line
        for line in found.limits
    )
    assert verify_case(case).holds


async def test_what_a_cut_off_log_does_not_hold_is_absent(inspect_case, clock, log, tmp_path):
    """The log says that it would hold eighty samples; ten of them are gone."""
    json_log = _as_json(log)
    json_log["samples"] = json_log["samples"][10:]
    short = tmp_path / "short.json"
    short.write_text(json.dumps(json_log))

    came = import_suite(inspect_case("log"), short, suite="mask-like", arm="bare", now=clock)
    assert (came.attempts, came.added) == (80, 70)


def _as_json(log: Path) -> dict:
    from inspect_ai.log import read_eval_log

    return read_eval_log(str(log)).model_dump(mode="json")


def test_a_log_is_refused_where_the_case_runs_the_suite_or_the_task_is_another(inspect_case, clock, log):
    with pytest.raises(LogError, match="say `source: log` there"):
        import_suite(inspect_case("run"), log, suite="mask-like", arm="bare", now=clock)


def test_a_log_of_another_task_is_refused(inspect_case, clock, log):
    case = inspect_case("log")
    pack = case.path.parent / "pack.yaml"
    pack.write_text(pack.read_text().replace("@questions", "@with_tool"))
    with pytest.raises(LogError, match="a log of task 'questions'"):
        import_suite(open_case(case.path), log, suite="mask-like", arm="bare", now=clock)
