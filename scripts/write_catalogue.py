"""Write docs/catalogue.md: every suite, measure and gate of the shipped packs, and the Inspect tasks that serve them.

    python scripts/write_catalogue.py                              # write the page
    python scripts/write_catalogue.py --check                      # is it up to date? exit code 1 when not
    python scripts/write_catalogue.py --inspect --date 2026-11-21  # load every named inspect-evals task, record it

The last one needs `inspect-evals` in the environment. It imports each task and runs none, so it downloads no data.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "catalogue.md"
FACTS = HERE / "catalogue_facts.yaml"
FOUND = HERE / "inspect_evals.json"


def facts() -> dict[str, Any]:
    """What a person wrote down of suites and measures."""
    read: dict[str, Any] = YAML(typ="safe").load(FACTS)
    return read


def named_tasks() -> list[str]:
    """The Inspect tasks that the catalogue names."""
    return [task for tasks in facts()["inspect_evals"].values() for task in tasks]


def loaded_tasks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Task -> whether it loads (it is imported, not run), and what its own description says it needs."""
    described = _descriptions()
    return {name: {"loads": _loads(name, described), **described.get(name, {})} for name in names}


def _loads(name: str, described: Mapping[str, Mapping[str, Any]]) -> str:
    if name not in described:
        return "no task of this name"
    try:
        module = import_module(f"inspect_evals.{described[name]['module']}")
    except ImportError as fault:
        return f"needs {fault.name or fault}"
    return "yes" if callable(getattr(module, name, None)) else "not exported by its package"


def _descriptions() -> dict[str, dict[str, Any]]:
    """Task -> module and needs, from the `eval.yaml` beside each evaluation."""
    import inspect_evals

    found: dict[str, dict[str, Any]] = {}
    for path in sorted(Path(inspect_evals.__file__).parent.glob("*/eval.yaml")):
        said = YAML(typ="safe").load(path)
        more = said.get("metadata") or {}
        for task in said.get("tasks") or ():
            found[task["name"]] = {
                "module": path.parent.name,
                "samples": task.get("dataset_samples"),
                "docker": bool(more.get("sandbox")),
                "network": bool((more.get("requires") or {}).get("internet")) or bool(said.get("external_assets")),
            }
    return found


def page() -> str:
    """The page as it should be."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    from safecase.declare import load_framework, shipped_packs
    from safecase.suites import SHIPPED

    known = facts()
    frameworks = [load_framework(name) for name in shipped_packs()]
    yield "# Catalogue"
    yield ""
    yield "Made by `python scripts/write_catalogue.py`. A suite that is not here leaves its gates *not measured*."
    yield ""
    yield "## Suites"
    yield ""
    yield "| suite | here | source, licence | shows | does not show | needs | run time |"
    yield "|---|---|---|---|---|---|---|"
    declared = {suite.id: suite for framework in frameworks for suite in framework.suites}
    for suite_id in sorted({*declared, *SHIPPED}):
        yield _suite_line(suite_id, known["suites"][suite_id], declared.get(suite_id), SHIPPED)
    yield ""
    yield "## Measures"
    yield ""
    yield "| measure | what it is |"
    yield "|---|---|"
    yield from (f"| `{name}` | {known['measures'][name]} |" for name in sorted(known["measures"]))
    for framework in frameworks:
        yield ""
        yield f"## Gates of {framework.id} {framework.version}"
        yield ""
        yield "| gate | asks for | suite | on | source |"
        yield "|---|---|---|---|---|"
        for gate in framework.gates:
            own = " (the figure is ours)" if gate.own_figure else " (illustrative)" if gate.illustrative else ""
            yield f"| `{gate.id}` {gate.title} | {gate.line}{own} | `{gate.suite}` | {gate.arm} | {gate.cites} |"
    yield from _inspect_lines(known["inspect_evals"])


def _suite_line(suite_id: str, fact: Mapping[str, Any], declared: Any, shipped: Mapping[str, str]) -> str:
    is_here = suite_id in shipped or (declared is not None and declared.available)
    needs = "; ".join(f"{what}: {how}" for what, how in fact["needs"].items()) or "nothing but the package"
    cells = [
        f"`{suite_id}`",
        "yes" if is_here else "no",
        f"{fact['source']}; {fact['licence']}",
        fact["shows"],
        fact["shows_not"],
        needs,
        fact["time"],
    ]
    return f"| {' | '.join(cells)} |"


def _inspect_lines(served: Mapping[str, Sequence[str]]) -> Iterator[str]:
    record = json.loads(FOUND.read_text(encoding="utf-8"))
    yield ""
    yield "## Tasks of inspect-evals, by capability"
    yield ""
    yield (
        f"Loaded with inspect-evals {record['version']} (MIT; the data of a task has its own licence) on "
        f"{record['date']} by `python scripts/write_catalogue.py --inspect`: imported, not run. Any of them is "
        "evidence for a gate by a line in the pack ([suites.md](suites.md)). Needs are read off each task's "
        "`eval.yaml`, which does not say whether its data is gated."
    )
    yield ""
    yield "| capability | task | loads | samples | needs |"
    yield "|---|---|---|---|---|"
    for capability, tasks in served.items():
        for task in tasks:
            found = record["tasks"][task]
            needs = ", ".join(
                word
                for word, is_asked in (
                    ("network", found.get("network")),
                    ("Docker", found.get("docker")),
                )
                if is_asked
            )
            samples = found.get("samples") or "not said"
            yield f"| {capability} | `inspect_evals/{task}` | {found['loads']} | {samples} | {needs or 'not said'} |"


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    parser.add_argument("--inspect", action="store_true", help="load the inspect-evals tasks and record what was found")
    parser.add_argument("--date", help="the day of that, YYYY-MM-DD")
    asked = parser.parse_args()
    if asked.inspect:
        if not asked.date:
            parser.error("--inspect needs --date")
        record = {
            "version": metadata.version("inspect-evals"),
            "date": asked.date,
            "tasks": loaded_tasks(named_tasks()),
        }
        FOUND.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    if asked.check:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
