"""The cases that a console shows, each opened anew when its files changed, and `verify` running beside the pages."""

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from safecase.assess import Case, Verification, open_case, verify_case
from safecase.console._part import Part, attempt
from safecase.evidence import digest_bytes

Stamp = tuple[tuple[str, int, int], ...]
_AGAIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyState:
    """How the last `verify` that somebody asked for stands.

    Attributes:
        by: who asked.
        seconds: how long it took; None while it runs.
        result: what it found, or why it could not be made; None while it runs.
    """

    state: Literal["running", "done"]
    by: str
    seconds: float | None = None
    result: Part[Verification] | None = None


@dataclass
class Shown:
    """One case at the console.

    Attributes:
        key: its name in addresses.
        path: the case directory.
    """

    key: str
    path: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _case: Case | None = None
    _stamp: Stamp = ()
    _again_s: float = 0.0
    _verify: VerifyState | None = None

    def open(self) -> Case:
        """The case, read again where a file that declares it changed, and after a while for what lies outside it.

        Raises:
            PackError, UnknownName: the case, pack or model spec is wrong, with file and line.
        """
        with self._lock:
            stamp, now_s = _stamp(self.path), time.monotonic()
            if self._case is None or stamp != self._stamp or now_s > self._again_s:
                self._case, self._stamp, self._again_s = open_case(self.path), stamp, now_s + _AGAIN_S
            return self._case

    @property
    def verify(self) -> VerifyState | None:
        """The last `verify`, None where nobody asked for one."""
        return self._verify

    def start_verify(self, *, by: str) -> bool:
        """Verify in a thread beside the pages; False where one runs already."""
        with self._lock:
            if self._verify is not None and self._verify.state == "running":
                return False
            self._verify = VerifyState(state="running", by=by)
        threading.Thread(target=self._run_verify, args=(by,), name="safecase-verify", daemon=True).start()
        return True

    def _run_verify(self, by: str) -> None:
        begun = time.monotonic()
        result = attempt(lambda: verify_case(open_case(self.path)))
        self._verify = VerifyState(state="done", by=by, seconds=time.monotonic() - begun, result=result)


def show_cases(paths: Sequence[Path]) -> tuple[Shown, ...]:
    """The cases under names that tell them apart; a case that is given twice is shown once.

    Raises:
        PackError, UnknownName: a case is missing or wrong.
    """
    found: dict[str, Shown] = {}
    seen: set[Path] = set()
    for path in paths:
        case = open_case(path)
        where = case.path.resolve()
        if where in seen:
            continue
        seen.add(where)
        key = re.sub(r"[^A-Za-z0-9.-]+", "-", case.spec.id).strip("-.") or "case"
        if key in found:
            key = f"{key}-{digest_bytes(str(where).encode())[:6]}"
        found[key] = Shown(key=key, path=case.path)
    return tuple(found.values())


def _stamp(path: Path) -> Stamp:
    """What changes when a file that declares the case does; what these files name is looked at as well."""
    named = sorted(one for one in path.glob("*.y*ml") if one.is_file())
    return tuple((one.name, seen.st_mtime_ns, seen.st_size) for one in named for seen in (one.stat(),))
