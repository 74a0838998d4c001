"""Who may judge: never the model that an attack optimised against."""

from collections.abc import Iterable

from safecase.measure._errors import JudgeNotIndependent


def must_be_independent(judge_id: str, *, attacker: str | None, signals: Iterable[str] = ()) -> None:
    """Refuse a judge that an attack can learn to please.

    An attack that refines itself by what a model says ends where that model is content. If the same model then
    scores it, the score measures the attack's success at pleasing its judge.

    Args:
        judge_id: `embedded`, or `llm/` and a model's name.
        attacker: name of the model that writes or refines attempts; None without one.
        signals: names of the models (or `embedded`) by which attacks tell success while they run.

    Raises:
        JudgeNotIndependent: the judge is one of them. The same model served at another address is the same.

    >>> must_be_independent("llm/openai/a@http://one", attacker="openai/b@http://one")
    """
    judge = _model(judge_id.removeprefix("llm/"))
    asked = [("attacker", attacker)] if attacker is not None else []
    for role, name in [*asked, *(("signal", signal) for signal in signals)]:
        if _model(name) == judge:
            raise JudgeNotIndependent(
                f"judge {judge_id!r} is also the {role} model {name!r} of the case's attacks, which optimise against "
                "it; name another model in `judge:` or another attacker in safecase.yaml"
            )


def _model(name: str) -> str:
    """A model's name without its address."""
    return name.partition("@")[0].strip().casefold()
