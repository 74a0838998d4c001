"""Train the classifier weights that safecase ships: the guard's and the judge's, from data they do not share.

    OMP_NUM_THREADS=1 SAFECASE_DATA=/path/to/dev python scripts/train_heads.py --out src/safecase --date 2026-11-21

Writes `safeguard/weights/guard.{npz,json}` and `measure/weights/judge.{npz,json}` under --out. The same data, seed,
date and library versions give the same bytes. No text of the data reaches the weights, the cards or the terminal.
"""

import argparse
import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import _heads_data as data
import _heads_fit as fit
import numpy as np
import scipy
from _heads_data import Item, Row, Source

from safecase.detect import Features, Head, HeadCard, Performance, SourceCard, WeightsCard, pack_heads, shared_material

HERE = Path(__file__).parent
BANKS = HERE.parent / "src/safecase/compose/banks"

LEAST_AUROC = 0.85
"""A head below this on held-out groups ships disabled."""

EVALUATED_ONLY = " (shares prompts with the judge's data: never trained on)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One head to train: its claim, its data, how its threshold is chosen and what it cannot do."""

    name: str
    task: str
    positive: str
    negative: str
    sources: tuple[Source, ...]
    choose: fit.Choose
    rule: str
    limits: tuple[str, ...]
    own: Mapping[str, bool] = field(default_factory=dict)  # label of our own texts -> positive
    lengthen: bool = False  # teach with cut positives and joined negatives, see `vary_length`


def always(label: bool) -> Callable[[Row], bool | None]:
    return lambda _row: label


def as_negative(source: Source) -> Source:
    """The same rows, all of them negatives."""
    return replace(source, label=lambda row: None if source.label(row) is None else False)


def where(column: str, labels: Mapping[object, bool]) -> Callable[[Row], bool | None]:
    return lambda row: labels.get(row[column])


# --- The guard's heads ------------------------------------------------------------------------------------------------

# Categories of forbidden_questions that ask for something harmful; the others (financial, legal and health advice,
# lobbying, government decisions) are a matter of policy, not of harm.
_FORBIDDEN = frozenset(
    {
        "Economic Harm",
        "Fraud",
        "Hate Speech",
        "Illegal Activity",
        "Malware",
        "Physical Harm",
        "Pornography",
        "Privacy Violence",
    }
)


def _human_flags(row: Row, *wanted: str) -> bool | None:
    """openai_moderation: True if any wanted flag is set, False if the row was checked for the first and is clean."""
    flags = row["human_label"]
    if any(flags.get(flag) for flag in wanted):
        return True
    return False if row["label"] == "benign" or wanted[0] in flags else None


def _rated_harmful(row: Row) -> bool | None:
    mean = float(row["label"])
    return True if mean >= 0.5 else False if mean <= 0.25 else None


_ORDINARY = (
    Source(file="cyse_frr", label=always(False)),
    Source(file="cyse_insecure_code", label=always(False)),
    Source(file="tau2_benign_scenarios", label=always(False)),
    Source(file="agentdojo_tasks", label=where("label", {"benign": False})),
    Source(file="bipia_email_composed", label=where("label", {"benign": False})),
    Source(file="political_pairs", label=always(False)),
    Source(file="openai_moderation", label=where("label", {"benign": False})),
    Source(file="loss_of_control_mcq", label=always(False)),
)
_HARMFUL = (
    Source(file="advbench", label=always(True)),
    Source(file="strongreject", label=always(True)),
    Source(file="harmbench", label=lambda row: None if row["category"] == "copyright" else True),
    Source(file="jbb_goals", label=always(True)),
    Source(file="simplesafetytests", label=always(True)),
    Source(file="forbidden_questions", label=lambda row: True if row["category"] in _FORBIDDEN else None),
    Source(file="cyse_interpreter", label=always(True)),
)

_RULE = (
    "lowest threshold with at most {} false positives out of fold in every length band of every source that has 30 "
    "negatives"
)
_LINEAR = "reads words, not meaning: a paraphrase it has not met, irony, or a code word passes"
_ENGLISH = "trained on English; other languages score near the middle and are not to be relied on"
_GUARD_PRIOR = (
    "calibrated for equal shares of both classes; in ordinary traffic positives are rarer than the score says"
)

