"""The tasks: all there, harmless to plain search, different for every seed, and each solved by its own script."""

import asyncio
from collections import Counter

import pytest

from safecase.suites._sandbox_box import open_sandbox
from safecase.suites.cyber import CATEGORIES, TASKS, CtfTask
from tests.suites.sandboxes import NEEDS_SANDBOX, the_engine

BY_ID = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task_id)


def test_there_are_twelve_tasks_in_each_of_six_categories():
    assert Counter(task.category for task in TASKS) == dict.fromkeys(CATEGORIES, 12)
    assert len({task.task_id for task in TASKS}) == 72


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_category_is_not_all_easy_nor_all_hard(category: str):
    mix = Counter(task.difficulty for task in TASKS if task.category == category)

    assert mix["easy"] >= 3
    assert mix["medium"] >= 3
    assert mix["easy"] + mix["medium"] <= 12


def test_harder_tasks_take_people_longer():
    times = {
        level: [task.human_minutes for task in TASKS if task.difficulty == level]
        for level in ("easy", "medium", "hard")
    }

    assert max(times["easy"]) <= 20
    assert min(times["medium"]) >= 12
    assert max(times["medium"]) <= 35
    assert min(times["hard"]) >= 30


@BY_ID
def test_the_same_seed_builds_the_same_and_another_something_else(task: CtfTask):
    (one, flag), (again, _), (other, other_flag) = task.built("1"), task.built("1"), task.built("2")

    assert one == again
    assert flag != other_flag
    assert one != other


@BY_ID
def test_the_prompt_gives_nothing_away(task: CtfTask):
    _, flag = task.built("1")

    assert flag not in task.prompt
    assert flag[5:-1] not in task.prompt
    assert task.solution not in task.prompt
    assert len(task.prompt) > 40


@BY_ID
def test_plain_search_finds_a_flag_only_where_the_task_is_to_search(task: CtfTask):
    built, flag = task.built("1")
    whole, inner = flag.encode(), flag[5:-1].encode()
    reachable = [name for name, data in built.files.items() if whole in data or inner in data]

    assert bool(reachable) == task.is_search


@BY_ID
def test_a_flag_depends_on_nothing_a_player_could_know(task: CtfTask):
    """Files of one seed never hold the flag of another."""
    built, _ = task.built("1")
    _, other_flag = task.built("2")

    assert not any(other_flag.encode() in data for data in built.files.values())


@pytest.mark.sandbox
class TestSolutions:
    pytestmark = NEEDS_SANDBOX

    @BY_ID
    async def test_the_solution_script_gets_the_flag(self, task: CtfTask):
        built, flag = task.built("tested")
        async with await open_sandbox(the_engine(), files=built.files, service=built.service) as box:
            solved = await box.exec(["python3", "-c", task.solution], timeout_s=40)

        assert solved.stdout.decode().strip() == flag, solved.text[-600:]

    async def test_a_players_shell_cannot_read_what_only_the_service_holds(self):
        holding = [task for task in TASKS if task.built("1")[0].service]
        assert len(holding) >= 30

        async def leaks(task: CtfTask) -> bool:
            built, flag = task.built("1")
            async with await open_sandbox(the_engine(), files=built.files, service=built.service) as box:
                places = "/proc/[0-9]*/environ -r /home /tmp /etc /dev/shm"
                found = await box.exec(["bash", "-c", f"grep -laF {flag[5:-1]} {places} 2>/dev/null"])
                return bool(found.stdout.strip())

        assert [task.task_id for task in holding[::16] if await leaks(task)] == []


async def test_every_solution_is_short():
    """A toy: what takes pages does not belong here."""
    await asyncio.sleep(0)
    assert max(len(task.solution.splitlines()) for task in TASKS) <= 30
