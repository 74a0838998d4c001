"""The permit's own restrictions as a container: revoked to stop, narrowed to a share or away from some accounts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from safecase.assess import Case, Clock, narrow_permit, revoke_permit, utc_now
from safecase.respond._errors import BadWord


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitContainer:
    """Makes a case's permits stricter with a key of a role that may `narrow`.

    Attributes:
        share: what a narrowing leaves; None with `where` suspends accounts only.
        where: verified attributes of the accounts to suspend.
    """

    case: Case
    key_file: Path
    share: float | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    now: Clock = utc_now

    def __call__(self, *, action: Literal["stop", "narrow"], context: str, reason: str) -> str:
        """Sign and write the restriction; a gateway notices it by itself.

        Raises:
            BadWord: to narrow by nothing.
            NotSupported, RosterBroken: no permit, or the key may not restrict it.
        """
        if action == "stop":
            return revoke_permit(self.case, context, self.key_file, reason=reason, now=self.now).stem
        if self.share is None and not self.where:
            raise BadWord("nothing to narrow by; give --share or --where, or --stop")
        path = narrow_permit(
            self.case, context, self.key_file, reason=reason, where=self.where, share=self.share, now=self.now
        )
        return path.stem
