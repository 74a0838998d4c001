"""Hold the estimates against the gates, per deployment context."""

import asyncio
from pathlib import Path

from safecase.assess import decide_case, open_case

_, decided = asyncio.run(decide_case(open_case(Path(__file__).parent / "out" / "case")))
for proposal in decided.proposals:
    print(f"{proposal.context}: {proposal.choice}, {proposal.reasons[0]}")
