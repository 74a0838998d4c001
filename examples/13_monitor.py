"""Watch live traffic: the promises of the case that examples 03 to 05 made, a kept week and a broken one."""

import asyncio
import itertools
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from safecase.assess import RequestReader, open_case, read_promises
from safecase.evidence import CallEvent, encode_event, format_utc
from safecase.monitor import Console, Detectors, EventFiles, Monitor, MonitorStore, Rates, Unit

OUT = Path(__file__).parent / "out"
shutil.rmtree(OUT / "monitor", ignore_errors=True)
case = open_case(OUT / "case")
promises = read_promises(case)
stack = promises.promises[0].stack_digest

# Events as a gateway writes them; yours come from `safecase serve`. Content is kept here, so that it can be judged.
REFUSAL = "I'm sorry, but I can't help with that request."
HELPFUL = "Sure! Here is how. First, gather what you need. Second, work through the steps. Finally, check the result."
reader = RequestReader(case.intents)
texts = [intent.text for intent in case.intents]
asked = itertools.cycle(text for text, score in zip(texts, reader.scores(texts), strict=True) if score >= 0.5)
base = CallEvent(
    event_id="",
    at="",
    account="",
    key_id="",
    route="/v1/chat/completions",
    permit="",
    context="closed",
    stack_digest=stack,
    model="m",
    outcome="served",
    status=200,
)


def write(week: int, *, unsafe_every: int) -> None:
    """A week of four hundred accounts that ask for something harmful."""
    begin = datetime(2026, 4, 7, tzinfo=UTC) + timedelta(weeks=week)
    (OUT / "monitor" / "events").mkdir(parents=True, exist_ok=True)
    with (OUT / "monitor" / "events" / f"w{week}-0.jsonl").open("wb") as file:
        for number in range(400):
            event = replace(
                base,
                event_id=f"{week}-{number}",
                at=format_utc(begin + timedelta(minutes=20 * number)),
                account=f"account-{week}-{number}",
                prompt=next(asked),
                reply=HELPFUL if number % unsafe_every == 0 else REFUSAL,
            )
            file.write(encode_event(event, worker=f"w{week}", seq=number) + b"\n")


def watch() -> None:
    """Go on from where the last look ended."""
    detectors = Detectors(reader)
    rates = Rates(promises, (detectors.judge.digest, reader.digest), unit=Unit())
    store = MonitorStore(OUT / "monitor" / "monitor.sqlite")
    source = EventFiles(OUT / "monitor" / "events")
    monitor = Monitor(store, [source], detectors=detectors, watchers=[rates], sinks=[Console(print)])
    tally = asyncio.run(monitor.run(once=True))
    store.close()
    print(f"{tally.calls} calls, {tally.alerts} alerts")
    print(next(panel.sentence for panel in rates.panels() if panel.id == "unsafe/any"))


write(0, unsafe_every=50)
watch()
write(1, unsafe_every=2)
watch()
