"""What was usual in the controlled phase: rates with bounds, and the middles of usual clusters.

    <monitor folder>/<case>.usual      a line of JSON, then the middles as float16; mode 0600, outside the case
    ledger                             "usual-recorded": the file's SHA-256, who and why

No request is in it. A middle is a mean over `MIN_ACCOUNTS` accounts or more. Half of the accounts make the clusters,
and the other half says how often requests lie beyond them, so that the bound is on requests it was not fitted to.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safecase.assess import Case, utc_now
from safecase.evidence import digest_bytes, write_atomic
from safecase.monitor._changes import Usual
from safecase.monitor._errors import MonitorError

RECORDED = "usual-recorded"
"""Action in the ledger."""
_VERSION = 1


@dataclass(frozen=True, eq=False)
class UsualTraffic:
    """The controlled phase, as far as it is kept.

    Attributes:
        source: digest of the reference, the detectors and the code of outcomes; other ones are not comparable.
        rates: by stack digest.
        middles: of usual clusters, (cluster, dimension).
    """

    source: str
    rates: Mapping[str, tuple[Usual, ...]]
    middles: NDArray[np.float32]

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return digest_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """As it is kept."""
        head = {
            "version": _VERSION,
            "source": self.source,
            "rates": {stack: [asdict(one) for one in rates] for stack, rates in self.rates.items()},
            "shape": list(self.middles.shape),
        }
        return json.dumps(head, sort_keys=True).encode() + b"\n" + self.middles.astype(np.float16).tobytes()


def record_usual(
    case: Case, path: Path, usual: UsualTraffic, *, actor: str, why: str, now: Callable[[], datetime] = utc_now
) -> None:
    """Keep what was usual, in place of what was before. The entry in the ledger comes first: a file without is refused.

    Raises:
        ValueError: nobody answers for it, or for no reason.
    """
    if not actor.strip() or not why.strip():
        raise ValueError("what is usual is said by a person, for a reason; say who and why")
    subject = {"usual": usual.digest, "clusters": len(usual.middles), "stacks": sorted(usual.rates), "why": why}
    case.ledger.append(RECORDED, actor=actor, subject=subject, at=now())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(path, usual.to_bytes(), mode=0o600)


def read_usual(case: Case, path: Path) -> UsualTraffic | None:
    """What the ledger last named; None where nothing ever was.

    Raises:
        MonitorError: the file is another, or gone.
    """
    named = None
    if case.ledger.path.exists():
        named = next((one for one in reversed(list(case.ledger.entries())) if one.action == RECORDED), None)
    if named is None:
        return None
    mend = f"record it anew with `safecase monitor baseline {case.path}`"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MonitorError(f"{path}: cannot be read ({error.strerror}), and the ledger names it; {mend}") from None
    if hashlib.sha256(data).hexdigest() != named.subject["usual"]:
        raise MonitorError(f"{path}: not the file that {named.actor!r} recorded at {named.at}; {mend}")
    return _parsed(data)


def _parsed(data: bytes) -> UsualTraffic:
    line, _, cells = data.partition(b"\n")
    head = json.loads(line)
    middles = np.frombuffer(cells, np.float16).reshape(head["shape"]).astype(np.float32)
    rates = {stack: tuple(Usual(**row) for row in rows) for stack, rows in head["rates"].items()}
    return UsualTraffic(source=head["source"], rates=rates, middles=middles)
