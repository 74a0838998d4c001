"""What is known of something: a text or an instant, or the plain word *unknown*, which is a value and never a gap."""

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, StringConstraints

UNKNOWN: Final = "unknown"
"""What a field of law says where nobody knows. It is filed as it stands."""

Fact = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
"""A text that somebody stands for, or `UNKNOWN`."""

FactMoment = AwareDatetime | Literal["unknown"]
"""An instant with its time zone, or `UNKNOWN`."""
