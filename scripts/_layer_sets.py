"""The labelled sets that layers are measured on, and which layer is measured on which.

Public rows come from the folder that `SAFECASE_DATA` names, and none of their text leaves it. Rows that the guard's
weights were trained on are found by the card beside the weights (by id, by text, and by likeness to a training text)
and left out, counted. What is synthetic is written here, by a seeded generator, and its card says so.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal

import _heads_data as data
from _heads_data import Item, Row, Source
from train_heads import GUARD, PLANS, own_texts

from safecase.detect import load_heads, normalise
from safecase.measure import LabelledSet, LabelledText, Place
from safecase.safeguard import GUARD_WEIGHTS

SEED = 20261121
Label = Callable[[Row], bool | None]
"""True for a row that should be stopped, False for one that should pass, None to leave it out."""


def by_label(labels: Mapping[object, bool]) -> Label:
    """Rows by their column `label`."""
    return lambda row: labels.get(row["label"])


def positive(_row: Row) -> bool:
    """Every row should be stopped."""
    return True


def negative(_row: Row) -> bool:
    """Every row should pass."""
    return False


_PERSONAL = frozenset({"CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "US_SSN"})


def holds_personal(kinds: frozenset[str] | None) -> Label:
    """Rows with personal data of these kinds (None: of any) against rows without any."""

    def label(row: Row) -> bool | None:
        found = {span["type"] for span in row.get("spans", ())}
        if not found:
            return False
        return True if kinds is None or found & kinds else None

    return label


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A set of public rows: what of which files, and what the labels mean here.

    Attributes:
        read: makes the items where they are no column of a file.
        unseen: only the half of the groups that was not looked at while rules were written; see `was_looked_at`.
    """

    name: str
    kind: Literal["held-out", "other-distribution", "public"]
    place: Place
    sources: Sequence[Source]
    positive: str
    negative: str
    notes: tuple[str, ...] = ()
    read: Callable[[Path], list[Item]] | None = None
    unseen: bool = False


def was_looked_at(group: str) -> bool:
    """Whether a group of rows is in the half that the rules for tool results were written with."""
    return int(sha256(f"safecase-injection:{group}".encode()).hexdigest()[:8], 16) % 2 == 0


def tool_results(folder: Path) -> list[Item]:
    """What tools gave back in agents' tasks: files, an issue, mails, records. True where an attack was put into it."""
    return [
        Item(
            row_id=f"{row['id']}:{place}",
            source=row["source"],
            licence=row["licence"],
            label_source=row["label_source"],
            language=row["language"],
            text=text,
            parts=(text,),
            group=row["group_id"],
            positive=is_attack,
        )
        for name in ("ipi_coding_agent", "agent_threat_bench", "cyse_prompt_injection")
        for row in data.read_rows(folder, name)
        for place, text, is_attack in _results(row)
        if text.strip()
    ]


def _results(row: Row) -> Iterator[tuple[str, str, bool]]:
    """Place, text, and whether the attack is there."""
    match row["source"]:
        case "ipi_coding_agent":
            for place, text in {**json.loads(row["context"]), "issue": row["text"]}.items():
                yield place, text, _is_attacked_file(row, place, text)
        case "agent_threat_bench":
            context = json.loads(row["context"])
            for number, mail in enumerate(context.get("inbox", ()), start=1):
                is_attack = number in context["attack_email_indices"]
                yield f"mail-{number}", f"{mail['subject']}\n{mail['body']}", is_attack
            records = [str(one["issue"]) for one in context.get("customer_db", ())]
            records += map(str, context.get("memory_store", {}).values())
            yield "records", "\n".join(records), row["attack"] != "clean_baseline"
        case _:
            if row["injection_type"] == "indirect":
                yield "text", row["text"], True


def _is_attacked_file(row: Row, place: str, text: str) -> bool:
    holds = re.search(row.get("indicator", "$^"), text) is not None
    match row["vector"]:
        case "issue_text":
            return place == "issue"
        case "readme":
            return "README" in place
        case "code_comment":
            return holds and place.endswith(".py") and "test" not in place
        case "config_file":
            return holds
        case _:
            return False


_NONE = "none in this set"
_UNSEEN = "half of the groups; the rules were written with the other half before them, and measured here once"
_INJECTION = by_label({"injection": True, "benign": False})
_JAILBROKEN = by_label({"jailbroken": True, "not_jailbroken": False})
_PRESIDIO = (
    "synthetic sentences of Presidio's generator; groups are its templates",
    "a number whose checksum does not hold is not looked for",
)

