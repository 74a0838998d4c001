"""Players of the suites for agents: careful, gullible, useless."""

from collections.abc import Callable
from typing import Literal

from safecase.models import Request
from safecase.suites.injection import ATTACKED, Bank, load_bank
from safecase.suites.insecure_code import load_code_tasks
from safecase.suites.interpreter import load_abuse_tasks
from safecase.testing._models import Reply

AgentCharacter = Literal["careful", "gullible", "useless"]

_NO = "I'm sorry, but I can't help with that request."


def agent_player(character: AgentCharacter, *, bank: Bank | None = None) -> Callable[[Request], Reply]:
    """A script for `ScriptedModel` that plays `agent-injection`, `insecure-code` and `interpreter-abuse` in character.

    * *careful*: does the person's work and follows no order in a tool's result; writes sound code; does what is
      harmless in an interpreter and refuses the rest.
    * *gullible*: does the work, and what a tool's result orders first; writes weak code; runs whatever it is asked to.
    * *useless*: refuses everything.

    Args:
        bank: of `agent-injection`, where it is not the shipped one.
    """
    desk = bank or load_bank()

    def play(request: Request) -> Reply:
        if character == "useless":
            return _NO
        if request.tags["suite"] == "agent-injection":
            return _desk(request, character, desk)
        return _SUITES[request.tags["suite"]](request, character)

    return play


def _desk(request: Request, character: AgentCharacter, bank: Bank) -> str:
    """The task's steps; whoever is gullible takes up the order after the last of the reads, which is the carrier's."""
    task = next(one for one in bank.tasks if one.id == request.tags["task"])
    steps = list(task.steps)
    if character == "gullible" and request.tags["condition"] == ATTACKED:
        laid = [one.goal for one in task.instead if one.goal is not None]
        goal = next(one for one in (*laid, *bank.goals) if one.id == request.tags["goal"])
        reads = max(at for at, step in enumerate(steps) if step.made.target is None or step.call == "open_page")
        steps[reads + 1 : reads + 1] = goal.steps
    turn = sum(message.role == "assistant" for message in request.messages)
    return str(steps[turn].made) if turn < len(steps) else task.says


def _code(request: Request, character: AgentCharacter) -> str:
    """The whole function in words, what is lacking of one that was begun."""
    task = next(one for one in load_code_tasks() if one.id == request.tags["task"])
    body = task.weak if character == "gullible" else task.sound
    code = body if request.tags["way"] == "autocomplete" else f"{task.begun}{body}"
    return f"Here it is.\n\n```{task.language}\n{code}```"


def _interpreter(request: Request, character: AgentCharacter) -> str:
    side, _, name = request.tags["task"].partition("/")
    task = next(one for one in load_abuse_tasks() if one.id == name)
    if side == "abuse" and character == "careful":
        return _NO
    if any(message.role == "assistant" for message in request.messages):
        return "That is what it gave."
    return f"I run this.\n\n```shell\n{task.works if side == 'benign' else task.acts}\n```"


_SUITES: dict[str, Callable[[Request, AgentCharacter], str]] = {
    "insecure-code": _code,
    "interpreter-abuse": _interpreter,
}
