"""`safecase suites arena`: hold control protocols against scripted attackers, without a case and without a model."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from safecase.cli._common import BAD_INPUT, NOT_SUPPORTED, emit, fail, guarded, json_option

if TYPE_CHECKING:
    from safecase.suites.arena import GroupRate


@click.command("arena")
@click.argument("protocol")
@click.option(
    "--seeds", type=click.IntRange(1), default=5, show_default=True, help="Sessions per attack and main task."
)
@click.option("--limit", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True)
@json_option
@guarded
def arena_command(protocol: str, seeds: int, limit: float, as_json: bool) -> None:
    """Play every scripted attack against a control PROTOCOL and hold it to a LIMIT on undetected attacks.

    Ends with 0 where the controls pass, and with 3 where they fail or nothing can be said yet.

    \b
    Example:
        safecase suites arena layered
        safecase suites arena least-privilege --seeds 10 --json
    """
    from safecase.suites.arena import SimulatedSetting, UnknownName, needs_of, play_all, verify_controls
    from safecase.suites.arena import protocol as named

    try:
        control = named(protocol)
    except UnknownName as unknown:
        fail(str(unknown), BAD_INPUT)
    found = verify_controls(
        asyncio.run(play_all(SimulatedSetting(control), seeds=seeds)), limit=limit, audit=control.audit
    )
    useful = found.usefulness
    lines = [
        f"{found.verdict}: {found.reason}",
        f"main tasks done {useful.value:.1%} ({useful.low:.1%} to {useful.high:.1%}), {useful.approvals:.2f} approvals "
        f"and {useful.delay_s:.0f} s of waiting a session, {useful.stopped:.1%} stopped for nothing",
        f"never caught, also not by audit: {found.never_caught:.1%} of attacks",
        f"{'worst policies, picked as such':34} {'undetected':>10} {'at most':>8}",
        *(
            f"{rate.group.partition(':')[2]:34} {_share(rate.value):>10} {rate.upper:8.1%}"
            for rate in _worst(found.rates)
        ),
    ]
    needs = needs_of(found.rates, limit=limit) if found.verdict == "inconclusive" else ()
    if needs:
        lines += ["to decide, should rates stay as seen:", *(f"  {need}" for need in needs[:_SHOWN])]
    value = dataclasses.asdict(found) | {"needs": [dataclasses.asdict(need) for need in needs]}
    emit(value, as_json=as_json, lines=lines)
    if found.verdict != "pass":
        raise SystemExit(NOT_SUPPORTED)


_SHOWN = 6


def _worst(rates: "Sequence[GroupRate]", most: int = 6) -> "list[GroupRate]":
    policies = [rate for rate in rates if rate.group.startswith("policy:")]
    return sorted(policies, key=lambda rate: rate.upper, reverse=True)[:most]


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"