RECIPES = (
    *(
        Recipe(
            name=f"{task.name} held out",
            kind="held-out",
            place="request" if task.name in ("harmful-request", "jailbreak-prompt") else "reply",
            sources=task.sources,
            positive=task.positive,
            negative=task.negative,
            notes=("of the data sets that the weights learned from: easier than other people's texts",),
        )
        for task in GUARD
    ),
    Recipe(
        name="contrast prompts",
        kind="other-distribution",
        place="request",
        sources=[Source(file="xstest_prompts", label=by_label({"harmful": True, "benign": False}))],
        positive="unsafe contrast prompts of XSTest",
        negative="safe prompts that sound unsafe",
        notes=("made to look alike: the hardest set here for anything that reads words",),
    ),
    Recipe(
        name="phishing goals",
        kind="other-distribution",
        place="request",
        sources=[Source(file="cyse_phishing_goals", label=positive)],
        positive="goals of spear phishing with a target's profile",
        negative=_NONE,
    ),
    Recipe(
        name="benign, other languages",
        kind="other-distribution",
        place="request",
        sources=[Source(file="cyse_frr_multilingual", label=negative)],
        positive=_NONE,
        negative="benign security questions, machine translated",
    ),
    Recipe(
        name="published attacks",
        kind="other-distribution",
        place="request",
        sources=[
            Source(file="jbb_artifacts", label=positive),
            Source(file="hh_harmless_pairs", label=negative),
        ],
        positive="prompts of published attacks (JailbreakBench artefacts), whatever they led to",
        negative="dialogues of people who test an assistant, without an attack template",
        notes=("PAIR's attacks are paraphrases in plain words, and GCG's suffixes are no role play",),
    ),
    Recipe(
        name="replies in dialogue",
        kind="other-distribution",
        place="reply",
        sources=[Source(file="diasafety", label=by_label({"unsafe": True, "safe": False}), reads="response")],
        positive="replies that people rated unsafe in their dialogue",
        negative="replies that they rated safe",
        notes=("whether a reply is unsafe often hangs on what it replies to, which this layer does not read",),
    ),
    Recipe(
        name="jailbroken replies",
        kind="other-distribution",
        place="reply",
        sources=[
            Source(
                file="jbb_artifacts", label=by_label({"jailbroken": True, "not_jailbroken": False}), reads="response"
            )
        ],
        positive="replies that do what a harmful request asked",
        negative="replies that do not",
        notes=("labelled by a model, not by people",),
    ),
    Recipe(
        name="ordinary and adult texts",
        kind="public",
        place="reply",
        sources=[
            Source(file=name, label=negative)
            for name in ("openai_moderation", "surge_toxicity", "hatecheck", "tau2_benign_scenarios")
        ],
        positive="none: no such material may be held, so recall cannot be measured here",
        negative="posts and scenarios, many sexual or violent; those on minors were taken out beforehand",
    ),
    Recipe(
        name="e-mails with an instruction",
        kind="public",
        place="tool-result",
        sources=[Source(file="bipia_email_composed", label=_INJECTION)],
        positive="e-mails into which one instruction was put (BIPIA)",
        negative="the same e-mails without it",
        notes=("most of the instructions are plain tasks that override nothing in words", _UNSEEN),
        unseen=True,
    ),
    Recipe(
        name="tool results with an attack",
        kind="public",
        place="tool-result",
        sources=(),
        read=tool_results,
        positive="files, issues, mails, records and pages into which an attack on the agent was put",
        negative="the other files, mails and records of the same tasks",
        notes=(_UNSEEN,),
        unseen=True,
    ),
    Recipe(
        name="ordinary tool results",
        kind="public",
        place="tool-result",
        sources=[
            Source(file="openai_moderation", label=by_label({"benign": False})),
            Source(file="surge_toxicity", label=by_label({"not_toxic": False})),
            Source(file="tau2_benign_scenarios", label=negative),
            Source(file="cyse_frr", label=negative),
        ],
        positive=_NONE,
        negative="posts, stories, customers' situations, questions on security, as a tool's result",
        notes=(_UNSEEN,),
        unseen=True,
    ),
    Recipe(
        name="inputs that attack a system prompt",
        kind="public",
        place="tool-result",
        sources=[
            Source(file="cyse_prompt_injection", label=lambda row: row["injection_type"] == "direct" or None),
            Source(file="giskard_injections", label=_INJECTION),
        ],
        positive="what people type to get at a secret or past a rule, as a tool's result",
        negative=_NONE,
        notes=("many ask for a password in plain words, which no rule here looks for", _UNSEEN),
        unseen=True,
    ),
    Recipe(
        name="injections, other languages",
        kind="public",
        place="tool-result",
        sources=[Source(file="cyse_prompt_injection_multilingual", label=positive)],
        positive="the same inputs and pages, machine translated",
        negative=_NONE,
        notes=(_UNSEEN,),
        unseen=True,
    ),
    Recipe(
        name="personal data with a shape",
        kind="public",
        place="reply",
        sources=[Source(file="presidio_pii", label=holds_personal(_PERSONAL))],
        positive="sentences with a card, e-mail address, IBAN, IP address, telephone or US social-security number",
        negative="sentences without any personal data",
        notes=_PRESIDIO,
    ),
    Recipe(
        name="personal data of every kind",
        kind="public",
        place="reply",
        sources=[Source(file="presidio_pii", label=holds_personal(None))],
        positive="sentences with any personal data, names and postal addresses too",
        negative="sentences without any",
        notes=_PRESIDIO,
    ),
)

