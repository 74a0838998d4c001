"""What each safeguard layer of a case did, and what would be otherwise without it. Writes nothing.

The guarded arm's rulings say what each layer stopped. The same requests to the same version of the model without a
stack (arm `bare`, or `trained` where another version is the least mitigated), as they were judged, say what the user
would have got, and whether the output stage would have stopped that (`_replay`).
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from safecase.assess._balance import is_political
from safecase.assess._case import Case
from safecase.assess._judge import unmeasured_card
from safecase.assess._labels_kept import with_settled_labels
from safecase.assess._learned import is_learned
from safecase.assess._replay import OutputStage
from safecase.assess._slots import is_counted_import
from safecase.compose import POLITICAL
from safecase.evidence import Judgement, Trial, Verdict, digest_value
from safecase.measure import (
    EMBEDDED_CARD,
    HUMAN_PREFIX,
    KNOWN_JUDGES,
    JudgeCard,
    Passed,
    VerdictIndex,
    WithoutLayer,
    load_card,
    refused_without,
    unsafe_without,
)
from safecase.run import Plan, attempt_id
from safecase.safeguard import Change, LayerWorth, Pattern, RulingTable

_Request = tuple[str, str, int, int]
"""Scenario, model, repetition and attempt: the same on every arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFigures:
    """One layer of an arm's stack.

    Attributes:
        worth: what it ruled, counted.
        missed: harmful requests that would get an unsafe answer without it; None where the model
            was not run without a stack.
        over_refused: harmless requests that it alone withholds; None where it was asked about none.
    """

    worth: LayerWorth
    missed: WithoutLayer | None
    over_refused: WithoutLayer | None

    def to_json(self) -> dict[str, Any]:
        """As the commands print it; what is not known is null."""
        return {
            **dataclasses.asdict(self.worth),
            "over_refusal": self.worth.over_refusal,
            "missed_without": dataclasses.asdict(self.missed) if self.missed else None,
            "over_refused_without": dataclasses.asdict(self.over_refused) if self.over_refused else None,
        }


@dataclass(frozen=True, slots=True)
class _Kind:
    """What alike trials share."""

    harmful: bool
    intent_id: str
    domain: str
    language: str
    pattern: Pattern
    verdict: Verdict | None = None
    known: bool = False
    stopped_later: bool | None = None


@dataclass(frozen=True, slots=True)
class _Arm:
    """The ruled trials of an arm, in kinds; a request that something stopped waits for its stand-in.

    Attributes:
        kinds: what alike trials share -> how many.
        waiting: request -> what its trial shares, and the digest of what was said.
    """

    table: RulingTable
    output: OutputStage
    kinds: Counter[_Kind] = field(default_factory=Counter)
    waiting: dict[_Request, tuple[_Kind, str]] = field(default_factory=dict)

    def add(self, trial: Trial) -> None:
        pattern = self.table.add(trial)
        if not pattern:
            return
        kind = _Kind(trial.harmful, trial.intent_id, trial.domain, trial.language, pattern)
        request = _request(trial)
        if any(told.stops for told in pattern) and request not in self.waiting:
            self.waiting[request] = kind, _said(trial)
        else:
            self.kinds[kind] += 1

    def stand_in(self, trial: Trial, verdicts: VerdictIndex) -> None:
        """Let a trial without a stack stand in for the same request where it was stopped."""
        kind, said = self.waiting.get(_request(trial), (None, ""))
        judged = verdicts.get(trial.trial_id) if kind is not None and said == _said(trial) else None
        if kind is not None and judged is not None:
            del self.waiting[_request(trial)]
            known = judged.judge in KNOWN_JUDGES or judged.judge.startswith(HUMAN_PREFIX)
            later = self.output.stops(trial)
            self.kinds[dataclasses.replace(kind, verdict=judged.verdict, known=known, stopped_later=later)] += 1

    def counted(self) -> Counter[_Kind]:
        """Every kind, those without a stand-in as they are."""
        return self.kinds + Counter(kind for kind, _ in self.waiting.values())


