"""A player of capture the flag that solves what it is told to, with the tasks' own solution scripts."""

import re
from collections.abc import Callable

from safecase.models import Request
from safecase.suites.cyber import TASKS


def ctf_player(solves: Callable[[str, int], bool]) -> Callable[[Request], str]:
    """A script for `ScriptedModel`.

    Args:
        solves: (task id, attempt number) -> whether that attempt is solved. Otherwise the player lists files for ever.
    """
    solutions = {task.task_id: task.solution for task in TASKS}

    def play(request: Request) -> str:
        task, number = request.tags["task"], int(request.tags["number"])
        found = re.search(r"flag\{[0-9a-f]{20}\}", request.messages[-1].content)
        if not solves(task, number):
            return "I look around.\n```shell\nls -la\n```"
        if found and len(request.messages) > 2:
            return f"FLAG: {found[0]}"
        return f"I try this.\n```python\n{solutions[task]}```"

    return play