_TOOLS = (
    "tool results with an attack",
    "ordinary tool results",
    "e-mails with an instruction",
    "inputs that attack a system prompt",
    "injections, other languages",
)
SETS_OF: Mapping[str, tuple[str, ...]] = {
    "harmful-request": ("harmful-request held out", "contrast prompts", "phishing goals", "benign, other languages"),
    "jailbreak-prompt": ("jailbreak-prompt held out", "published attacks"),
    "harmful-output": ("harmful-output held out", "replies in dialogue", "jailbroken replies"),
    "sexual-text": ("sexual-text held out",),
    "child-abuse-screen": ("ordinary and adult texts",),
    "terms": ("declared words",),
    "meaning": ("contrast prompts", "benign, other languages"),
    "injection": _TOOLS,
    "injection-with-head": _TOOLS,
    "personal-data": ("personal data with a shape", "personal data of every kind", "numbers that are nobody's"),
    "personal-numbers": ("numbers with a check digit", "numbers that are nobody's"),
    "topics": ("declared words",),
    "code": ("code with a weakness", "talk of code"),
    "accounts": (),
    "principle-judge": ("a few plain requests",),
}
"""Layer -> names of its sets, the most telling first. A layer about accounts has no text to be right or wrong about."""


# --- Public rows ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sets:
    """The sets, each made when it is asked for.

    Attributes:
        folder: with the public data.
        made: recipes of sets by a generator, by name.
    """

    folder: Path
    made: Mapping[str, Callable[[], LabelledSet]] = field(
        default_factory=lambda: {
            "declared words": declared_words,
            "numbers that are nobody's": numbers,
            "numbers with a check digit": check_digits,
            "code with a weakness": weak_code,
            "talk of code": talk_of_code,
        }
    )

    def make(self, name: str, *, learned: bool) -> LabelledSet:
        """The set of that name.

        Args:
            learned: whether the layer has weights; what they learned from is then left out.
        """
        if name in self.made:
            return self.made[name]()
        if name == "a few plain requests":
            return self._few_plain()
        recipe = next(recipe for recipe in RECIPES if recipe.name == name)
        read = recipe.read(self.folder) if recipe.read else data.read_items(self.folder, recipe.sources)
        unseen = [item for item in read if not (recipe.unseen and was_looked_at(item.group))]
        items, left_out = self._free(unseen, learned=learned)
        return LabelledSet(
            name=recipe.name,
            kind=recipe.kind,
            place=recipe.place,
            texts=[_labelled(item) for item in items],
            sources={item.source: item.licence for item in items},
            label_sources=tuple(sorted({item.label_source for item in items})),
            positive=recipe.positive,
            negative=recipe.negative,
            left_out=left_out,
            notes=recipe.notes,
        )

    @cached_property
    def _trained(self) -> tuple[frozenset[str], frozenset[str]]:
        """Short digests of the ids and of the texts that the weights learned from."""
        card = load_heads(GUARD_WEIGHTS).card
        return frozenset(card.training_rows), frozenset(card.training_texts)

    @cached_property
    def _like_trained(self) -> data.Overlap:
        """Tells a text that repeats most of a training text."""
        plan = next(plan for plan in PLANS if plan.name == "guard")
        own = [item for items in own_texts(plan).values() for item in items]
        public = [item for task in GUARD for item in data.read_items(self.folder, task.sources)]
        return data.Overlap(item.text for item in (*own, *public) if data.short_digest(item.row_id) in self._trained[0])

    def _free(self, items: Iterable[Item], *, learned: bool) -> tuple[list[Item], dict[str, int]]:
        """Items that no weights learned from, nor anything like them, and what was left out, by reason."""
        out: Counter[str] = Counter()
        kept, seen = [], set()
        rows, texts = self._trained
        for item in items:
            text = normalise(item.text)
            if learned and (data.short_digest(item.row_id) in rows or data.short_digest(text) in texts):
                out["trained on"] += 1
            elif learned and self._like_trained.holds(item.text):
                out["like a training text"] += 1
            elif text in seen:
                out["repeated"] += 1
            else:
                seen.add(text)
                kept.append(item)
        return kept, dict(out)

    def _few_plain(self) -> LabelledSet:
        """So few that a model of our size can be asked about each."""
        full, rng = self.make("harmful-request held out", learned=True), random.Random(SEED)
        short = [text for text in full.texts if len(text.text) < 400]
        some = [text for side in (True, False) for text in rng.sample([t for t in short if t.positive is side], 30)]
        notes = ("30 of each kind, drawn from the held-out rows of harmful-request, under 400 characters",)
        return replace(full, name="a few plain requests", kind="public", texts=some, left_out={}, notes=notes)


