"""`safecase monitor unexpected`: new behaviour, drift, and silent safeguards, as the last commit has them."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option
from safecase.cli._monitor_misuse import state_file

if TYPE_CHECKING:
    from safecase.assess import Case
    from safecase.monitor import Cluster, Detectors, Looking, Rates, Unexpected

_embedder = click.option(
    "--embedder",
    type=click.Choice(["hashed", "minilm"]),
    default="hashed",
    show_default=True,
    help="What tells like requests: shared words, or meaning (an extra, some hundred times dearer).",
)
_LOOKING = (
    _embedder,
    click.option(
        "--share",
        type=click.FloatRange(0, 1, min_open=True),
        default=1.0,
        show_default=True,
        help="Part of the distinct requests that are embedded.",
    ),
    click.option(
        "--min-accounts",
        type=click.IntRange(2),
        default=5,
        show_default=True,
        help="Accounts under which a cluster is shown to nobody.",
    ),
)


def looking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--embedder`, `--share`, `--min-accounts`."""
    for option in reversed(_LOOKING):
        command = option(command)
    return command


def looking_of(rates: "Rates | None" = None, *, embedder: Any, share: float = 1.0, min_accounts: int = 2) -> "Looking":
    """What these options ask for, of the calls that `rates` sees; the memory of accounts is smaller than theirs."""
    from safecase.detect import open_embedder
    from safecase.monitor import Looking, Unit

    return Looking(
        embedder=open_embedder(embedder),
        share=share,
        min_accounts=min_accounts,
        unit=dataclasses.replace(rates.unit if rates else Unit(), filter_bits=20),
        least_p=rates.least_p if rates else 1.0,
        stack=rates.stack if rates else "",
    )


def opened_unexpected(case: "Case", detectors: "Detectors", looking: "Looking") -> "Unexpected":
    """The watch of a case with its file of what was usual."""
    from safecase.monitor import content_vault, open_unexpected

    path = usual_file(case)
    return open_unexpected(case, detectors, usual_path=path, looking=looking, contents=content_vault(case))


def usual_file(case: "Case") -> Path:
    """Beside the monitor's file, outside the case."""
    return state_file(case).with_suffix(".usual")


@click.command("unexpected")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--cluster", "wanted", help="One cluster, with the events whose content may be looked at.")
@click.option("--request", "asked", default="", help="With --cluster and --out: what it asks, in your own words.")
@click.option("--by", default="", help="With --out: who proposes it.")
@click.option("--out", type=click.Path(path_type=Path), help="Write a draft for `safecase respond report --from`.")
@click.option("--all", "is_all", is_flag=True, help="Every rate, also those that nobody watches.")
@_embedder
@click.option("--state", type=click.Path(path_type=Path), help="The monitor's file, where it is not the usual.")
@json_option
@guarded
def unexpected_command(
    case: Path,
    wanted: str | None,
    asked: str,
    by: str,
    out: Path | None,
    is_all: bool,
    embedder: Any,
    state: Path | None,
    as_json: bool,
) -> None:
    """What testing missed: new clusters, inputs that drift, layers that err or fall silent, and what could be told by now.

    \b
    Example:
        safecase monitor unexpected my-case
        safecase monitor unexpected my-case --cluster c12
        safecase monitor unexpected my-case --cluster c12 --request "asks a persona without rules for ..." --by ana --out c12.json
    """  # noqa: E501 - one command is one line
    if out is not None and (not wanted or not asked.strip() or not by.strip()):
        fail("--out goes with --cluster, --request and --by: a person says in their own words what it asks", BAD_INPUT)
    watch = _at_last_commit(case, embedder, state)
    if wanted is None:
        emit(standing(watch), as_json=as_json, lines=lines_of(watch, is_all=is_all))
        return
    cluster = next((one for one in watch.shown() if one.id == wanted), None)
    if cluster is None:
        fail(f"--cluster {wanted}: none that may be shown; `safecase monitor unexpected {case}` lists them", BAD_INPUT)
    if out is None:
        emit(_cluster_json(cluster), as_json=as_json, lines=_cluster_lines(case, cluster))
        return
    report = _report(cluster, asked=asked.strip(), by=by.strip())
    try:
        out.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        fail(f"--out {out}: {error.strerror}; name a file in a folder that is there", BAD_INPUT)
    emit({"file": str(out)}, as_json=as_json, lines=[str(out), f"now `safecase respond report {case} --from {out}`"])


