"""How well the judge of a case is known on each arm, and what would make it better known. Reads, never writes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from safecase.assess._case import Case
from safecase.assess._judge import judge_card, unmeasured_card
from safecase.assess._kept import last_said
from safecase.assess._labels import judge_of
from safecase.assess._labels_kept import (
    TAKEN,
    Draw,
    Labels,
    can_be_labelled,
    in_evidence,
    labels_in_force,
    load_draws,
    load_labels,
    settled,
)
from safecase.evidence import Calibration, Trial, Verdict
from safecase.measure import (
    BOX_ALPHA,
    EVENT_OF,
    Agreement,
    Bounds,
    ByVerdict,
    Coefficient,
    EmbeddedJudge,
    Event,
    JudgeCard,
    Side,
    agreement,
    by_verdict,
    cohen_kappa,
    happened,
    judge_error,
    krippendorff_alpha,
    labels_needed,
    weighted_points,
)

_ALWAYS: tuple[tuple[Event, Side], ...] = (("unsafe", "harmful"), ("refusal", "benign"))
_SHOWN_ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How well the judge is known in one cell: an arm's answers of a side, domain and language, for an event.

    Attributes:
        judged: answers there that a rate asks the judge about.
        counts: labels of the arm's own answers that a verdict may rest on, beside the judge.
        sensitivity, specificity: the box that a gate's bound at 0.05 uses, each bound alone at `BOX_ALPHA`.
        to_own, to_narrow: labels still to draw until the level is `own`, and until the box is narrow; None where
            nothing seen so far promises that any number of them would do.
    """

    arm: str
    side: Side
    domain: str
    language: str
    event: Event
    judged: int
    level: Calibration
    counts: Agreement
    sensitivity: Bounds
    specificity: Bounds
    to_own: int | None
    to_narrow: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """One coefficient of agreement.

    Attributes:
        who: "judge and people" (Cohen's kappa), two raters "ana and bo" (Cohen's kappa), or "raters" (Krippendorff's
            alpha over all of them).
        over: "all", "arm:guarded", "category:violence", "language:en".
    """

    who: str
    over: str
    found: Coefficient


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawState:
    """One draw: what it is good for, and what it waits for.

    Attributes:
        counts: whether its labels calibrate the judge; `why` says why not.
        by_verdict: bounds from a complete draw by verdict, at 0.95, while the judge is the one it was drawn by.
        points: weighted (sensitivity, specificity) for `unsafe` from a complete draw by doubt.
    """

    id: str
    arm: str
    by: str
    event: Event | None
    rows: int
    raters: int
    settled: int
    waiting: int
    disputed: int
    counts: bool
    why: str
    by_verdict: ByVerdict | None = None
    points: tuple[float | None, float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """Something that makes the judge less known than it looks.

    Attributes:
        affected: answers that it bears on.
    """

    what: str
    affected: int
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationReport:
    """Everything that is known of a judge on a case."""

    judge: str
    judge_digest: str
    known: tuple[Known, ...]
    agreed: tuple[Agreed, ...]
    draws: tuple[DrawState, ...]
    cautions: tuple[Caution, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an answer stands."""

    arm: str
    side: Side
    domain: str
    language: str
    category: str


def calibration_report(case: Case) -> CalibrationReport:
    """Hold people's labels beside the judge that last measured a case.

    Raises:
        NothingToRead: the case was not measured.
    """
    digest = judge_of(case)
    labels, draws = load_labels(case), load_draws(case)
    evidence = _Evidence(case, digest, labels, draws)
    card = _card(case, digest)
    force = labels_in_force(case, labels)
    known = tuple(_known(case, evidence, force, card))
    states = tuple(_state(evidence, draw, labels, force) for draw in draws)
    return CalibrationReport(
        judge=case.spec.judge,
        judge_digest=digest,
        known=known,
        agreed=tuple(_agreed(evidence, draws, labels)),
        draws=states,
        cautions=tuple(_cautions(case, evidence, known, states, labels, force, digest, card)),
    )


class _Evidence:
    """One pass over trials and judgements: counts of everything, details of what people read."""

    def __init__(self, case: Case, digest: str, labels: Labels, draws: Sequence[Draw]) -> None:
        verdicts: dict[str, Verdict] = {
            row.trial_id: row.verdict
            for row in case.judgements.read({"judge_digest": digest})
            if row.verdict is not None
        }
        self.judged: Counter[_Place] = Counter()
        self.flagged: Counter[tuple[_Place, Event]] = Counter()
        self.from_people: Counter[str] = Counter()
        self.place: dict[str, _Place] = {}
        self.verdict: dict[str, Verdict] = {}
        self.now: dict[str, int] = dict.fromkeys((draw.id for draw in draws), 0)
        read = labels.given.keys() | {name for draw in draws for name in draw.trial_ids}
        for trial in in_evidence(case, case.standing({"status": "answered"})):
            if trial.label is not None:
                self.from_people[trial.arm] += 1
            if not can_be_labelled(trial):
                continue
            place = _place(trial)
            for draw in draws:
                self.now[draw.id] += _is_within(draw, place)
            verdict = verdicts.get(trial.trial_id)
            if verdict is not None:
                self.judged[place] += 1
                self.flagged.update((place, event) for event, _ in _EVENTS if happened(event, verdict))
            if trial.trial_id in read:
                self.place[trial.trial_id] = place
                if verdict is not None:
                    self.verdict[trial.trial_id] = verdict


_EVENTS: tuple[tuple[Event, Side], ...] = tuple(
    (event, "harmful" if harmful else "benign") for event, harmful in EVENT_OF.values()
)


def _place(trial: Trial) -> _Place:
    return _Place(
        arm=trial.arm,
        side="harmful" if trial.harmful else "benign",
        domain=trial.domain,
        language=trial.language,
        category=trial.category,
    )


def _is_within(draw: Draw, place: _Place) -> bool:
    return (
        draw.arm == place.arm
        and draw.side in {None, place.side}
        and draw.domain in {None, place.domain}
        and draw.language in {None, place.language}
    )


def _card(case: Case, digest: str) -> JudgeCard:
    card = judge_card(EmbeddedJudge())
    return card if card.judge_digest == digest else unmeasured_card(case.spec.judge, digest)


def _known(case: Case, evidence: _Evidence, force: Mapping[str, Verdict], card: JudgeCard) -> Iterator[Known]:
    plan = case.plan
    gates = [gate for gate in case.framework.gates if plan is not None and gate.id in plan.gates]
    asked = {EVENT_OF[gate.measure] for gate in gates if gate.measure in EVENT_OF}
    wanted = dict.fromkeys(
        [*_ALWAYS, *((event, side) for event, side in _EVENTS if (event, side == "harmful") in asked)]
    )
    cells: Counter[tuple[str, Side, str, str]] = Counter()
    for place, count in evidence.judged.items():
        cells[_cell(place)] += count
    for cell, judged in sorted(cells.items()):
        arm, side, domain, language = cell
        names = [name for name in force if name in evidence.verdict and _cell(evidence.place[name]) == cell]
        for event, on in wanted:
            if on != side:
                continue
            counts = agreement(event, [(force[name], evidence.verdict[name]) for name in names])
            error = judge_error(
                own=counts,
                transferred=card.transferred(event, domain=domain, language=language),
                margin=card.margin,
                alpha=BOX_ALPHA,
            )
            flagged = sum(n for (place, what), n in evidence.flagged.items() if what == event and _cell(place) == cell)
            share = (counts.hits + counts.misses) / counts.labels if counts.labels else flagged / judged
            to_own, to_narrow = labels_needed(counts, share=share)
            yield Known(
                arm=arm,
                side=side,
                domain=domain,
                language=language,
                event=event,
                judged=judged,
                level=error.level,
                counts=counts,
                sensitivity=error.sensitivity,
                specificity=error.specificity,
                to_own=to_own,
                to_narrow=to_narrow,
            )


def _cell(place: _Place) -> tuple[str, Side, str, str]:
    return place.arm, place.side, place.domain, place.language


def _groups(names: Iterable[str], place: Mapping[str, _Place]) -> Iterator[tuple[str, list[str]]]:
    """Everything, then by arm, category and language; trials that are no longer evidence are left out."""
    here = [name for name in names if name in place]
    yield "all", here
    keys: tuple[tuple[str, Callable[[_Place], str]], ...] = (
        ("arm", lambda p: p.arm),
        ("category", lambda p: p.category),
        ("language", lambda p: p.language),
    )
    for kind, key in keys:
        members: dict[str, list[str]] = defaultdict(list)
        for name in here:
            members[key(place[name])].append(name)
        yield from ((f"{kind}:{value}", members[value]) for value in sorted(members))


def _agreed(evidence: _Evidence, draws: Sequence[Draw], labels: Labels) -> Iterator[Agreed]:
    """Over uniform draws only: kappa depends on how common each label is, which the other kinds distort."""
    uniform = [draw for draw in draws if draw.by == "uniform"]
    final: dict[str, Verdict] = {}
    for draw in uniform:
        final.update(settled(draw, labels).labels)
    for over, names in _groups(final, evidence.place):
        pairs = [(final[name], evidence.verdict[name]) for name in names if name in evidence.verdict]
        yield Agreed(who="judge and people", over=over, found=cohen_kappa(pairs, alpha=_SHOWN_ALPHA))
    read = {
        name: {rater: label for rater, label in labels.given[name].items() if label is not None}
        for draw in uniform
        for name in draw.trial_ids
        if name in labels.given
    }
    raters = sorted({rater for said in read.values() for rater in said})
    for over, names in _groups([name for name in read if len(read[name]) > 1], evidence.place):
        for i, one in enumerate(raters):
            for other in raters[i + 1 :]:
                both = [(read[n][one], read[n][other]) for n in names if {one, other} <= read[n].keys()]
                if both:
                    yield Agreed(who=f"{one} and {other}", over=over, found=cohen_kappa(both, alpha=_SHOWN_ALPHA))
        if len(raters) > 2 and names:
            units = [tuple(read[name].values()) for name in names]
            yield Agreed(who="raters", over=over, found=krippendorff_alpha(units, alpha=_SHOWN_ALPHA))


def _state(evidence: _Evidence, draw: Draw, labels: Labels, force: Mapping[str, Verdict]) -> DrawState:
    outcome = settled(draw, labels)
    bounds: ByVerdict | None = None
    points: tuple[float | None, float | None] | None = None
    whole = outcome.is_complete
    in_force = force.keys() >= set(draw.trial_ids)
    if draw.by == "by-verdict" and whole and draw.event is not None and draw.flagged_units is not None:
        counts = _counts_as_drawn(draw, outcome.labels, draw.event)
        bounds = by_verdict(counts, flagged_units=draw.flagged_units, units=draw.units, alpha=_SHOWN_ALPHA)
    if draw.by == "by-doubt" and whole:
        points = weighted_points(
            (
                row.probability,
                happened("unsafe", outcome.labels[row.trial_id]),
                happened("unsafe", evidence.verdict[row.trial_id]),
            )
            for row in draw.rows
            if row.trial_id in evidence.verdict and evidence.place[row.trial_id].side == "harmful"
        )
    return DrawState(
        id=draw.id,
        arm=draw.arm,
        by=draw.by,
        event=draw.event,
        rows=len(draw.rows),
        raters=draw.raters,
        settled=len(outcome.labels),
        waiting=len(outcome.waiting),
        disputed=len(outcome.disputed),
        counts=draw.by == "uniform" and in_force,
        why=_why(draw, len(outcome.waiting), len(outcome.disputed), in_force=in_force),
        by_verdict=bounds,
        points=points,
    )


def _counts_as_drawn(draw: Draw, labels: Mapping[str, Verdict], event: Event) -> Agreement:
    """People beside the verdicts that the draw was stratified by, whatever the judge says now."""
    seen = Counter((happened(event, labels[row.trial_id]), bool(row.flagged)) for row in draw.rows)
    return Agreement(
        hits=seen[True, True], misses=seen[True, False], rejections=seen[False, False], false_alarms=seen[False, True]
    )


def _why(draw: Draw, waiting: int, disputed: int, *, in_force: bool) -> str:
    if waiting or disputed:
        return f"waits for {waiting} answers to be read and {disputed} disagreements to be settled"
    if draw.by == "by-verdict":
        return "drawn by the judge's own verdicts: its counts are no binomials of sensitivity and specificity"
    if draw.by == "by-doubt":
        return "drawn to find errors: no exact bound comes from it"
    return "" if in_force else "waits for an earlier draw of this arm, or the arm is labelled whole without it"


def _cautions(
    case: Case,
    evidence: _Evidence,
    known: Sequence[Known],
    states: Sequence[DrawState],
    labels: Labels,
    force: Mapping[str, Verdict],
    digest: str,
    card: JudgeCard,
) -> Iterator[Caution]:
    yield from _other_material(case, known, card)
    yield from _unlabelled_categories(evidence, force)
    for state in states:
        if state.waiting or state.disputed:
            mend = f"`safecase measure calibrate take {case.path}`, then `disagreements` and `adjudicate`"
            what = f"draw {state.id} of arm {state.arm!r} is not complete, so none of its {state.rows} labels count"
            yield Caution(what=what, affected=state.waiting + state.disputed, mend=mend)
    for draw in load_draws(case):
        if draw.judge_digest not in {None, digest}:
            what = f"draw {draw.id} used verdicts of another state of the judge; its bounds are about that state"
            yield Caution(what=what, affected=len(draw.rows), mend="draw again")
        if (more := evidence.now[draw.id] - draw.answers) > 0 and draw.by == "uniform":
            what = f"arm {draw.arm!r} has {more} answers that were not there at draw {draw.id}"
            yield Caution(what=what, affected=more, mend="draw labels again; what was drawn before is left out")
    drawn = {name for draw in load_draws(case) for name in draw.trial_ids}
    outside = [name for name in labels.given if name not in drawn and name not in force]
    if outside:
        what = "labels outside every draw were picked by somebody; they are kept and calibrate nothing"
        yield Caution(what=what, affected=len(outside), mend="draw answers with `safecase measure calibrate draw`")
    yield from _second_thoughts(case)
    for arm, count in sorted(evidence.from_people.items()):
        what = f"answers of arm {arm!r} came with a person's label: they need no judge and say nothing about it"
        yield Caution(what=what, affected=count, mend="nothing to mend")
    made = last_said(case, "estimates.json")
    if case.spec.judge == "embedded" and made is not None and EmbeddedJudge().digest != digest:
        what = "the embedded judge is in another state than the one that measured the case"
        yield Caution(what=what, affected=evidence.judged.total(), mend=f"run `safecase measure {case.path}` again")


def _other_material(case: Case, known: Sequence[Known], card: JudgeCard) -> Iterator[Caution]:
    """Cells where the judge is used and was not calibrated, or was on other models' answers."""
    worst: dict[tuple[str, Side, str, str, Calibration], tuple[int, list[str]]] = {}
    for one in known:
        if one.level != "own":
            key = (one.arm, one.side, one.domain, one.language, one.level)
            worst.setdefault(key, (one.judged, []))[1].append(one.event)
    measured = sorted({f"{line.domain}/{line.language}" for line in card.strata})
    for (arm, side, domain, language, level), (judged, events) in worst.items():
        where = f"arm {arm!r}, {side} {domain}/{language}, {' and '.join(events)}"
        limits = f"--arm {arm} --side {side} --domain {domain} --language {language}"
        mend = f"`safecase measure calibrate draw {case.path} {limits} --out DIR --show-harmful`"
        if level == "transferred":
            what = f"{where}: calibrated on other models' answers, not on this arm's"
        else:
            elsewhere = f" (its card covers {', '.join(measured)})" if measured else " (it has no card)"
            what = f"{where}: the judge was calibrated nowhere near{elsewhere}"
        yield Caution(what=what, affected=judged, mend=mend)


def _unlabelled_categories(evidence: _Evidence, force: Mapping[str, Verdict]) -> Iterator[Caution]:
    """Categories in use that no label speaks about, on arms that have labels: their rates use the others' box."""
    labelled = {(p.arm, p.side, p.category) for name in force if (p := evidence.place.get(name)) is not None}
    arms = {(arm, side) for arm, side, _ in labelled}
    judged: Counter[tuple[str, Side, str]] = Counter()
    for place, count in evidence.judged.items():
        judged[place.arm, place.side, place.category] += count
    for (arm, side, category), count in sorted(judged.items()):
        if (arm, side) in arms and (arm, side, category) not in labelled:
            what = f"arm {arm!r}, {side} {category}: no label, so the judge's error is taken from other categories"
            yield Caution(what=what, affected=count, mend=f"draw more labels of arm {arm!r}")


def _second_thoughts(case: Case) -> Iterator[Caution]:
    own = sum(int(entry.subject["own"]) for entry in case.ledger.entries() if entry.action == "labels-adjudicated")
    revised = [entry for entry in case.ledger.entries() if entry.action == TAKEN and "revised" in entry.subject]
    if revised:
        what = "labels were replaced by the rater who gave them"
        mend = "nothing to mend; the ledger has the reasons"
        yield Caution(what=what, affected=sum(int(entry.subject["labels"]) for entry in revised), mend=mend)
    if own:
        what = "disagreements were settled by one of the people who disagreed"
        yield Caution(what=what, affected=own, mend="let a third person adjudicate")