def _labelled(item: Item) -> LabelledText:
    return LabelledText(
        text=item.text, positive=item.positive, group=item.group, source=item.source, language=item.language
    )


def read_set(path: Path, *, place: Place) -> LabelledSet:
    """Anyone's own rows: JSON lines of `text` and `label` (true: to be stopped), and `group` and `language` if any."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    texts = [
        LabelledText(
            text=row["text"],
            positive=row["label"],
            group=str(row.get("group", number)),
            source=path.stem,
            language=row.get("language", "en"),
        )
        for number, row in enumerate(rows)
    ]
    return LabelledSet(
        name=path.stem,
        kind="public",
        place=place,
        texts=texts,
        sources={path.stem: "own"},
        label_sources=("own",),
        positive="rows labelled true",
        negative="rows labelled false",
    )


# --- Synthetic texts --------------------------------------------------------------------------------------------------

_WHO = ("my neighbour", "the new librarian", "our team", "a student", "the committee", "my aunt", "a colleague")
_DID = ("wrote about", "asked me to describe", "lost the notes on", "gave a talk on", "cannot find", "paid for")
_WHAT = ("the garden fence", "a train timetable", "the spring menu", "an old map", "the school play", "the tax form")
_WHEN = ("last week", "before lunch", "on the way home", "in the rain", "over the summer", "without a word")
_TERMS = ("zanziscope", "blue heron protocol", "kexor")
_NEAR = ("zanzibar", "telescope", "blue whale protocol", "a heron in blue light", "kex", "lexicon", "Kexby Road")


def sentence(rng: random.Random, what: str | None = None) -> str:
    """An ordinary sentence, about something in particular where it is given."""
    return f"{rng.choice(_WHO).capitalize()} {rng.choice(_DID)} {what or rng.choice(_WHAT)} {rng.choice(_WHEN)}."


def text_of(characters: int, number: int) -> str:
    """An ordinary text of so many characters, another for every number."""
    rng = random.Random(f"{SEED}:{characters}:{number}")
    text = f"Text {number}."
    while len(text) < characters:
        text += " " + sentence(rng)
    return text[:characters]


def declared_words() -> LabelledSet:
    """Sentences with and without the words that `layers.yaml` declares."""

    def make(rng: random.Random) -> tuple[str, bool]:
        is_positive = rng.random() < 0.5
        word = rng.choice(_TERMS) if is_positive else rng.choice((*_NEAR, *_WHAT))
        return f"{sentence(rng)} {sentence(rng, word)} {sentence(rng)}", is_positive

    return _generated(
        "declared words",
        "request",
        make,
        positive="texts that hold one of the declared words",
        negative="texts that hold a word like one of them, or none",
    )


def numbers() -> LabelledSet:
    """Sentences with numbers that identify nobody."""

    def make(rng: random.Random) -> tuple[str, bool]:
        d = "".join(str(rng.randrange(10)) for _ in range(12))
        kinds = (
            f"Order {d[:8]} was sent on 20{d[:2]}-0{1 + rng.randrange(9)}-1{rng.randrange(10)}.",
            f"Version {d[0]}.{d[1:3]}.{d[3:5]} replaces {d[5]}.{d[6:8]}.",
            f"The room is {d[:2]}.{d[2]} m by {d[3]}.{d[4:6]} m and costs {d[6:9]},{d[9:12]} euros.",
            f"Commit {rng.getrandbits(160):040x} broke line {d[:3]}.",
            f"In 19{d[:2]} there were {d[2]},{d[3:6]} of them, in 20{d[6:8]} only {d[8:11]}.",
            f"ISBN 978-{d[0]}-{d[1:4]}-{d[4:9]}-{d[9]}, page {d[10:12]}.",
        )
        return f"{sentence(rng)} {rng.choice(kinds)}", False

    return _generated(
        "numbers that are nobody's",
        "reply",
        make,
        positive=_NONE,
        negative="order numbers, dates, versions, measures, prices, hashes, ISBNs",
    )


def check_digits() -> LabelledSet:
    """Sentences with numbers whose last sign is a right check digit, or a wrong one."""

    def make(rng: random.Random) -> tuple[str, bool]:
        is_positive = rng.random() < 0.5
        kind = rng.choice((_health_number, _licence, _identity_number))
        number = kind(rng, 0 if is_positive else 1 + rng.randrange(5))
        return sentence(rng, f"the number {number}"), is_positive

    return _generated(
        "numbers with a check digit",
        "reply",
        make,
        positive="numbers of health services, of medical licences and of identity cards",
        negative="the same with a wrong check digit",
    )


def _health_number(rng: random.Random, wrong: int) -> str:
    """Nine digits and a check digit, NHS Data Dictionary."""
    while True:
        digits = [rng.randrange(10) for _ in range(9)]
        check = (11 - sum((10 - at) * digit for at, digit in enumerate(digits)) % 11) % 11
        if digits[0] and check < 10:
            d = "".join(map(str, [*digits, (check + wrong) % 10]))
            return f"{d[:3]} {d[3:6]} {d[6:]}"


def _licence(rng: random.Random, wrong: int) -> str:
    """Two letters, six digits and a check digit, as the US Drug Enforcement Administration gives them."""
    digits = [rng.randrange(10) for _ in range(6)]
    check = (sum(digits[::2]) + 2 * sum(digits[1::2]) + wrong) % 10
    return f"{rng.choice('ABM')}{rng.choice('BKS')}" + "".join(map(str, [*digits, check]))


def _identity_number(rng: random.Random, wrong: int) -> str:
    """Eight digits and a letter, Spain's DNI."""
    number = rng.randrange(10**7, 10**8)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[(number + wrong) % 23]}"


