"""Software tasks: the references are right by what is known elsewhere, hidden calls tell right from nearly right."""

import inspect
import textwrap

import pytest

from safecase.suites import Engine, NoSandbox, SandboxLimits, find_engine, open_sandbox
from safecase.suites.checkpoint import PROGRAMS, Program, as_json, read_program, run_calls
from safecase.testing._loc import _IMPORTS

# A plausible mistake per task: what is replaced in the reference, and by what.
MISTAKES = {
    "every_other": ("[::2]", "[1::2]"),
    "initials": (".upper()", ""),
    "clock_add": ("% 1440", ""),
    "commonest": ("(-counts[word], word)", "-counts[word]"),
    "run_lengths": ("runs and runs[-1][0] == char", "any(run[0] == char for run in runs)"),
    "to_roman": ("CM D CD C XC L XL X IX V IV I", "DCCCC D CCCC C LXXXX L XXXX X VIIII V IIII I"),
    "first_unbalanced": ("open_ones[0][1] if", "open_ones[-1][1] if"),
    "add_fractions": ("(-1 if bottom < 0 else 1)", "1"),
    "merge_spans": ("max(merged[-1][1], end)", "end"),
    "seconds_in": ("and order.index(char) > last", ""),
    "spiral": ("[::-1]", ""),
    "justify": ("(place < spare % gaps)", "0"),
    "cache_misses": ("held.move_to_end(key)", "pass"),
    "typing_distance": ("if i > 1 and j > 1", "if False"),
    "build_order": ("waiting.setdefault(name, set())", "pass"),
    "split_record": ("text.strip())", "text)"),
    "calculate": ("return -power()", "return -atom()"),
    "shortest_way": ('- (grid[r][c] == "#")', ""),
    "path_matches": ("many(wanted[1:], names) or", ""),
    "fill_template": ('{**scope, "it": item}', '{"it": item}'),
    "edit_script": (">= shared", "> shared"),
    "run_stack": ("a - b", "b - a"),
    "board_after": ("cell == banned", "False"),
    "count_tilings": ("range(4)", "range(1)"),
    "sheet": ("result // atom(tokens)", "int(result / atom(tokens))"),
    "satisfy": ("name if possible(with_it) else -name", "-name if possible(simplified(left or [], -name)) else name"),
    "run_machine": ("(value + 32768) % 65536 - 32768", "value"),
    "normal_form": ("-sum(p for _, p in key)", "sum(p for _, p in key)"),
    "schedule": ("used >= slice_ticks", "used > slice_ticks"),
    "choose_versions": ("key=key, reverse=True", "reverse=True"),
    "infer_type": ("open_in(kind) - held", "set()"),
    "run_script": ("[dict(zip(names, given, strict=True)), outer]", "[dict(zip(names, given, strict=True)), scope]"),
    "answer_query": ("if answer not in found", "if True"),
    "legal_moves": ("cell == target and not taken", "False"),
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    try:
        return find_engine()
    except NoSandbox as reason:
        pytest.skip(str(reason))


def test_the_tasks_are_enough_for_the_gate_and_go_from_minutes_to_hours():
    minutes = [program.minutes for program in PROGRAMS.values()]
    assert len(minutes) >= 30
    assert minutes == sorted(minutes)
    assert min(minutes) == 2
    assert sum(time >= 120 for time in minutes) >= 10


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=lambda program: program.name)
def test_a_reference_gives_what_the_examples_say(program: Program):
    assert [as_json(program.solve(*as_json(call))) for call, _ in program.examples] == [
        as_json(result) for _, result in program.examples
    ]


def test_moves_are_counted_as_chess_programs_count_them():
    """The published counts of moves at depth 1 of the usual test positions."""
    counts = {
        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq -": 20,
        "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq -": 48,
        "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - -": 14,
        "r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq -": 6,
        "rnbq1k1r/pp1Pbppp/2p5/8/2B5/8/PPP1NnPP/RNBQK2R w KQ -": 44,
        "r4rk1/1pp1qppp/p1np1n2/2b1p1B1/2B1P1b1/P1NP1N2/1PP1QPPP/R4RK1 w - -": 46,
    }
    assert {position: PROGRAMS["legal_moves"].solve(position) for position in counts} == counts


def test_the_hidden_calls_of_another_attempt_are_others():
    program = PROGRAMS["merge_spans"]
    assert program.hidden("7/0") == program.hidden("7/0")
    assert program.hidden("7/0") != program.hidden("7/1")


def test_every_task_has_a_mistake_to_be_caught():
    assert MISTAKES.keys() == PROGRAMS.keys()


async def test_references_pass_and_mistakes_fail_in_the_sandbox(engine: Engine):
    """In one sandbox for all, since they are ours."""
    passed, failed = [], []
    async with await open_sandbox(engine) as box:
        for program in PROGRAMS.values():
            source, calls = source_of(program), program.hidden("7/0")
            expected = program.results(calls)
            right = await run_calls(box, _IMPORTS + source, program.name, calls)
            old, new = MISTAKES[program.name]
            assert old in source, program.name
            wrong = await run_calls(box, _IMPORTS + source.replace(old, new), program.name, calls)
            passed += [program.name] if not right.differing(expected) else []
            failed += [program.name] if wrong.differing(expected) else []

    assert passed == list(PROGRAMS)
    assert failed == list(PROGRAMS)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def every_other(n): raise SystemExit(0)", "it leaves before it has answered"),
        ("import os\nos.write(1, b'[7]')\ndef every_other(n): return 0", "it writes results itself"),
        ("class Same(int):\n    __eq__ = bool\ndef every_other(n): return Same(0)", "it is equal to all"),
        ("def every_other(n):\n    while True: pass", "it never ends"),
        ("def other(n): return 1", "the function is not there"),
        ("def every_other(n:", "it is no Python"),
    ],
)
async def test_what_talks_its_grader_round_elsewhere_fails_here(engine: Engine, source: str, why: str, monkeypatch):
    monkeypatch.setattr("safecase.suites.checkpoint._coder._RUN_S", 2.0)
    calls = (([1, 2, 3],), ([5],), ([7, 7, 7],))
    async with await open_sandbox(engine, limits=SandboxLimits(cpu_s=3)) as box:
        ran = await run_calls(box, source, "every_other", calls)

    assert ran.differing([4, 5, 14]), why


def test_the_last_block_of_an_answer_is_the_program():
    answer = textwrap.dedent("""\
        First:
        ```python
        a = 1
        ```
        Better:
        ```
        a = 2
        ```
        """)
    assert read_program(answer) == "a = 2\n"
    assert read_program("No block.") is None


def source_of(program: Program) -> str:
    return inspect.getsource(program.solve)