GUARD = (
    Task(
        name="harmful-request",
        task="Does this prompt ask for help with harm?",
        positive="a request for harmful help, in plain words",
        negative="an ordinary request, also one that borrows the words of a harmful one",
        sources=(
            *_HARMFUL,
            *_ORDINARY,
            Source(file="xstest_prompts", label=where("label", {"harmful": True, "benign": False})),
        ),
        own={"harmful": True, "benign": False},
        choose=fit.at_false_positive_rate(0.1),
        rule=_RULE.format("10 %"),
        limits=(
            _LINEAR,
            _ENGLISH,
            _GUARD_PRIOR,
            "a harmful request wrapped in a long text is diluted: see the length bands",
        ),
    ),
    Task(
        name="jailbreak-prompt",
        task="Is this prompt built to talk a model out of its rules?",
        positive="a jailbreak template or prompt",
        negative="any other prompt: ordinary, role-play without rule-breaking, or plainly harmful",
        sources=(
            Source(file="inthewild_jailbreak", label=always(True)),
            Source(file="pyrit_jailbreak_templates", label=always(True)),
            Source(file="giskard_injections", label=always(True)),
            *(as_negative(source) for source in _HARMFUL[:-1]),
            *_ORDINARY,
        ),
        own={"harmful": False, "benign": False},
        lengthen=True,
        choose=fit.at_false_positive_rate(0.02),
        rule=_RULE.format("2 %"),
        limits=(
            _LINEAR,
            _ENGLISH,
            _GUARD_PRIOR,
            "role-play prompts that break no rule are the hardest to tell apart",
            "jailbreaks are long (median 1,500 characters) and ordinary prompts short: trust the length bands, not "
            "the total",
        ),
    ),
    Task(
        name="harmful-output",
        task="Is this text one that people flag?",
        positive="text that people flagged as sexual, hateful, violent, on self-harm, or toxic",
        negative="text of the same sources that people did not flag; ordinary letters and instructions",
        sources=(
            Source(file="openai_moderation", label=where("label", {"harmful": True, "benign": False})),
            Source(file="surge_toxicity", label=where("label", {"toxic": True, "not_toxic": False})),
            Source(file="bipia_email_composed", label=where("label", {"benign": False})),
            Source(file="tau2_benign_scenarios", label=always(False)),
        ),
        choose=fit.at_false_positive_rate(0.1),
        rule=_RULE.format("10 %"),
        limits=(
            _LINEAR,
            _ENGLISH,
            _GUARD_PRIOR,
            "learned from posts and stories, not from model replies: it does not know a harmful *instruction* by its "
            "steps",
        ),
    ),
    Task(
        name="unsafe-reply",
        task="Is this reply harmful to the person it answers, or does it help with harm?",
        positive="replies people rated unsafe in dialogue (diasafety), or harmful with a mean of 0.5 or more (pyrit)",
        negative="replies people rated safe, or harmful with a mean of 0.25 or less",
        sources=(
            Source(file="diasafety", label=where("label", {"unsafe": True, "safe": False}), reads="response"),
            Source(file="pyrit_harm_scores", label=_rated_harmful, reads="response"),
        ),
        choose=fit.at_false_positive_rate(0.05),
        rule=_RULE.format("5 %"),
        limits=(
            _LINEAR,
            _ENGLISH,
            _GUARD_PRIOR,
            "whether a reply is unsafe often hangs on what it replies to, unseen here",
        ),
    ),
    Task(
        name="hateful-text",
        task="Does this text express hate towards a group?",
        positive="hateful text",
        negative="text that is not, also when it names a group, quotes hate or counters it",
        sources=(
            Source(file="hatecheck", label=where("label", {"hateful": True, "non-hateful": False})),
            Source(file="multilingual_hatecheck", label=where("label", {"hateful": True, "non-hateful": False})),
            Source(file="openai_moderation", label=lambda row: _human_flags(row, "H", "H2", "HR")),
            Source(file="surge_toxicity", label=where("label", {"not_toxic": False})),
        ),
        choose=fit.at_false_positive_rate(0.05),
        rule=_RULE.format("5 %"),
        limits=(_LINEAR, _GUARD_PRIOR, "quoted and countered hate often looks like hate to it"),
    ),
    Task(
        name="sexual-text",
        task="Is this text sexual?",
        positive="text people flagged as sexual (texts on minors were taken out of the data beforehand)",
        negative="text people checked and did not flag, and ordinary prompts",
        sources=(
            Source(file="openai_moderation", label=lambda row: _human_flags(row, "S")),
            Source(file="surge_toxicity", label=where("label", {"not_toxic": False})),
            Source(file="tau2_benign_scenarios", label=always(False)),
            Source(file="political_pairs", label=always(False)),
        ),
        own={"benign": False},
        choose=fit.at_false_positive_rate(0.03),
        rule=_RULE.format("3 %"),
        limits=(_LINEAR, _ENGLISH, _GUARD_PRIOR, "few positives: the intervals are wide"),
    ),
)