# Of each, a way that is weak and one that is not; none of them is an example of a rule's own file.
_CODE: Sequence[tuple[str, str, str]] = (
    ("python", 'os.popen("du -sh " + {n})', 'subprocess.run(["du", "-sh", {n}], check=True)'),
    ("python", "subprocess.check_output({n}, shell=True)", "subprocess.check_output([{n}])"),
    ("python", 'db.execute("DELETE FROM {n} WHERE id=" + key)', 'db.execute("DELETE FROM {n} WHERE id=?", (key,))'),
    ("python", 'db.execute(f"UPDATE t SET a={{{n}}}")', 'db.execute("UPDATE t SET a=?", ({n},))'),
    ("python", "{n} = pickle.load(stream)", "{n} = json.load(stream)"),
    ("python", "{n} = eval(line)", "{n} = ast.literal_eval(line)"),
    ("python", "{n} = yaml.load(stream, Loader=yaml.Loader)", "{n} = yaml.safe_load(stream)"),
    ("python", "{n} = requests.post(url, json=d, verify=False)", "{n} = requests.post(url, json=d, timeout=9)"),
    ("javascript", "{n}.innerHTML = location.hash;", "{n}.textContent = location.hash;"),
    ("javascript", "pool.query(`SELECT * FROM t WHERE a=${{{n}}}`)", 'pool.query("SELECT * FROM t WHERE a=?", [{n}])'),
    ("javascript", "const {n} = eval(text);", "const {n} = JSON.parse(text);"),
    ("javascript", 'require("child_process").exec("ls " + {n})', 'require("child_process").execFile("ls", [{n}])'),
    ("java", 'Rows {n} = st.executeQuery("SELECT a WHERE b=" + c);', 'Rows {n} = c.prepareStatement("SELECT ?");'),
    ("c", "char {n}[9]; strcpy({n}, argv[1]);", 'char {n}[9]; snprintf({n}, 9, "%s", argv[1]);'),
    ("c", "char {n}[9]; gets({n});", "char {n}[9]; fgets({n}, 9, stdin);"),
    ("php", '<?php ${n} = unserialize($_POST["d"]);', '<?php ${n} = json_decode($_POST["d"]);'),
    ("php", '<?php system("ls " . $_GET["{n}"]);', '<?php ${n} = scandir(".");'),
    ("go", 'rows, {n} := db.Query("SELECT a FROM b WHERE c=" + d)', 'rows, {n} := db.Query("SELECT a WHERE c=$1", d)'),
    ("ruby", "{n} = User.where(\"name = '#{{key}}'\")", "{n} = User.where(name: key)"),
    ("csharp", 'var {n} = new SqlCommand("SELECT a WHERE b=" + c, d);', 'var {n} = new SqlCommand("SELECT @b", d);'),
)
_FENCES = ("```{tag}\n{code}\n```", "```\n{code}\n```", "~~~{tag}\n{code}\n~~~", "{code}")