def _at_last_commit(case: Path, embedder: Any, state: Path | None) -> "Unexpected":
    from safecase.assess import RequestReader, open_case
    from safecase.monitor import Detectors, MonitorStore

    opened = open_case(case)
    watch = opened_unexpected(opened, Detectors(RequestReader(opened.intents)), looking_of(embedder=embedder))
    path = state or state_file(opened)
    if not path.exists():
        fail(f"{path}: no monitor has watched this case; run `safecase monitor {case} --events ...`", BAD_INPUT)
    store = MonitorStore(path, is_reading=True)
    try:
        for watcher in watch.watchers:
            if (kept := store.state(watcher.name)) is not None:
                watcher.restore(kept)
    finally:
        store.close()
    return watch


def standing(watch: "Unexpected") -> dict[str, Any]:
    """Everything as JSON."""
    from safecase.monitor import change_json

    clusters = watch.clusters
    return {
        "clusters": [_cluster_json(one) for one in watch.shown()],
        "min_accounts": clusters.shown_from if clusters else None,
        "remembered": len(clusters) if clusters else 0,
        "placed": clusters.seen if clusters else 0,
        "beyond": clusters.beyond if clusters else 0,
        "of_nobody": clusters.nobody if clusters else 0,
        "rates": [change_json(panel) for panel in watch.changes.panels()],
        "missing": watch.changes.missing(),
        "unknown_stack": watch.changes.unknown,
        "notes": [*watch.notes, *_anew(watch)],
    }


def lines_of(watch: "Unexpected", *, is_all: bool = False) -> list[str]:
    """The same for people."""
    shown = watch.shown()
    lines = [f"{name}: NO RULING in its last {count} calls" for name, count in watch.changes.missing().items()]
    lines += [one.sentence for one in shown]
    if watch.clusters is not None:
        lines.append(_tally(watch.clusters, len(shown)))
    panels = watch.changes.panels()
    lines += [panel.sentence for panel in panels if is_all or not panel.why]
    hidden = sum(bool(panel.why) for panel in panels)
    if hidden and not is_all:
        lines.append(f"{hidden} rates are not watched; --all says why")
    if watch.changes.unknown:
        lines.append(f"{watch.changes.unknown} calls under a stack whose layers are not known here")
    return [*lines, *watch.notes, *_anew(watch)]


def _tally(clusters: Any, shown: int) -> str:
    return (
        f"{shown} clusters of {clusters.shown_from} accounts or more; of {clusters.seen} requests that could be read "
        f"{clusters.beyond} are alike to nothing assessed or usual"
    )


def _anew(watch: "Unexpected") -> list[str]:
    if watch.clusters is None or not watch.clusters.started_anew:
        return []
    return ["clusters begin anew: those kept are of another assessment, baseline or embedder"]


def _cluster_json(cluster: "Cluster") -> dict[str, Any]:
    return {**dataclasses.asdict(cluster), "sentence": cluster.sentence}


def _cluster_lines(case: Path, cluster: "Cluster") -> list[str]:
    lines = [
        cluster.sentence,
        f"  last at {cluster.last_at}, {cluster.calls_lately:.1f} calls lately",
        f"  {cluster.attack_like:.0%} of its calls read like attacks",
        f"  distance to the nearest assessed request {cluster.nearest:.3f}",
    ]
    if not cluster.examples:
        return [*lines, "  no content of it was kept, so nobody can look at it"]
    events = " ".join(f"--event {one}" for one in cluster.examples)
    return [*lines, f'  safecase monitor look {case} --events ... {events} --by ... --why "cluster {cluster.id}"']


def _report(cluster: "Cluster", *, asked: str, by: str) -> dict[str, Any]:
    """A report on a cluster: numbers and event ids, and a person's words. Never what users wrote."""
    return {
        "channel": "risky-output",
        "title": f"unexpected cluster {cluster.id}",
        "text": f"{cluster.sentence} (proposed by {by})",
        "request": asked,
        "events": list(cluster.examples),
    }


COMMANDS = {"unexpected": unexpected_command}
