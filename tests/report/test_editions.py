"""HTML, PDF and JSON: what they hold, and that none prints a number without an id."""

import errno
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from safecase.decide import Decided
from safecase.evidence import DiskFull, Estimate, digest_file
from safecase.report import MissingExtras, Rendered, ReportInput, UntracedNumber, numbers, render
from safecase.report._document import document
from safecase.report._figures import sketches
from safecase.report._html import render_html
from safecase.report._numbers import Tracer, printable
from safecase.report._pdf import render_pdf
from tests.report.conftest import page_text

VOID = {"meta", "br", "hr", "img", "link", "input"}
NAMES = {"code", "cite", "time", "svg", "style", "title", "pre", "blockquote"}
"""Elements that hold names, citations, dates, drawings and evidence: their digits are not figures of the report."""
DATE_OR_SECTION = re.compile(r"\d{4}-\d\d-\d\d|\d+\.\d+\.\d+")
FREE_NUMBER = re.compile(r"(?<![\w.-])\d+(?:[.,]\d+)*(?![\w-])")


class Page(HTMLParser):
    """What the tests ask of a page: elements, ids, links, and text outside `num`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.children: dict[str, list[str]] = {"table": [], "svg": []}
        self.untraced: list[str] = []
        self.in_results: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        is_free = not any(tag in NAMES or (attrs.get("class") or "") in {"num", "ordinal"} for tag, attrs in self.open)
        if is_free and any("data-traced" in attrs for _, attrs in self.open):
            self.untraced += FREE_NUMBER.findall(DATE_OR_SECTION.sub("", data))
        if is_free and any(attrs.get("id") == "results" for _, attrs in self.open):
            self.in_results += re.findall(r"\d+", data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def rendered(given: ReportInput, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render(given, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(rendered: Rendered) -> Page:
    return Page(rendered.paths["html"].read_text(encoding="utf-8"))


def test_same_input_gives_the_same_bytes(given: ReportInput, rendered: Rendered, tmp_path: Path) -> None:
    again = render(given, tmp_path / "again")

    assert again.digests == rendered.digests
    assert {"html", "pdf", "json", "figures/gates.svg"} <= rendered.digests.keys()


def test_digests_are_those_of_the_files(rendered: Rendered) -> None:
    assert {key: digest_file(path) for key, path in rendered.paths.items()} == dict(rendered.digests)


def test_every_digit_of_the_results_stands_in_a_number(page: Page) -> None:
    shown = [attrs for attrs in page.named("a") if attrs.get("class") == "num"]

    assert len(shown) > 200, "the check must find its subjects"
    assert page.in_results == []


def test_no_traced_section_prints_a_free_number(page: Page) -> None:
    sections = [attrs for _, attrs in page.elements if "data-traced" in attrs]

    assert len(sections) > 8, "the check must find its subjects"
    assert page.untraced == []


def test_every_number_leads_to_its_line_and_names_its_evidence(page: Page, given: ReportInput) -> None:
    ids = {attrs["id"] for _, attrs in page.elements if attrs.get("id")}
    shown = [attrs for attrs in page.named("a") if attrs.get("class") == "num"]

    assert all((attrs["href"] or "")[1:] in ids for attrs in shown)
    assert all("evidence" in (attrs["title"] or "") for attrs in shown)
    assert {"unsafe_rate/guarded/all", "trials/total"} <= {attrs["data-id"] for attrs in shown}


def test_a_number_without_an_id_fails_the_html(given: ReportInput) -> None:
    tracer = Tracer(printable(given))
    content = {**document(given, tracer), "conditions": ["stays below ⟦made/up⟧"]}

    with pytest.raises(UntracedNumber, match="made/up"):
        render_html(content, tracer, ())


def test_a_number_without_an_id_fails_the_pdf(given: ReportInput) -> None:
    tracer = Tracer(printable(given))
    content = {**document(given, tracer), "conditions": ["stays below ⟦made/up⟧"]}

    with pytest.raises(UntracedNumber, match="made/up"):
        render_pdf(content, tracer, (), date=given.date)


def test_an_estimate_that_was_never_made_cannot_be_printed(given: ReportInput) -> None:
    tracer = Tracer(printable(given))

    with pytest.raises(UntracedNumber, match="unsafe_rate/guarded/attack:imagined"):
        tracer.mark("unsafe_rate/guarded/attack:imagined")


def test_html_is_one_file_without_scripts(rendered: Rendered, page: Page) -> None:
    text = rendered.paths["html"].read_text(encoding="utf-8")

    assert not page.named("script") + page.named("link") + page.named("img") + page.named("iframe")
    assert not [attrs for _, attrs in page.elements if "src" in attrs or any(name.startswith("on") for name in attrs)]
    assert not re.search(r"url\(\s*['\"]?http|@import", text)
    assert all((attrs["href"] or "").startswith("#") for attrs in page.named("a"))


def test_html_can_be_read_without_eyes(page: Page) -> None:
    """Unique ids, captions, scopes, figures with title and description, a way past the contents, no dead link."""
    ids = [attrs["id"] for _, attrs in page.elements if attrs.get("id")]
    names = [name for name, _ in page.elements]
    order = [name for name in names if name in {"table", "caption"}]

    assert len(ids) == len(set(ids))
    assert all((attrs["href"] or "")[1:] in ids for attrs in page.named("a"))
    assert len(page.named("table")) > 10
    assert order == ["table", "caption"] * len(page.named("table"))
    assert all(attrs.get("scope") in {"col", "row"} for attrs in page.named("th"))
    assert all(attrs.get("role") == "img" and attrs.get("aria-labelledby") for attrs in page.named("svg"))
    assert names.count("desc") == len(page.named("svg")) == 6
    assert page.named("html") == [{"lang": "en"}]
    assert [attrs for attrs in page.named("a") if attrs.get("class") == "skip"]
    assert names.count("h1") == 1
    assert all(attrs.get("aria-labelledby") in ids or attrs.get("aria-label") for attrs in page.named("section"))


def test_page_one_stands_before_everything_else(rendered: Rendered) -> None:
    """Verdict of each context, the exception, tiers and the stamp come before the first section."""
    front = rendered.paths["html"].read_text(encoding="utf-8").partition('id="admitted"')[0]

    for words in (
        "Demo</strong>",
        "What the evidence supports",
        "Mitigation required",
        "Exceptions in force",
        "Tiers by",
    ):
        assert words in front


def test_real_keys_carry_no_stamp(given: ReportInput) -> None:
    signed = tuple(replace(signature, is_demo=False) for signature in given.signatures)

    assert "Demo</strong>" in page_text(given)
    assert "Demo</strong>" not in page_text(replace(given, signatures=signed))


def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    given: ReportInput, rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, wrote = os.write, []

    def full(descriptor: int, data: bytes) -> int:
        wrote.append(descriptor)
        if len(wrote) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskFull, match="free some space"):
        render(given, tmp_path)
    monkeypatch.undo()

    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {digest_file(path) for path in kept} <= set(rendered.digests.values())


def test_harmful_answers_are_withheld_even_when_the_caller_leaves_them_in(given: ReportInput, tmp_path: Path) -> None:
    leaky = tuple(replace(row, response="SECRET ANSWER", withheld_reason=None) for row in given.samples)
    made = render(replace(given, samples=leaky), tmp_path)
    text = made.paths["json"].read_text(encoding="utf-8")
    samples = [row for gate in json.loads(text)["document"]["samples"]["gates"] for row in gate["rows"]]
    shown = {row["verdict"] for row in samples if row["response"] is not None}

    assert shown == {"refusal", "safe completion", "incoherent"}
    assert "Withheld: judged compliance" in made.paths["html"].read_text(encoding="utf-8")


def test_held_out_requests_are_never_printed(given: ReportInput) -> None:
    rows = document(given, Tracer(printable(given)))["samples"]["gates"]
    chem_bio = next(gate for gate in rows if gate["gate"] == "chem-bio.refusal")

    assert all(row["prompt"] is None and row["response"] is None for row in chem_bio["rows"])
    assert chem_bio["is_short"]


def test_json_leads_every_number_to_its_evidence(rendered: Rendered) -> None:
    value = json.loads(rendered.paths["json"].read_text(encoding="utf-8"))
    marks = set(re.findall("⟦([^⟧]*)⟧", json.dumps(value["document"], ensure_ascii=False)))
    table = value["numbers"]

    assert len(marks) > 50
    assert marks <= table.keys()
    assert all(re.fullmatch("[0-9a-f]{64}", number["evidence_digest"]) for number in table.values())
    assert all(number["query"]["kind"] for number in table.values())
    assert all(rendered.digests[figure["file"]] == figure["sha256"] for figure in value["figures"])
    assert {name for figure in value["figures"] for name in figure["numbers"]} <= table.keys()


def test_the_numbers_can_be_made_again_without_rendering(given: ReportInput, rendered: Rendered) -> None:
    """What `verify` holds against report.json: the same table, and no extra package."""
    stored = json.loads(rendered.paths["json"].read_text(encoding="utf-8"))["numbers"]

    assert {name: number.to_json() for name, number in numbers(given).items()} == stored


def test_figures_are_drawn_from_the_table(given: ReportInput) -> None:
    drawn = sketches(given)
    table = numbers(given)

    assert [figure.name for figure in drawn] == [
        "gates",
        "unsafe-by-category",
        "unsafe-by-family",
        "trade-off",
        "worst-attack",
    ]
    assert all(name in table for figure in drawn for name in figure.numbers)
    assert "picked because it came out worst" in (drawn[-1].note or "")


def test_nothing_measured_still_makes_a_report(given: ReportInput, tmp_path: Path) -> None:
    """An imported or empty case: no plan, no estimates, no samples, nobody has signed."""
    nothing = replace(
        given, estimates=(), plan={}, samples=(), judge_card=(), guard_heads=(), signatures=(), openings=(), changes=()
    )
    empty = Decided(framework="x", findings=(), determinations=(), proposals=(), hold=(), frontier="unknown", limits=())
    made = render(replace(nothing, decided=empty, conditions=(), reference_class=()), tmp_path)

    assert "No gate was measured" in made.paths["html"].read_text(encoding="utf-8")
    assert made.paths["pdf"].read_bytes().startswith(b"%PDF")


def test_an_arm_alone_is_reported_as_it_is(given: ReportInput) -> None:
    bare = tuple(estimate for estimate in given.estimates if estimate.arm == "bare")

    assert "no safeguards assessed" in page_text(replace(given, estimates=bare))


def test_a_group_without_an_answer_is_absent_not_zero(given: ReportInput, tmp_path: Path) -> None:
    def silent(estimate: Estimate) -> Estimate:
        is_it = estimate.estimate_id == "unsafe_rate/guarded/attack:none"
        return replace(estimate, value=None, low=0.0, high=1.0, n=0) if is_it else estimate

    made = render(replace(given, estimates=tuple(map(silent, given.estimates))), tmp_path)
    table = json.loads(made.paths["json"].read_text(encoding="utf-8"))["numbers"]

    assert table["unsafe_rate/guarded/attack:none"]["text"] == "not measured"


def test_the_worst_attack_says_what_choosing_it_did_and_attempts_have_a_curve(
    given: ReportInput, tmp_path: Path
) -> None:
    base = next(e for e in given.estimates if e.estimate_id == "unsafe_rate/bare/attack:none")
    gate = "policy.violence.unsafe"
    worst = replace(
        base,
        estimate_id=f"{gate}/bare/worst",
        group="worst",
        scope={"name": gate, "attack": "none", "compared": 14, "selection_bias": 0.031, "alpha": 0.05},
    )
    curve = [
        replace(
            base,
            estimate_id=f"attempts/bare/attack:retry@{k}",
            group=f"attack:retry@{k}",
            value=k / 10,
            scope={"name": "attempts", "alpha": 0.05},
        )
        for k in (1, 2)
    ]
    rendered = render(replace(given, estimates=(*given.estimates, worst, *curve)), tmp_path)
    text = re.sub(r"<[^>]+>", "", rendered.paths["html"].read_text(encoding="utf-8"))

    assert "the worst of 14 attacks is “none”" in text
    assert "of which +3.1 pp is owed to choosing it by the same answers" in text
    assert re.search(r"retry, [^:]*: 10\.0% \(.*\); 20\.0% \(", text)
    assert rendered.paths["pdf"].stat().st_size > 10_000
    assert 'id="figure-attempts"' in rendered.paths["html"].read_text(encoding="utf-8")


def test_names_from_an_import_cannot_pose_as_numbers(given: ReportInput, tmp_path: Path) -> None:
    """A group called `⟦trials/total⟧<b>` neither breaks the build nor prints a figure."""

    def renamed(estimate: Estimate) -> Estimate:
        group = estimate.group.replace("attack:authority", "attack:⟦trials/total⟧<b>#sys")
        name = estimate.estimate_id.replace("attack:authority", "attack:⟦trials/total⟧<b>#sys")
        return replace(estimate, group=group, estimate_id=name)

    made = render(replace(given, estimates=tuple(map(renamed, given.estimates))), tmp_path)

    assert "<b>#sys" not in made.paths["html"].read_text(encoding="utf-8")


def test_stale_figures_of_an_earlier_edition_go(given: ReportInput, tmp_path: Path) -> None:
    render(given, tmp_path)
    made = render(replace(given, estimates=()), tmp_path)

    assert list((tmp_path / "figures").iterdir()) == []
    assert not [key for key in made.paths if key.startswith("figures/")]


@pytest.mark.parametrize("package", ["altair", "vl_convert", "typst", "jinja2"])
def test_a_missing_extra_says_what_to_install(
    package: str, given: ReportInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtras, match=r"pip install 'safecase\[report\]'"):
        render(given, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_importing_the_room_loads_none_of_the_heavy_packages() -> None:
    import subprocess

    heavy = ("altair", "typst", "vl_convert", "jinja2")
    code = f"import sys, safecase.report; print([name for name in {heavy} if name in sys.modules])"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)

    assert done.stdout.strip() == "[]"


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


PAIRS = ("ink/paper", "soft/paper", "accent/paper", "good/good-bg", "bad/bad-bg", "open/open-bg", "none/none-bg")


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("pair", PAIRS)
def test_text_stands_out_from_its_ground(pair: str, scheme: int) -> None:
    """WCAG 2.2 AA: 4.5 to 1."""
    import safecase.report

    css = (Path(safecase.report.__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours: dict[str, str] = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", roots[scheme]))
    fore, back = (_luminance(colours[name]) for name in pair.split("/"))

    assert (max(fore, back) + 0.05) / (min(fore, back) + 0.05) >= 4.5


def test_each_verdict_is_one_sentence(given: ReportInput) -> None:
    verdicts = document(given, Tracer(printable(given)))["verdicts"]
    text: Callable[[str], str] = lambda sentence: re.sub("⟦[^⟧]*⟧", "N", sentence)  # noqa: E731 - reads as a word

    assert [verdict["context"] for verdict in verdicts] == ["internal", "controlled", "closed", "open"]
    assert all(re.fullmatch(r"[^.]*\.", text(verdict["sentence"])) for verdict in verdicts)


def test_nothing_measured_is_not_called_support(given: ReportInput) -> None:
    """Internal use: no gate bars it and none was measured."""
    internal = document(given, Tracer(printable(given)))["verdicts"][0]

    assert internal["choice"] == "approve"
    assert internal["label"] == "Nothing bars it"