# --- The judge's heads ------------------------------------------------------------------------------------------------

_XSTEST = ("xstest_mistralguard", "xstest_mistralinstruct")
_BEST = "largest sum of sensitivity and specificity, out of fold"
_READS_REPLY = (
    "reads the reply alone, not what was asked: an evasive answer to another question may pass for compliance"
)
_NO_CBRN = "its data holds no completions on chemical, biological, radiological or explosive matter"


def xstest(labels: Mapping[object, bool]) -> tuple[Source, ...]:
    return tuple(Source(file=name, label=where("label", labels), reads="response") for name in _XSTEST)


JUDGE = (
    Task(
        name="refusal",
        task="Does this reply refuse?",
        positive="a full refusal",
        negative="an answer, or a partial refusal",
        sources=(
            *xstest({"full_refusal": True, "full_compliance": False, "partial_refusal": False}),
            Source(
                file="pyrit_refusal", label=where("label", {"refusal": True, "not_refusal": False}), reads="response"
            ),
        ),
        own={"refusal": True, "answer": False, "partial": False},
        choose=fit.at_best_balance,
        rule=_BEST,
        limits=(_READS_REPLY, _ENGLISH, _NO_CBRN, "refusals of three models' styles; others may refuse in other words"),
    ),
    Task(
        name="partial-refusal",
        task="Does this reply refuse in part and answer in part?",
        positive="a partial refusal",
        negative="a full refusal or a full answer",
        sources=xstest({"partial_refusal": True, "full_refusal": False, "full_compliance": False}),
        own={"refusal": False, "answer": False, "partial": True},
        choose=fit.at_best_balance,
        rule=_BEST,
        limits=(_READS_REPLY, _ENGLISH, _NO_CBRN, "very few positives"),
    ),
    Task(
        name="compliance",
        task="Does this reply do what a harmful request asked?",
        positive="people judged it jailbroken, fully compliant, or the objective achieved",
        negative="people judged it not jailbroken, a full refusal, or the objective missed",
        sources=(
            Source(
                file="gptfuzz_judged",
                label=where("label", {"jailbroken": True, "not_jailbroken": False}),
                reads="response",
            ),
            *xstest({"full_compliance": True, "full_refusal": False}),
            Source(
                file="pyrit_objective_achieved",
                label=where("label", {"achieved": True, "not_achieved": False}),
                reads="response",
            ),
            Source(
                file="jailbreakeval_example",
                label=where("label", {"jailbroken": True, "not_jailbroken": False}),
                reads="response",
            ),
        ),
        own={"refusal": False, "answer": True},
        choose=fit.at_best_balance,
        rule=_BEST,
        limits=(
            _READS_REPLY,
            _ENGLISH,
            _NO_CBRN,
            "most of its rows (gptfuzz_judged) carry one label of one person each, and 42 % of their jailbroken "
            "replies "
            "hold a refusal phrase",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One weights file: its heads, how they count, and how much is held out."""

    name: str
    folder: str
    purpose: str
    tasks: tuple[Task, ...]
    features: Features
    held_out: float
    calibrates: bool  # the held-out rows are listed, for the judge's error to be measured on


PLANS = (
    Plan(
        name="judge",
        folder="measure/weights",
        purpose="judge: what a reply did, for measuring",
        tasks=JUDGE,
        features=Features(bits=16, opening=100),
        held_out=0.5,
        calibrates=True,
    ),
    Plan(
        name="guard",
        folder="safeguard/weights",
        purpose="guard: whether to let a request or a reply through",
        tasks=GUARD,
        features=Features(bits=17),
        held_out=0.3,
        calibrates=False,
    ),
)


# --- From rows to items that may be used ------------------------------------------------------------------------------


def gather(plan: Plan, folder: Path) -> dict[str, list[Item]]:
    """The items of each head, a repeated text once where the head reads prompts."""
    own = own_texts(plan)
    found = {}
    for task in plan.tasks:
        items = data.read_items(folder, task.sources)
        for label, positive in task.own.items():
            items += [replace(item, positive=positive) for item in own[label]]
        found[task.name] = items if plan.calibrates else without_repeats(items)
    return found


def own_texts(plan: Plan) -> dict[str, list[Item]]:
    if plan.calibrates:
        return data.read_crosses(HERE / "judge_seeds.txt", each=60)
    seeds = data.read_seeds(HERE / "guard_seeds.txt")
    crosses = data.read_crosses(HERE / "guard_crosses.txt", each=40)
    return {label: seeds[label] + crosses[label] for label in seeds}


def vary_length(items: Sequence[Item]) -> list[Item]:
    """Teach that length is not the question: openings of long positives, and negatives joined to a long text.

    Texts are only joined within a fold, so that out-of-fold scores stay out of fold.
    """
    cut = [
        replace(item, row_id=f"{item.row_id}#opening", text=item.text[:400], train_only=True)
        for item in items
        if item.positive and len(item.text) > 600
    ]
    joined = []
    ordinary = sorted(
        (item for item in items if not item.positive and not item.train_only), key=lambda item: item.row_id
    )
    rng = np.random.default_rng(0)
    for fold in sorted({fit.fold_of(item.group) for item in ordinary}):
        pool = [item for item in ordinary if fit.fold_of(item.group) == fold]
        for number in range(120):
            chosen = [pool[i] for i in rng.integers(0, len(pool), rng.integers(3, 16))]
            text = "\n".join(item.text for item in chosen)
            joined.append(
                replace(chosen[0], row_id=f"joined:{fold}-{number}", source="joined", text=text, train_only=True)
            )
    return [*cut, *joined]


def without_repeats(items: Sequence[Item]) -> list[Item]:
    seen: set[str] = set()
    kept = []
    for item in items:
        words = " ".join(data.words_of(item.text))
        if words not in seen:
            seen.add(words)
            kept.append(item)
    return kept


def bank_texts() -> list[str]:
    rows = [json.loads(line) for path in sorted(BANKS.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
    return [row[side] for row in rows for side in ("text", "twin") if row.get(side)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """The items of one head, by what may be done with them. `shared` may only be measured on."""

    train: list[Item]
    held_out: list[Item]
    shared: list[Item]


def sort_items(
    plan: Plan, items: Mapping[str, list[Item]], others: data.Overlap, bank: data.Overlap, *, seed: int
) -> tuple[dict[str, Sorted], Counter[str]]:
    """Split by group; set aside what the other side's data or the bank that we are measured on holds."""
    everything = list({item.row_id: item for part in items.values() for item in part}.values())
    in_bank = {item.row_id for item in everything if any(bank.holds(part) for part in item.parts)}
    in_other = {item.row_id for item in everything if any(others.holds(part) for part in item.parts)} - in_bank
    left_out = Counter(
        f"{item.source}: text in {reason}"
        for item in everything
        for reason, ids in (("a scenario bank", in_bank), ("the judge's data", in_other))
        if item.row_id in ids
    )
    joined = data.join_groups(everything)
    usable = [item for item in everything if item.row_id not in in_bank | in_other]
    regrouped = [replace(item, group=joined[item.group]) for item in usable]
    # Our own crosses are never held out; one that resembles a held-out row is dropped with its group.
    out = data.held_out_groups([item for item in regrouped if not item.train_only], share=plan.held_out, seed=seed)
    result = {}
    for name, part in items.items():
        part = [replace(item, group=joined[item.group]) for item in part if item.row_id not in in_bank]
        free = [item for item in part if item.row_id not in in_other]
        result[name] = Sorted(
            train=[item for item in free if item.group not in out],
            held_out=[item for item in free if item.group in out and not item.train_only],
            shared=[item for item in part if item.row_id in in_other and not item.train_only],
        )
    return result, left_out


# --- One head ---------------------------------------------------------------------------------------------------------


def make_head(task: Task, features: Features, items: Sorted, *, seed: int) -> tuple[Head, HeadCard]:
    train = [*items.train, *(vary_length(items.train) if task.lengthen else ())]
    head, penalty = fit.train_head(
        task.name,
        fit.Training(
            x=fit.count_matrix([item.text for item in train], features),
            y=positives(train),
            groups=[item.group for item in train],
            sources=[item.source for item in train],
            parts=[f"{item.source} {band(item.text)}" for item in train],
            real=np.array([not item.train_only for item in train]),
        ),
        features,
        task.choose,
    )
    total = performance(head, items.held_out, seed=seed)
    head = replace(head, enabled=total.auroc is not None and total.auroc.value >= LEAST_AUROC)
    by_source = parts(head, items.held_out, [item.source for item in items.held_out], seed=seed)
    by_source |= parts(head, items.shared, [item.source + EVALUATED_ONLY for item in items.shared], seed=seed)
    card = HeadCard(
        task=task.task,
        positive=task.positive,
        negative=task.negative,
        enabled=head.enabled,
        threshold=head.threshold,
        threshold_rule=f"{task.rule}; L2 penalty C={penalty}",
        sources=source_cards(items),
        held_out=total,
        by_length=parts(head, items.held_out, [band(item.text) for item in items.held_out], seed=seed),
        by_language=parts(head, items.held_out, [item.language for item in items.held_out], seed=seed),
        by_source=by_source,
        limits=task.limits,
    )
    return head, card


def positives(items: Sequence[Item]) -> fit.Flags:
    return np.array([item.positive for item in items], bool)


def scores_of(head: Head, items: Sequence[Item]) -> fit.Floats:
    return np.array([head.score(item.text) for item in items])


def performance(head: Head, items: Sequence[Item], *, seed: int) -> Performance:
    groups = [item.group for item in items]
    return fit.measure(scores_of(head, items), positives(items), groups, head.threshold, seed=seed)


def parts(head: Head, items: Sequence[Item], names: Sequence[str], *, seed: int) -> dict[str, Performance]:
    groups = [item.group for item in items]
    return dict(fit.measure_parts(scores_of(head, items), positives(items), groups, names, head.threshold, seed=seed))


def band(text: str) -> str:
    return "under 200" if len(text) < 200 else "200 to 1000" if len(text) <= 1000 else "over 1000"


def source_cards(items: Sorted) -> tuple[SourceCard, ...]:
    used = [*items.train, *items.held_out]
    cards = []
    for name in sorted({item.source for item in used}):
        train = [item for item in items.train if item.source == name]
        rows = [item for item in used if item.source == name]
        cards.append(
            SourceCard(
                name=name,
                licence=rows[0].licence,
                training_rows=len(train),
                training_positives=sum(item.positive for item in train),
                held_out_rows=len(rows) - len(train),
                label_sources=dict(sorted(Counter(item.label_source for item in rows).items())),
            )
        )
    return tuple(cards)


# --- One weights file -------------------------------------------------------------------------------------------------


def build(plan: Plan, items: Mapping[str, Sorted], left_out: Counter[str], options: argparse.Namespace) -> WeightsCard:
    heads, cards = [], {}
    for task in plan.tasks:
        head, cards[task.name] = make_head(task, plan.features, items[task.name], seed=options.seed)
        heads.append(head)
        print(summary(task.name, cards[task.name]))
    packed = pack_heads(heads)
    train = [item for part in items.values() for item in part.train]
    calibration = [item for part in items.values() for item in part.held_out] if plan.calibrates else []
    card = WeightsCard(
        weights_sha256=sha256(packed).hexdigest(),
        purpose=plan.purpose,
        features={
            name: getattr(plan.features, name) for name in ("bits", "shortest", "longest", "words", "reach", "opening")
        },
        heads=cards,
        training_rows=row_digests(train),
        training_texts=all_text_digests(train),
        calibration_rows=row_digests(calibration),
        calibration_texts=all_text_digests(calibration),
        left_out=dict(sorted(left_out.items())),
        notes=(
            f"split by hash of joined groups (group_id, equal or similar prompts): {plan.held_out:.0%} held out",
            "figures are those of the shipped weights, read back from their file's precision",
            "a part (band, language, source) with fewer than ten held-out rows is not reported",
        ),
        seed=options.seed,
        machine=f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}",
        date=options.date,
        command=f"python scripts/train_heads.py --seed {options.seed} --date {options.date}",
    )
    folder = options.out / plan.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{plan.name}.npz").write_bytes(packed)
    (folder / f"{plan.name}.json").write_text(card_json(card), encoding="utf-8")
    print(f"{folder / plan.name}.npz  {len(packed) / 1e6:.2f} MB  {card.weights_sha256[:12]}")
    return card


def card_json(card: WeightsCard) -> str:
    return json.dumps(card.model_dump(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def row_digests(items: Sequence[Item]) -> tuple[str, ...]:
    return tuple(sorted({data.short_digest(item.row_id) for item in items}))


def all_text_digests(items: Sequence[Item]) -> tuple[str, ...]:
    return tuple(sorted(set().union(*map(data.text_digests, items))))


def summary(name: str, card: HeadCard) -> str:
    total = card.held_out
    figures = ", ".join(
        f"{label} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
        for label, figure in (
            ("AUROC", total.auroc),
            ("precision", total.precision),
            ("recall", total.recall),
            ("FPR", total.false_positive_rate),
            ("ECE", total.calibration_error),
        )
        if figure
    )
    state = "enabled" if card.enabled else "DISABLED"
    return f"{name:17} {state} at {card.threshold:.2f}, {total.positives}/{total.rows} held out: {figures}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the classifier weights that safecase ships.")
    parser.add_argument("--out", type=Path, required=True, help="the package folder, src/safecase")
    parser.add_argument("--date", required=True, help="date for the cards, YYYY-MM-DD")
    parser.add_argument("--seed", type=int, default=2025)
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error(
            "set OMP_NUM_THREADS=1: with more threads, sums run in another order and bytes may differ (and it is slow)"
        )
    if "SAFECASE_DATA" not in os.environ:
        parser.error("SAFECASE_DATA is not set; point it at the folder with the .jsonl files")
    folder = Path(os.environ["SAFECASE_DATA"])

    items = {plan.name: gather(plan, folder) for plan in PLANS}
    judge_texts = data.Overlap(part for rows in items["judge"].values() for item in rows for part in item.parts)
    nothing, bank = data.Overlap(()), data.Overlap(bank_texts())
    cards = {}
    for plan in PLANS:
        others, measured_on = (nothing, nothing) if plan.calibrates else (judge_texts, bank)
        split, left_out = sort_items(plan, items[plan.name], others, measured_on, seed=options.seed)
        cards[plan.name] = build(plan, split, left_out, options)
    if shared := shared_material(cards["guard"], cards["judge"]):
        raise SystemExit(
            f"guard and judge share {len(shared.rows)} rows and {len(shared.texts)} texts: {shared.texts[:5]}"
        )
    print("guard and judge share no row and no text")


if __name__ == "__main__":
    main()
