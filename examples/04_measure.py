"""Judge what `03_run.py` kept, and estimate with honest intervals."""

import asyncio
from pathlib import Path

from safecase.assess import measure_case, open_case

measured = asyncio.run(measure_case(open_case(Path(__file__).parent / "out" / "case")))
for estimate in measured.estimates:
    if estimate.group == "all" and estimate.estimate_id.startswith("policy."):
        print(f"{estimate.estimate_id}: {estimate.low:.3f} to {estimate.high:.3f} from {estimate.clusters} intents")
