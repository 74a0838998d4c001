"""Write the report, and verify everything the case says. The report needs `safecase[report]`."""

import asyncio
from pathlib import Path

from safecase.assess import open_case, report_case, verify_case

case = Path(__file__).parent / "out" / "case"
rendered = asyncio.run(report_case(open_case(case)))
print(*sorted(path.name for path in rendered.paths.values()), sep="\n")
print(verify_case(open_case(case)).sentence)
