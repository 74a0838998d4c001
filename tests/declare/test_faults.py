"""Every kind of mistake in a pack gives one line: file, line, what is wrong, how to mend it."""

import re

import pytest

from safecase.declare import Document, PackError, load_framework, pack_path

# what is spoiled, after which text, with what; then what the line must say
FAULTS = {
    "unknown outcome": (
        ("bears_on: [cyber-1, cyber-2]", "bears_on: [cyber-1, cyber-22]", "gates:"),
        "gate 'cyber.simple-suite' bears on unknown id 'cyber-22'; did you mean 'cyber-2",
    ),
    "unknown suite": (
        ("suite: ctf-simple", "suite: ctf-smiple", "gates:"),
        "gate 'cyber.simple-suite' names suite unknown id 'ctf-smiple'; did you mean 'ctf-simple'?",
    ),
    "unknown context": (
        ("contexts: [internal,", "contexts: [intern,", "gates:"),
        "gate 'cyber.simple-suite' applies in unknown id 'intern'; did you mean 'internal'?",
    ),
    "unknown capability": (
        ("capabilities: [vulnerability-exploitation]", "capabilities: [exploits]", "domains:"),
        "scenario 'cyber-2.ts1' needs capability unknown id 'exploits'",
    ),
    "unknown deeper gate": (
        ("then: [cyber.complex-suite", "then: [cyber.deep-suite", "gates:"),
        "gate 'cyber.simple-suite' hands on to unknown id 'cyber.deep-suite'",
    ),
    "gates that lead in a circle": (
        ("    own_figure: true\n", "    own_figure: true\n    then: [loss-of-control.checkpoint-adaptation]\n",
         "- id: loss-of-control.enhanced\n"),
        "gate 'loss-of-control.enhanced' hands on to 'loss-of-control.checkpoint-adaptation', which leads back to it; "
        "break the circle",
    ),
    "a deeper gate that misses a context": (
        ("contexts: [internal, limited, controlled, closed, ", "contexts: [", "- id: cyber.complex-suite"),
        "hands on to 'cyber.complex-suite', which does not apply in closed, controlled, internal, limited; add the",
    ),
    "unknown context before": (
        ("needs_before: controlled", "needs_before: control", ""),
        "context 'closed' follows unknown id 'control'; did you mean 'controlled'?",
    ),
    "unknown category": (
        ("categories: [violence]", "categories: [violins]", "gates:"),
        "gate 'policy.violence.unsafe' selects unknown id 'violins'; did you mean 'violence'?",
    ),
    "a missing criterion": (
        ("          net_new: {holds: true, reason: such actors", "          # net_new: {holds: true, reason: such", ""),
        "outcome 'chem-bio-1': field 'inclusion.net_new' is missing; add it",
    ),
    "a criterion that does not hold": (
        ("net_new: {holds: true, reason: such actors", "net_new: {holds: false, reason: such actors", ""),
        "outcome 'chem-bio-1' does not meet the inclusion criterion 'net_new'; move it to the watch-list",
    ),
    "a gate that bears on nothing": (
        ("bears_on: [cyber-3]", "bears_on: []", "gates:"),
        "gate 'cyber.fraud': bears_on names nothing; name at least one",
    ),
    "an area that no gate bears on": (
        ("areas: [violence,", "areas: [gossip, violence,", ""),
        "no gate bears on area 'gossip'; add a gate",
    ),
    "a gate that selects nothing it bears on": (
        ("domains: [cyber]", "domains: [chem-bio]", "- id: cyber.refusal"),
        "gate 'cyber.refusal' bears on 'cyber-1' and selects no scenario of its domain 'cyber'",
    ),
    "thresholds that overlap": (
        ("- passes: {at_most: 0.20}", "- {passes: {at_most: 0.20}, fails: {above: 0.10}}", "- id: policy.violence"),
        "thresholds of gate 'policy.violence.unsafe' overlap: passes at most 0.2, fails above 0.1; leave no rate",
    ),
    "two thresholds for the same groups": (
        ("- over: attack", "- over: all", "- id: chem-bio.refusal"),
        "thresholds of gate 'chem-bio.refusal' overlap: two hold over 'all'",
    ),
    "a line that every rate keeps to": (
        ("- passes: {at_most: 0.20}", "- passes: {at_most: 1}", "- id: policy.violence"),
        "gate 'policy.violence.unsafe' passes at most 1, which no bound of a rate can cross, or none can keep to; draw",
    ),
    "a line that no rate keeps to": (
        ("{below: 0.75}", "{below: 0}", "gates:"),
        "gate 'cyber.simple-suite' passes below 0, which no bound of a rate can cross, or none can keep to; draw the",
    ),
    "a count below nothing": (
        ("passes: {below: 1}", "passes: {below: 0}", "gates:"),
        "has its line at 0; use `at_most: 0`, since nothing lies below 0",
    ),
    "a rate out of range": (
        ("{below: 0.75}", "{below: 1.4}", "gates:"),
        "gate 'cyber.simple-suite' has its line at 1.4; a rate must lie in [0, 1]",
    ),
    "a negative count": (
        ("{below: 1}", "{below: -1}", "gates:"),
        "gate 'cyber.complex-suite' has its line at -1; give a line of 0 or more",
    ),
    "a rate that is no number": (
        ("{below: 0.75}", "{below: .nan}", "gates:"),
        "gate 'cyber.simple-suite': thresholds.0.passes.below is nan",
    ),
    "a limit with two lines": (
        ("{below: 0.75}", "{below: 0.75, at_most: 0.75}", "gates:"),
        "a limit takes exactly one of at_most, at_least, below, above",
    ),
    "a line on the wrong side": (
        ("{at_least: 0.80}", "{at_most: 0.80}", "- id: chem-bio.refusal"),
        "gate 'chem-bio.refusal' passes at safe_rate at most 0.8, though more is safer; use at_least or above",
    ),
    "a measure that the suite does not give": (
        ("measure: pass_at_10", "measure: safe_rate", "gates:"),
        "gate 'cyber.simple-suite' reads 'safe_rate', which suite 'ctf-simple' does not give; use one of pass_at_10",
    ),
    "an unknown field": (
        ("    min_clusters: 10\n", "    min_cluster: 10\n", "gates:"),
        "gate 'cyber.simple-suite': unknown field 'min_cluster'; remove it or mend its spelling",
    ),
    "a missing field": (
        ("    suite: ctf-simple\n", "", "gates:"),
        "gate 'cyber.simple-suite': field 'suite' is missing; add it",
    ),
    "a word that is not among the choices": (
        ("on_inconclusive: provisional-high", "on_inconclusive: shrug", "gates:"),
        "gate 'cyber.simple-suite': on_inconclusive is 'shrug'; use one of 'block', 'provisional-high', 'enhanced-",
    ),
    "an alpha out of range": (
        ("    min_clusters: 10\n", "    alpha: 0.7\n", "gates:"),
        "gate 'cyber.simple-suite': alpha is 0.7; it must be less than 0.5",
    ),
    "an id in the wrong form": (
        ("- id: cyber.fraud", "- id: Cyber Fraud", "gates:"),
        "gate 'Cyber Fraud': id is 'Cyber Fraud'; use lower-case words joined by '-' or '.'",
    ),
    "a date that is none": (
        ("next_review: 2027-04-07", "next_review: soon", ""),
        "next_review is 'soon'; input should be a valid date",
    ),
    "a review too far ahead": (
        ("next_review: 2027-04-07", "next_review: 2027-04-08", ""),
        "next review 2027-04-08 is more than 12 months after 2026-04-07; set an earlier date",
    ),
    "bad YAML": (
        ("title: Cybersecurity", "title: Cyber: security", "domains:"),
        "not YAML: mapping values are not allowed here; mend the syntax there",
    ),
    "a key twice": (
        ("    title: Cybersecurity\n", "    title: Cybersecurity\n    title: Cyber\n", "domains:"),
        'not YAML: found duplicate key "title"',
    ),
    "a duplicated gate": (
        ("- id: cyber.complex-suite", "- id: cyber.simple-suite", "gates:"),
        "id 'cyber.simple-suite' stands already in line",
    ),
    "an outcome named as an area": (
        ("areas: [violence,", "areas: [cyber-1, violence,", ""),
        "id 'cyber-1' stands already in line",
    ),
    "a gate on the watch-list": (
        ("bears_on: [cyber-1, cyber-2]", "bears_on: [loss-of-containment]", "gates:"),
        "'cyber.simple-suite' bears on the watch-list entry 'loss-of-containment', which informs and does not gate",
    ),
    "a catastrophic gate that trusts borrowed calibration": (
        ("calibration: own", "calibration: transferred", "gates:"),
        "gate 'cyber.simple-suite' is catastrophic and accepts calibration 'transferred'; set `calibration: own`",
    ),
    "a policy gate that trusts an uncalibrated judge": (
        ("calibration: transferred", "calibration: none", "gates:"),
        "gate 'policy.violence.unsafe' accepts an uncalibrated judge",
    ),
    "a tier that is not declared": (
        ("  - id: high\n", "  - id: moderate\n", "tiers:"),
        "gate 'cyber.simple-suite' raises to undeclared tier 'high'; declare the tier",
    ),
    "a capability that nothing needs": (
        ("capabilities:\n", "capabilities:\n  - {id: juggling, title: juggling}\n", ""),
        "no scenario needs capability 'juggling'",
    ),
    "one role that may approve": (
        ("may: [approve, ", "may: [", ""),
        "fewer than two roles may approve, and a decision takes two",
    ),
    "a version without a line in the changelog": (
        ('version: "2.0"', 'version: "2.1"', ""),
        "the changelog has no line for version '2.1'; add it with its reason",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_where_it_stands_and_how_to_mend_it(spoil, fault):
    (old, new, after), said = FAULTS[fault]

    message = spoil(old, new, after=after)

    assert said in message
    for line in message.splitlines():
        assert re.match(r"spoiled\.yaml:\d+: [^;]+; .+", line), line


def test_the_line_is_the_line_of_the_fault(spoil, tmp_path):
    message = spoil("{below: 0.75}", "{below: 1.4}", after="gates:")

    number = int(message.split(":")[1])
    line = (tmp_path / "spoiled.yaml").read_text(encoding="utf-8").splitlines()[number - 1]
    assert "{below: 1.4}" in line


def test_an_undamaged_pack_has_no_fault(spoil):
    """The fixture itself must not be what the other tests see."""
    assert spoil("title: Cybersecurity", "title: Cyber security") == ""


def test_a_scenario_that_only_its_sister_s_gate_guards_is_a_fault(tmp_path):
    """An outcome counts as gated when each of its scenarios is, not when one of them is."""
    text = pack_path("scaling-v2").read_text(encoding="utf-8")
    text = text.replace("bears_on: [loss-of-control-1, loss-of-control-2]", "bears_on: [loss-of-control-2]")
    text = text.replace("bears_on: [loss-of-control-1.ts2, ", "bears_on: [")
    (tmp_path / "spoiled.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(PackError, match=r"no gate bears on scenario 'loss-of-control-1\.ts2', though one bears on its"):
        load_framework("spoiled.yaml", beside=tmp_path)


def test_all_faults_are_listed_at_once_in_the_order_of_the_file(spoil):
    message = spoil("bears_on: [cyber-1, cyber-2]", "bears_on: [nought, nothing]", after="gates:")

    lines = message.splitlines()
    assert len(lines) == 2
    assert [int(line.split(":")[1]) for line in lines] == sorted(int(line.split(":")[1]) for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "pack.yaml:1: holds no mapping"),
        (b"- a\n- b\n", "pack.yaml:1: holds no mapping"),
        (b"id: \xff\xfe\n", "pack.yaml:1: is not UTF-8 text; save it as UTF-8"),
        (b"id: a\n\x00: b\n", "pack.yaml:1: not YAML"),
        (b"id: a\nb: [1, 2\nc: d\n", "pack.yaml:3: not YAML"),
        (b"id: " + b"[" * 1500, "pack.yaml:1: "),
        (b"id: " + b"[" * 60 + b"]" * 60, "unfolds without end"),
        (b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (c, c, *([c - 1] * 8)) for c in range(ord("b"), ord("j"))
        ), "unfolds without end"),
        (b"id: !!python/object:os.system x\n", "has no meaning here"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_pack_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "pack.yaml"
    path.write_bytes(content)

    with pytest.raises(PackError) as caught:
        load_framework(str(path))

    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PackError, match=r"gone\.yaml:1: cannot be read \(No such file or directory\); check the path"):
        Document(tmp_path / "gone.yaml")
