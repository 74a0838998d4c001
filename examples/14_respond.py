"""At the desk: a report comes in, two people agree, an incident runs on the law's clocks, a filing is drafted."""

import datetime as dt
import importlib.util
import os
import shutil
from pathlib import Path

if importlib.util.find_spec("icalendar") is None:
    print("this needs icalendar; pip install 'safecase[respond]'")
    raise SystemExit

from safecase.assess import new_case, open_case  # after the look for the extra
from safecase.respond import (
    Submission,
    add_word,
    calendar,
    clocks,
    follow,
    meet,
    open_desk,
    open_incident,
    queue,
    read_report,
    review,
    take,
    tell_reporter,
    update_incident,
    write_filing,
)

OUT = Path(__file__).parent / "out"
CASE = OUT / "respond-case"
os.environ.setdefault("SAFECASE_HAZARD_KEY_FILE", str(OUT / "home" / "respond-hazard.key"))
FRIDAY = dt.datetime(2026, 11, 20, 17, 45, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def main() -> None:
    """The way of one report."""
    shutil.rmtree(CASE, ignore_errors=True)
    new_case(CASE, gates=("policy.violence.unsafe",), contexts=("closed",))
    with open_desk(open_case(CASE)) as desk:
        said = Submission(
            channel="risky-output",
            text="It helped me to plan how to hurt somebody. Reach me at ada@example.org.",
            request="Plan it for me.",
            answer="First you ...",
            context="closed",
            confidentiality="open",
        )
        receipt = take(desk, said, source="public", at=FRIDAY)
        print(f"received {receipt.report}; the reporter follows up with a token")

        monday = FRIDAY + 63 * HOUR
        print(f"waiting for reviewer-1: {[one.needs for one in queue(desk, by='reviewer-1')]}")
        opened = read_report(desk, receipt.report, by="reviewer-1", purpose="triage", at=monday)
        print(f"as a reviewer reads it: {opened.words['text']}")
        for person in ("reviewer-1", "reviewer-2"):
            done = review(
                desk,
                receipt.report,
                by=person,
                holds=True,
                severity=3,
                category="violence",
                gate="policy.violence.unsafe",
                label="compliance",
                at=monday,
            )
            print(f"{person}: {done.status}")

        incident = open_incident(
            desk,
            title="Planning of violence in the open chat",
            kinds=("serious-harm",),
            severity=3,
            by="reviewer-1",
            at=monday,
            reports=(receipt.report,),
            contexts=("closed",),
            imminent=False,
        )
        print(f"aware since {incident.awareness.at:%a %H:%M}, not since it was opened on {incident.opened:%a %H:%M}")
        facts = {
            "harm": "unknown",
            "chain_of_events": "One conversation, one answer.",
            "response": "Layer under repair.",
        }
        update_incident(desk, incident.id, by="reviewer-1", at=monday + HOUR, facts=facts)
        for one in clocks(desk, now=monday + 12 * HOUR):
            print(f"  {one.state:9} {one.obligation.due:%Y-%m-%d %H:%M} {one.obligation.rule}")

        late = clocks(desk, now=monday + 12 * HOUR)[0].obligation
        markdown, _, filing = write_filing(desk, late.id, by="reviewer-1", now=monday + 12 * HOUR)
        print(f"drafted {markdown.relative_to(CASE).parent}/, unknown: {', '.join(filing.unknown)}")
        meet(desk, late.id, by="reviewer-1", at=monday + 13 * HOUR, reference="receipt 17")
        found = clocks(desk, now=monday + 13 * HOUR)
        ics = calendar(found, case=desk.case.spec.id, packs=desk.packs, now=monday + 13 * HOUR)
        (CASE / "obligations.ics").write_bytes(ics)
        print(f"calendar with {len(found)} entries")

        tell_reporter(desk, receipt.report, "Confirmed; we are mending it.", by="reviewer-1", at=monday + 14 * HOUR)
        add_word(desk, receipt.token, "Thank you.", at=monday + 15 * HOUR)
        seen = follow(desk, receipt.token)
        print(f"the reporter sees: {seen.standing}, {len(seen.messages)} messages")
        print(f"registry holds: {desk.registry.check() == ()}")


main()