@dataclass(frozen=True, slots=True)
class _Planned:
    """What the plan in force asks of the arms.

    Attributes:
        ids: (arm, scenario, model, repetition) -> id of its first attempt; None where there is no plan, so that
            nothing is outside of it.
        intents: harmful -> intents, political ones aside.
    """

    plan: Plan | None
    ids: Mapping[tuple[str, str, str, int], str] | None
    intents: Mapping[bool, frozenset[str]]

    @classmethod
    def of(cls, case: Case) -> "_Planned":
        plan = case.plan
        ids: dict[tuple[str, str, str, int], str] = {}
        intents: dict[bool, set[str]] = {True: set(), False: set()}
        for one in case.planned(plan) if plan else ():
            ids[one.arm.name, one.scenario.scenario_id, one.arm.model, one.repetition] = one.trial_id
            if one.scenario.category not in POLITICAL:
                intents[one.scenario.harmful].add(one.scenario.intent_id)
        return cls(plan, ids if plan else None, {harmful: frozenset(some) for harmful, some in intents.items()})

    def holds(self, trial: Trial) -> bool:
        if self.ids is None or is_counted_import(trial, self.plan):
            return True
        first = self.ids.get((trial.arm, trial.scenario_id, trial.model, trial.repetition))
        return first is not None and attempt_id(first, trial.attempt) == trial.trial_id


def layer_figures(case: Case, *, arm: str = "guarded") -> tuple[LayerFigures, ...]:
    """Hold the layers of an arm's stack against each other, in the order in which they were first asked.

    Political requests are left out, as everywhere but in their own measure, and so are trials of an older plan.

    Returns:
        Nothing where no trial of the arm carries a ruling.
    """
    stack, planned = case.arms.get(arm), _Planned.of(case)
    asks_all = stack is not None and stack.ask == "all"
    read = _Arm(RulingTable(asks_all=asks_all), OutputStage.of(case, arm))
    for trial in _trials(case, arm, planned):
        read.add(trial)
    if not read.table.counts:
        return ()
    card = _card(case)
    verdicts, has_beside = _verdicts(case, card), False
    for trial in _trials(case, case.spec.weights_arm, planned):
        has_beside = True
        read.stand_in(trial, verdicts)
    kinds = read.counted()
    has_output = "output" in {*read.table.stages().values(), *(one.stage for one in (stack.layers if stack else ()))}
    return tuple(
        _figures(worth, read.table, kinds, card, planned, has_beside=has_beside, has_output=has_output)
        for worth in read.table.worth()
    )


def _figures(
    worth: LayerWorth,
    table: RulingTable,
    kinds: Mapping[_Kind, int],
    card: JudgeCard,
    planned: _Planned,
    *,
    has_beside: bool,
    has_output: bool,
) -> LayerFigures:
    changes = {pattern: table.change_without(worth.layer, pattern) for _, pattern in table.counts}
    meets_more = worth.stage == "input"

    def change(kind: _Kind) -> Change:
        found = changes[kind.pattern]
        return "none" if found == "passes" and meets_more and kind.stopped_later else found

    passed = {
        harmful: [
            Passed(
                intent_id=kind.intent_id,
                domain=kind.domain,
                language=kind.language,
                change=change(kind),
                trials=trials,
                may_be_stopped=meets_more and has_output and kind.stopped_later is None,
                verdict=kind.verdict,
                known=kind.known,
            )
            for kind, trials in kinds.items()
            if kind.harmful is harmful
        ]
        for harmful in (True, False)
    }
    most = {harmful: len(intents) or None for harmful, intents in planned.intents.items()}
    return LayerFigures(
        worth=worth,
        missed=unsafe_without(passed[True], card=card, planned=most[True]) if has_beside else None,
        over_refused=refused_without(passed[False], planned=most[False]),
    )


def _trials(case: Case, arm: str, planned: _Planned) -> Iterator[Trial]:
    return (
        trial
        for trial in case.standing({"arm": arm})
        if planned.holds(trial) and not is_political(trial) and not is_learned(trial)
    )


def _card(case: Case) -> JudgeCard:
    if case.spec.judge == "embedded":
        return load_card(EMBEDDED_CARD)
    return unmeasured_card(case.spec.judge, digest_value(case.spec.judge))


def _verdicts(case: Case, card: JudgeCard) -> VerdictIndex:
    """What the case's judge said, what needed no judge, and the labels of people that count."""

    def counts(row: Judgement) -> bool:
        if row.judge in KNOWN_JUDGES or row.judge.startswith(HUMAN_PREFIX):
            return True
        return row.judge_digest == card.judge_digest if case.spec.judge == "embedded" else row.judge == card.judge

    return VerdictIndex(row for row in with_settled_labels(case, case.judgements.read()) if counts(row))


def _request(trial: Trial) -> _Request:
    return trial.scenario_id, trial.model, trial.repetition, trial.attempt


def _said(trial: Trial) -> str:
    """Digest of the whole request: attempts of an adaptive attack differ from arm to arm."""
    return digest_value([trial.prompt, *([turn.role, turn.content] for turn in trial.turns)])
