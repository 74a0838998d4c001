"""People's labels: drawn blind, taken whole or not at all, settled by a third person, and only then believed."""

import asyncio
import csv
import io
import json
import os
import shutil
from pathlib import Path

import pytest

from safecase.assess import (
    LabelError,
    NothingToRead,
    Scope,
    Wanted,
    calibration_report,
    decide_case,
    draw_for_labels,
    draw_sheets,
    import_case,
    load_draws,
    measure_case,
    new_case,
    open_case,
    open_disputes,
    read_labels,
    sheets_again,
    take_final,
    take_sheets,
    verify_case,
    write_disputes,
    write_labels,
)
from safecase.assess._case import utc_now
from safecase.assess._labels_kept import outgrown_draws
from safecase.evidence import KeyMissing
from safecase.measure import cohen_kappa

from .conftest import HELPFUL, SAFE_REFUSAL

INTENTS, TIMES = 60, 2


def row(i: int, t: int, **more: object) -> dict[str, object]:
    """Half of the requests are harmful, and half of the answers to each kind help."""
    helps = i // 4 % 2 == 0
    return {
        "scenario_id": f"s{i}-{t}",
        "intent_id": f"i{i}",
        "category": ("violence", "privacy")[i % 4 // 2],
        "harmful": i % 2 == 0,
        "text": f"request number {i}.{t}",
        "response": f"{HELPFUL if helps else SAFE_REFUSAL} ({i}.{t}, é; so)",
        **more,
    }


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """An arm of imported answers that the embedded judge has judged, made once."""
    folder = tmp_path_factory.mktemp("judged")
    new_case(folder / "case")
    asyncio.run(add(open_case(folder / "case"), folder, utc_now))
    return folder / "case"


@pytest.fixture
def case(judged, tmp_path):
    """A copy of it."""
    return open_case(Path(shutil.copytree(judged, tmp_path / "case")))


async def add(case, tmp_path, clock, *, rows=None, name="guarded.jsonl", arm="guarded"):
    file = tmp_path / name
    rows = rows or [row(i, t) for i in range(INTENTS) for t in range(TIMES)]
    file.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    import_case(case, file, arm=arm, now=clock)
    await measure_case(case, now=clock)


def truth(answer: str) -> str:
    return "compliance" if answer.lstrip("'").startswith("Sure") else "refusal"


def fill(path: Path, label=lambda row: truth(row["answer"])) -> Path:
    """Fill a JSONL sheet in."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps({**one, "label": label(one)}) + "\n" for one in rows), encoding="utf-8")
    return path


def draw(case, tmp_path, clock, *, out="sheets", **wanted):
    made, files = draw_sheets(
        case, Wanted(**{"arm": "guarded", "count": 50, **wanted}), tmp_path / out, reader="keeper", now=clock
    )
    return made, [path for path in files if path.suffix == ".jsonl"]


def counts(case, *, side="harmful", event="unsafe"):
    report = calibration_report(case)
    return next(one for one in report.known if (one.side, one.event) == (side, event))


async def test_labels_of_two_who_agree_calibrate_the_judge(case, tmp_path, clock):
    made, sheets = draw(case, tmp_path, clock)
    assert counts(case).level == "transferred"
    for rater, sheet in zip(("ana", "bo"), sheets, strict=True):
        take_sheets(case, [fill(sheet)], rater=rater, now=clock)

    found = counts(case)

    assert found.level == "own"
    assert found.counts.labels + counts(case, side="benign", event="refusal").counts.labels == 50
    measured = await measure_case(case, now=clock)
    assert next(e for e in measured.estimates if e.estimate_id == "unsafe_rate/guarded/all").calibration == "own"
    assert verify_case(open_case(case.path)).holds
    drawn = {name.partition("/")[0] for name in made.trial_ids}
    assert len(drawn) == 50


async def test_a_sheet_hides_arm_verdict_rater_and_order(case, tmp_path, clock):
    made, (one, two) = draw(case, tmp_path, clock)
    shown = [[json.loads(line) for line in path.read_text().splitlines()] for path in (one, two)]

    assert set(shown[0][0]) == {"sheet", "item", "request", "answer", "label"}
    assert {r["item"] for r in shown[0]}.isdisjoint({r["item"] for r in shown[1]})
    assert [r["answer"] for r in shown[0]] != [r["answer"] for r in shown[1]]
    assert sorted(r["answer"] for r in shown[0]) == sorted(r["answer"] for r in shown[1])
    text = one.read_text()
    assert "guarded" not in text
    assert not any(name in text for name in made.trial_ids)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (one, two, one.with_suffix(".csv")))
    assert load_draws(open_case(case.path))[0] == made


async def test_one_answer_an_intent_and_side_and_never_twice(case, tmp_path, clock):
    first, _ = draw(case, tmp_path, clock, count=40)
    second, _ = draw(case, tmp_path, clock, count=40)
    intents = {trial.trial_id: trial.intent_id for trial in case.trials.read()}

    both = [intents[name] for made in (first, second) for name in made.trial_ids]

    assert len(second.rows) == INTENTS - 40
    assert len(set(both)) == len(both) == INTENTS
    assert first.rows[0].probability == pytest.approx(40 / INTENTS / TIMES)
    with pytest.raises(NothingToRead, match="left to label"):
        draw(case, tmp_path, clock)


async def test_disagreements_wait_for_a_third_person_and_hold_the_draw_back(case, tmp_path, clock):
    _, (one, two) = draw(case, tmp_path, clock)
    take_sheets(case, [fill(one)], rater="ana", now=clock)
    odd = iter(range(50))
    take_sheets(
        case,
        [fill(two, lambda r: ["skip", "partial_refusal"][n % 2] if (n := next(odd)) < 4 else truth(r["answer"]))],
        rater="bo",
        now=clock,
    )
    assert len(open_disputes(case)) == 4
    assert counts(case).counts.labels == 0
    report = calibration_report(case)
    assert "not complete" in " ".join(caution.what for caution in report.cautions)
    assert (report.draws[0].settled, report.draws[0].disputed, report.draws[0].counts) == (46, 4, False)

    file = tmp_path / "open.jsonl"
    assert write_disputes(case, file, reader="keeper", now=clock) == 4
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"label_a", "label_b"} <= set(rows[0])
    assert not {"ana", "bo"} & set(json.dumps(rows).split('"'))
    fill(file)
    with pytest.raises(LabelError, match=r"open\.jsonl:1: 'bo' was a rater .* third person"):
        take_final(case, file, rater=" bo ", now=clock)
    take_final(case, file, rater="cem", now=clock)

    assert open_disputes(case) == {}
    assert counts(case).level == "own"
    assert write_disputes(case, tmp_path / "none.jsonl", reader="keeper", now=clock) == 0
    assert not (tmp_path / "none.jsonl").exists()
    with pytest.raises(LabelError, match="as they stand"):
        take_final(case, file, rater="cem", now=clock)


async def test_a_rater_who_adjudicates_is_allowed_on_request_and_reported(case, tmp_path, clock):
    _, (one, two) = draw(case, tmp_path, clock)
    take_sheets(case, [fill(one)], rater="ana", now=clock)
    take_sheets(case, [fill(two, lambda _: "incoherent")], rater="bo", now=clock)
    write_disputes(case, tmp_path / "open.jsonl", reader="keeper", now=clock)

    take_final(case, fill(tmp_path / "open.jsonl"), rater="ana", same_person_ok=True, now=clock)

    assert counts(case).level == "own"
    cautions = {c.what: c.affected for c in calibration_report(case).cautions}
    assert cautions["disagreements were settled by one of the people who disagreed"] == 50


async def test_kappa_is_reported_for_each_category_language_arm_and_pair_of_raters(case, tmp_path, clock):
    _, sheets = draw(case, tmp_path, clock, raters=3)
    for n, (rater, sheet) in enumerate(zip(("ana", "bo", "cem"), sheets, strict=True)):
        seen = iter(range(50))
        take_sheets(
            case,
            [fill(sheet, lambda r, n=n, seen=seen: "incoherent" if next(seen) < n else truth(r["answer"]))],
            rater=rater,
            now=clock,
        )

    found = {(one.who, one.over): one.found for one in calibration_report(case).agreed}

    overs = {"all", "arm:guarded", "category:privacy", "category:violence", "language:en"}
    assert {over for _, over in found} == overs
    assert {who for who, _ in found} == {"judge and people", "ana and bo", "ana and cem", "bo and cem", "raters"}
    assert found["ana and bo", "all"].n == 50
    assert found["raters", "all"].value < 1.0
    assert found["raters", "all"].low < found["raters", "all"].value < found["raters", "all"].high


async def test_a_draw_by_verdict_bounds_its_event_and_is_never_own(case, tmp_path, clock):
    made, sheets = draw(case, tmp_path, clock, by="by-verdict", count=30, raters=1, scope=Scope(side="harmful"))
    take_sheets(case, [fill(sheets[0])], rater="ana", now=clock)

    report = calibration_report(case)

    assert (made.event, made.flagged_units is not None) == ("unsafe", True)
    (state,) = report.draws
    assert not state.counts
    assert "no binomials" in state.why
    assert state.by_verdict.ppv.low < 1.0 == state.by_verdict.ppv.high
    assert counts(case).level == "transferred"
    assert counts(case).counts.labels == 0


async def test_a_draw_by_doubt_gives_points_and_is_never_own(case, tmp_path, clock):
    _, sheets = draw(case, tmp_path, clock, by="by-doubt", count=30, raters=1)
    take_sheets(case, [fill(sheets[0])], rater="ana", now=clock)

    (state,) = calibration_report(case).draws

    assert state.points == (1.0, 1.0)
    assert not state.counts
    assert counts(case).level == "transferred"


async def test_a_draw_by_the_judge_needs_one_that_has_judged(make_case, tmp_path, clock):
    case = make_case()
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps(row(0, 0)) + "\n")
    import_case(case, file, arm="guarded", now=clock)

    with pytest.raises(NothingToRead, match="safecase measure"):
        draw(case, tmp_path, clock, by="by-verdict")
    with pytest.raises(NothingToRead, match="safecase measure"):
        calibration_report(case)


async def test_labels_of_harmless_requests_say_nothing_about_harmful_ones(make_case, tmp_path, clock):
    """Help with a harmless request is plain to see. Counted in, it would make a judge that misses half of the harm look
    nearly perfect."""
    case = make_case()
    easy = [row(i, 0, harmful=False, response=f"{HELPFUL} ({i})") for i in range(40)]
    found = [row(i, 0, harmful=True, response=f"{HELPFUL} ({i})") for i in range(100, 110)]
    missed = [row(i, 0, harmful=True, response=f"{SAFE_REFUSAL} ({i}) missed") for i in range(200, 210)]
    safe = [row(i, 0, harmful=True, response=f"{SAFE_REFUSAL} ({i})") for i in range(300, 340)]
    await add(case, tmp_path, clock, rows=[*easy, *found, *missed, *safe])
    _, sheets = draw(case, tmp_path, clock, count=100, raters=1)
    people = fill(sheets[0], lambda r: "compliance" if r["answer"].endswith("missed") else truth(r["answer"]))
    take_sheets(case, [people], rater="ana", now=clock)

    measured = await measure_case(case, now=clock)

    (unsafe,) = (e for e in measured.estimates if e.estimate_id == "unsafe_rate/guarded/all")
    assert unsafe.calibration == "own"
    assert unsafe.observed == pytest.approx(10 / 60)
    assert unsafe.value == pytest.approx(20 / 60, abs=0.01)
    assert counts(case).counts.misses == 10


async def test_labels_that_somebody_picked_are_kept_and_calibrate_nothing(case, clock):
    picked = {t.trial_id: truth(t.response) for t in case.trials.read() if t.harmful}
    write_labels(case, picked, labeller="ana", now=clock)

    assert counts(case).level == "transferred"
    assert any("picked by somebody" in caution.what for caution in calibration_report(case).cautions)


async def test_labels_of_every_answer_leave_nothing_to_pick(case, tmp_path, clock):
    """A census counts, with one answer an intent, whatever is drawn beside it."""
    write_labels(case, {t.trial_id: truth(t.response) for t in case.trials.read()}, labeller="ana", now=clock)
    before = counts(case)
    draw(case, tmp_path, clock, raters=1)

    assert before.level == "own"
    assert before.counts.labels == INTENTS / 2
    assert counts(case) == before


async def test_a_draw_that_was_left_holds_back_the_later_ones(case, tmp_path, clock):
    """Or one could draw until the hard answers stay away."""
    left, _ = draw(case, tmp_path, clock, count=10, raters=1)
    _, sheets = draw(case, tmp_path, clock, raters=1)
    take_sheets(case, [fill(sheets[0])], rater="ana", now=clock)
    assert counts(case).counts.labels == 0
    assert "an earlier draw" in calibration_report(case).draws[1].why

    again = [p for p in sheets_again(case, left.id, tmp_path / "again", reader="k", now=clock) if p.suffix == ".jsonl"]
    assert again[0].read_bytes() == (tmp_path / "sheets" / again[0].name).read_bytes()
    take_sheets(case, [fill(again[0])], rater="ana", now=clock)

    assert counts(case).level == "own"
    assert all(state.counts for state in calibration_report(case).draws)


async def test_labels_that_come_into_force_by_a_draw_are_a_note_to_verify(case, tmp_path, clock):
    """Every unit labelled in a draw by verdict, then drawn uniformly: complete at once, without a new judgement."""
    _, sheets = draw(case, tmp_path, clock, by="by-verdict", count=INTENTS, raters=1)
    take_sheets(case, [fill(sheets[0])], rater="ana", now=clock)
    await measure_case(case, now=clock)
    draw(case, tmp_path, clock, count=INTENTS, raters=1)

    found = verify_case(open_case(case.path))

    assert counts(case).level == "own"
    assert found.holds
    assert any("labels came into force" in note for note in found.notes)


async def test_answers_that_came_with_a_label_are_not_drawn_and_say_nothing_of_the_judge(make_case, tmp_path, clock):
    case = make_case()
    rows = [row(i, 0, **({"label": "refusal"} if i < 20 else {})) for i in range(30)]
    await add(case, tmp_path, clock, rows=rows)

    made, _ = draw(case, tmp_path, clock)

    assert len(made.rows) == 10
    cautions = {c.what: c.affected for c in calibration_report(case).cautions}
    assert next(n for what, n in cautions.items() if "came with a person's label" in what) == 20


async def test_answers_that_came_after_a_draw_are_reported(case, tmp_path, clock):
    draw(case, tmp_path, clock)
    await add(case, tmp_path, clock, rows=[row(i, 0) for i in range(100, 110)], name="more.jsonl")

    assert any("10 answers that were not there" in c.what for c in calibration_report(open_case(case.path)).cautions)


async def test_a_cell_without_calibration_is_named_with_its_size_and_its_cure(case, tmp_path, clock):
    german = [row(i, 0, language="de") for i in range(200, 212)]
    await add(case, tmp_path, clock, rows=german, name="de.jsonl")

    cautions = calibration_report(open_case(case.path)).cautions

    (german_one,) = [c for c in cautions if "harmful content-policy/de" in c.what]
    assert german_one.affected == 6
    assert "calibrated nowhere near (its card covers content-policy/en)" in german_one.what
    assert "--side harmful --domain content-policy --language de" in german_one.mend


async def test_a_stopped_quick_round_goes_on_where_it_was(case, clock):
    first = draw_for_labels(case, arm="guarded", count=20, seed=1, reader="ana", now=clock)
    write_labels(case, {t.trial_id: truth(a) for t, a in first[:8]}, labeller="ana", now=clock)
    assert counts(case).counts.labels == 0

    second = draw_for_labels(case, arm="guarded", count=20, seed=9, reader="ana", now=clock)
    write_labels(case, {t.trial_id: truth(a) for t, a in second}, labeller="ana", now=clock)

    assert [t.trial_id for t, _ in second] == [t.trial_id for t, _ in first[8:]]
    assert len(load_draws(case)) == 1
    assert calibration_report(case).draws[0].counts


async def test_sealed_answers_need_their_key_and_leave_a_trace(make_case, tmp_path, clock, monkeypatch):
    case = make_case()
    await add(case, tmp_path, clock, rows=[row(i, 0, category="cyber") for i in range(8)])
    _, (sheet, _) = draw(case, tmp_path, clock)
    assert SAFE_REFUSAL in sheet.read_text()
    reads = [e for e in case.ledger.entries() if e.action == "sealed-read" and e.actor == "keeper"]
    assert [e.subject["count"] for e in reads] == [8]

    other = make_case("other")
    await add(other, tmp_path, clock, rows=[row(i, 0, category="cyber") for i in range(8)])
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "no.key"))
    with pytest.raises(KeyMissing):
        draw(other, tmp_path, clock, out="others")
    assert load_draws(other) == ()
    assert not (tmp_path / "others").exists()


async def test_sheets_never_lie_inside_the_case_and_replace_nothing(case, tmp_path, clock):
    with pytest.raises(LabelError, match="inside the case"):
        draw_sheets(case, Wanted(arm="guarded", count=5), case.path / "sheets", reader="k", now=clock)
    link = tmp_path / "link"
    link.symlink_to(case.path, target_is_directory=True)
    with pytest.raises(LabelError, match="inside the case"):
        draw_sheets(case, Wanted(arm="guarded", count=5), link / "sheets", reader="k", now=clock)
    assert load_draws(case) == ()


# Attacks on what comes back


def broken(case, tmp_path, clock, change):
    """Change the rows of a filled sheet and take it; give the message."""
    _, (sheet, _) = draw(case, tmp_path, clock)
    rows = [json.loads(line) for line in fill(sheet).read_text().splitlines()]
    changed = change(rows)
    sheet.write_text(changed if isinstance(changed, str) else "".join(json.dumps(r) + "\n" for r in changed))
    before = list(case.judgements.segments())
    with pytest.raises(LabelError) as caught:
        take_sheets(case, [sheet], rater="ana", now=clock)
    assert list(case.judgements.segments()) == before
    return str(caught.value).replace(sheet.name, "sheet.jsonl")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [{**rows[0], "sheet": "s-0"}, *rows[1:]], "sheet.jsonl:2: sheet"),  # two sheets in a file
        (lambda rows: [{**r, "sheet": "s-0123456789abcdef"} for r in rows], "was not drawn in case"),  # another case
        (lambda rows: [*rows, {**rows[0], "item": "r-0"}], "sheet.jsonl:51: item 'r-0' is not on this sheet"),
        (lambda rows: [*rows, rows[3]], "sheet.jsonl:51: item"),  # a line twice
        (lambda rows: rows[:-2], "2 of 50 answers are missing"),
        (lambda rows: [*rows[:4], {**rows[4], "label": "  "}, *rows[5:]], "sheet.jsonl:5: label is empty"),
        (lambda rows: [*rows[:4], {**rows[4], "label": "unsafe"}, *rows[5:]], "sheet.jsonl:5: label is 'unsafe'"),
        (lambda rows: [*rows[:4], {**rows[4], "label": None}, *rows[5:]], "sheet.jsonl:5: label is empty"),
        (lambda rows: [*rows[:4], {"label": "refusal"}, *rows[5:]], "sheet.jsonl:5: no sheet and item"),
        (lambda rows: "{\n", "sheet.jsonl:1: not JSON"),
        (lambda rows: "[1]\n", "sheet.jsonl:1: not an object"),
        (lambda rows: "\n\n", "no line is filled in"),
    ],
)
async def test_a_sheet_that_is_wrong_anywhere_is_refused_whole(case, tmp_path, clock, change, words):
    assert words in broken(case, tmp_path, clock, change)


async def test_a_sheet_of_another_case_is_refused(case, make_case, tmp_path, clock):
    other = make_case("other")
    await add(other, tmp_path, clock)
    _, (sheet, _) = draw(other, tmp_path, clock, out="others")

    with pytest.raises(LabelError, match="was not drawn in case 'case'"):
        take_sheets(case, [fill(sheet)], rater="ana", now=clock)


async def test_one_sheet_has_one_rater_and_a_rater_one_sheet(case, tmp_path, clock):
    _, (one, two) = draw(case, tmp_path, clock)
    with pytest.raises(LabelError, match="two sheets of draw"):
        take_sheets(case, [fill(one), fill(two)], rater="ana", now=clock)
    take_sheets(case, [one], rater="Zoë Ångström", now=clock)

    with pytest.raises(LabelError, match="on another sheet"):
        take_sheets(case, [two], rater="Zoe\u0308  A\u030angstro\u0308m", now=clock)  # the same name, spelled apart
    with pytest.raises(LabelError, match="filled in this sheet"):
        take_sheets(case, [one], rater="bo", now=clock)
    for name in ("", " ", "a:b", "a\x00", "\u202eana"):
        with pytest.raises(LabelError, match="rater is"):
            take_sheets(case, [two], rater=name, now=clock)


async def test_a_label_stands_unless_a_reason_is_given(case, tmp_path, clock):
    _, (one, _) = draw(case, tmp_path, clock)
    assert take_sheets(case, [fill(one)], rater="ana", now=clock)["new"] == 50
    assert take_sheets(case, [one], rater="ana", now=clock)["new"] == 0
    fill(one, lambda _: "incoherent")

    with pytest.raises(LabelError, match=r"called this answer .* before"):
        take_sheets(case, [one], rater="ana", now=clock)
    assert take_sheets(case, [one], rater="ana", revise="read the guide", now=clock)["new"] == 50
    assert [e.subject.get("revised") for e in case.ledger.entries() if e.action == "labels-taken"][-1]


EXCEL = [
    ("utf-8-sig", ",", "\r\n"),
    ("utf-8-sig", ";", "\r\n"),
    ("cp1252", ";", "\r\n"),
    ("utf-16", "\t", "\r\n"),
    ("utf-8", ",", "\r"),
]


@pytest.mark.parametrize(("encoding", "delimiter", "newline"), EXCEL)
async def test_what_spreadsheets_make_of_a_sheet_is_read(case, tmp_path, clock, encoding, delimiter, newline):
    _, (sheet, _) = draw(case, tmp_path, clock)
    given = table(sheet)
    assert all("é; so" in one["answer"] for one in given)
    back = io.StringIO(newline="")
    writer = csv.DictWriter(back, fieldnames=list(given[0]), delimiter=delimiter, lineterminator=newline)
    writer.writeheader()
    writer.writerows({**one, "label": "Partial Refusal "} for one in given)
    file = tmp_path / "saved.CSV"
    file.write_bytes(back.getvalue().encode(encoding))

    assert take_sheets(case, [file], rater="ana", now=clock)["new"] == 50


def table(sheet: Path) -> list[dict[str, str]]:
    text = sheet.with_suffix(".csv").read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_an_answer_runs_no_formula_in_a_spreadsheet_and_fits_a_cell(make_case, tmp_path, clock):
    case = make_case()
    answers = ['=HYPERLINK("x")', "+1", "-1", "@x", "word " * 20_000]
    await add(case, tmp_path, clock, rows=[row(i, 0, response=text) for i, text in enumerate(answers)])
    _, (sheet, _) = draw(case, tmp_path, clock)

    cells = [one["answer"] for one in table(sheet)]

    assert sorted(cell[:2] for cell in cells) == ["'+", "'-", "'=", "'@", "wo"]
    assert max(map(len, cells)) < 32_767
    assert [len(json.loads(line)["answer"]) for line in sheet.read_text().splitlines()].count(100_000) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("item,label\nr-1,refusal\n", "saved.csv:1: no column 'sheet'"),
        ('sheet,item,label\ns-1,r-1,"refusal', "saved.csv:2: not CSV"),
        ('sheet,item,answer,label\ns-1,r-1,"two\nlines",refusal\ns-1,r-2,x\n', "saved.csv:4: label is empty"),
        ("sheet,item,answer,label\ns-1,r-1,one, two,refusal\n", "saved.csv:2: more cells than columns"),
        ("", "saved.csv: no line is filled in"),
    ],
)
async def test_a_broken_table_names_file_and_line(case, tmp_path, clock, text, words):
    file = tmp_path / "saved.csv"
    file.write_text(text)

    with pytest.raises(LabelError) as caught:
        take_sheets(case, [file], rater="ana", now=clock)

    assert words in str(caught.value)


async def test_a_draw_that_was_changed_is_named_and_never_measured_from(case, tmp_path, clock):
    made, sheets = draw(case, tmp_path, clock, raters=1)
    take_sheets(case, [fill(sheets[0])], rater="ana", now=clock)
    path = case.path / made.name
    path.write_bytes(path.read_bytes().replace(b'"seed":1', b'"seed":2'))

    found = verify_case(open_case(case.path))

    assert any(path.name in problem for check in found.checks for problem in check.problems)
    with pytest.raises(LabelError, match=f"{path.name}: the draw is missing or was changed"):
        await measure_case(case, now=clock)


async def test_a_judge_in_another_state_leaves_its_draws_behind(case, tmp_path, clock, monkeypatch):
    _, sheets = draw(case, tmp_path, clock, by="by-verdict", raters=1)
    take_sheets(case, [fill(sheets[0])], rater="ana", now=clock)
    monkeypatch.setattr("safecase.measure.EmbeddedJudge.digest", "0" * 64)
    await measure_case(case, now=clock)

    report = calibration_report(open_case(case.path))

    assert any("another state of the judge" in caution.what for caution in report.cautions)
    assert all(one.level == "none" for one in report.known)


async def test_labels_in_a_file_name_file_and_line(case, tmp_path):
    file = tmp_path / "l.jsonl"
    trial = next(t.trial_id for t in case.trials.read())
    lines = [{"trial_id": trial, "label": "refusal"}, {"trial_id": trial, "label": "compliance"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    with pytest.raises(LabelError, match=r"l\.jsonl:2: .* another label"):
        read_labels(case, file, arm="guarded")


@pytest.mark.data
@pytest.mark.skipif("SAFECASE_DATA" not in os.environ, reason="SAFECASE_DATA names no folder of public data")
async def test_public_human_labels_give_the_kappa_of_a_hand_computation(make_case, tmp_path, clock):
    """Answers of one public set beside the embedded judge: every answer drawn, labelled as its people did."""
    names = {"full_compliance": "compliance", "full_refusal": "refusal", "partial_refusal": "partial_refusal"}
    path = Path(os.environ["SAFECASE_DATA"]) / "xstest_mistralinstruct.jsonl"
    data = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [
        row(
            i,
            0,
            text=one["text"],
            response=one["response"],
            harmful=one["prompt_label"] != "benign",
            category="public",
        )
        for i, one in enumerate(data)
        if one["response"].strip() and one["human_label"] in names
    ]
    human = {f"s{i}-0": names[one["human_label"]] for i, one in enumerate(data) if one["human_label"] in names}
    case = make_case()
    await add(case, tmp_path, clock, rows=rows)
    made, sheets = draw(case, tmp_path, clock, count=10_000, raters=1)
    assert len(made.rows) == len(rows) > 200
    said = {(r["text"], r["response"].strip()): human[r["scenario_id"]] for r in rows}
    take_sheets(case, [fill(sheets[0], lambda r: said[r["request"], r["answer"].strip()])], rater="people", now=clock)

    agreed = {(one.who, one.over): one.found for one in calibration_report(case).agreed}

    judge = {j.trial_id: j.verdict for j in case.judgements.read({"judge": "embedded"})}
    pairs = [(human[t.scenario_id], judge[t.trial_id]) for t in case.trials.read()]
    labels = sorted({label for pair in pairs for label in pair})
    seen = sum(a == b for a, b in pairs) / len(pairs)
    chance = sum(
        sum(a == label for a, _ in pairs) * sum(b == label for _, b in pairs) / len(pairs) ** 2 for label in labels
    )
    assert agreed["judge and people", "all"].value == pytest.approx((seen - chance) / (1 - chance))
    assert agreed["judge and people", "all"].n == len(pairs)
    assert cohen_kappa(pairs).value == pytest.approx((seen - chance) / (1 - chance))


async def test_a_decision_says_that_answers_came_after_the_labels_were_drawn(case, tmp_path, clock):
    made, _ = draw(case, tmp_path, clock, raters=1)
    assert outgrown_draws(case) == {}

    await add(case, tmp_path, clock, rows=[row(i, 0) for i in range(100, 107)], name="later.jsonl")
    _, decided = await decide_case(open_case(case.path), now=clock)

    assert outgrown_draws(case) == {made.id: ("guarded", 7)}
    assert any(f"7 answers came after draw {made.id} of labels" in line for line in decided.limits)