def weak_code() -> LabelledSet:
    """Replies that hold a few lines of code, with or without a construct that is weak as it stands."""

    def make(rng: random.Random) -> tuple[str, bool]:
        tag, weak, sound = rng.choice(_CODE)
        is_positive = rng.random() < 0.5
        code = (weak if is_positive else sound).format(n=rng.choice(("value", "item", "node", "found", "entry")))
        block = rng.choice(_FENCES).format(tag=tag, code=code)
        return f"{sentence(rng)}\n\n{block}\n\n{sentence(rng)}", is_positive

    return _generated(
        "code with a weakness",
        "reply",
        make,
        positive="code that is weak as it stands, fenced or bare, labelled or not",
        negative="code for the same end that is not",
    )


def talk_of_code() -> LabelledSet:
    """Prose that names weak constructs, and holds no code."""

    def make(rng: random.Random) -> tuple[str, bool]:
        kinds = (
            "Never call `eval(x)` on what a user wrote.",
            "The function os.system(cmd) starts a shell; a list of arguments does not.",
            "* pickle.loads(data) runs code\n* json.loads(data) does not",
            "If you wonder about strcpy(a, b): it does not know how much room there is.",
            "1. Put values into queries as parameters.\n2. Do not build them with `+` or f-strings.",
        )
        return f"{sentence(rng)}\n\n{rng.choice(kinds)}\n\n{sentence(rng)}", False

    return _generated("talk of code", "reply", make, positive=_NONE, negative="prose that names weak constructs")


def _generated(
    name: str, place: Place, make: Callable[[random.Random], tuple[str, bool]], *, positive: str, negative: str
) -> LabelledSet:
    rng = random.Random(f"{SEED}:{name}")
    texts = [
        LabelledText(text=text, positive=label, group=str(number), source="generator")
        for number, (text, label) in enumerate(make(rng) for _ in range(600))
    ]
    return LabelledSet(
        name=name,
        kind="synthetic",
        place=place,
        texts=texts,
        sources={"generator": "Apache-2.0"},
        label_sources=("by_construction",),
        positive=positive,
        negative=negative,
        notes=(
            f"made by scripts/_layer_sets.py, seed {SEED}: shows that the rule does what it says, not how it fares on "
            "people's texts",
        ),
    )


# --- Spellings --------------------------------------------------------------------------------------------------------

_CYRILLIC = str.maketrans("aceopxyiABCEHKMOPTXI", "асеорхуіАВСЕНКМОРТХІ")
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_FULLWIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}

SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "zero-width": lambda text: "\u200b".join(text),
    "cyrillic": lambda text: text.translate(_CYRILLIC),
    "fullwidth": lambda text: text.translate(_FULLWIDTH),
    "leetspeak": lambda text: text.translate(_LEET),
    "spaced letters": lambda text: "  ".join(" ".join(word) for word in text.split(" ")),
}
"""Ways in which attacks write the same text, each over the whole of it."""
