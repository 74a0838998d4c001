"""Live traffic as the monitor last knew it: every rate beside its promise, and the alerts. Reads its file, no event."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safecase.assess import Absent, Case, RequestReader, read_promises
from safecase.compose import bank_digest
from safecase.monitor import Alert, Detectors, MonitorStore, Panel, Proposal, Rates, Unit, open_proposals, state_file

_LAST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveView:
    """What a monitor knows.

    Attributes:
        file: of the monitor.
        at: when it last wrote.
        alerts: the last ones, the latest first.
        proposals: actions against accounts that wait for a person.
        unread: calls that could not be judged.
        absent: rates of which nothing is promised, with why.
    """

    file: Path
    at: dt.datetime
    panels: tuple[Panel, ...]
    alerts: tuple[Alert, ...]
    proposals: tuple[Proposal, ...]
    counts: Mapping[str, int]
    unread: int
    absent: tuple[Absent, ...]

    @property
    def broken(self) -> int:
        """Promises that are broken."""
        return sum(bool(panel.broken_at) for panel in self.panels)


class Live:
    """Looks into monitors' files.

    Args:
        file: of the monitor, where it is not the usual one of each case.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._digests: dict[str, tuple[str, str]] = {}

    def view(self, case: Case) -> LiveView | None:
        """How live rates stand; None where no monitor has watched this case.

        Raises:
            NothingToRead: the case promises nothing.
            StoreTrouble: the file is no monitor's.
        """
        path = self._file or state_file(case)
        if not path.exists():
            return None
        promises = read_promises(case)
        rates = Rates(promises, self._read_by(case), unit=Unit())
        store = MonitorStore(path, is_reading=True)
        try:
            if (kept := store.state(rates.name)) is not None:
                rates.restore(kept)
            return LiveView(
                file=path,
                at=dt.datetime.fromtimestamp(_written(path), dt.UTC),
                panels=tuple(rates.panels()),
                alerts=tuple(reversed(store.alerts(last=_LAST))),
                proposals=tuple(open_proposals(store, case.ledger)),
                counts=store.counts(),
                unread=rates.unread,
                absent=promises.absent,
            )
        finally:
            store.close()

    def _read_by(self, case: Case) -> tuple[str, str]:
        """Digests of judge and reader; loading them takes a second, so once for each bank."""
        bank = bank_digest(case.intents)
        if bank not in self._digests:
            detectors = Detectors(RequestReader(case.intents))
            self._digests[bank] = (detectors.judge.digest, detectors.reader.digest)
        return self._digests[bank]


def _written(path: Path) -> float:
    """Seconds since the epoch of the last write, into the file or into what stands before it."""
    beside = path.with_name(f"{path.name}-wal")
    return max(one.stat().st_mtime for one in (path, beside) if one.exists())
