"""The frontier figure."""

import asyncio

from safecase.report import frontier_figure
from safecase.suites.arena import Audit, BlindMonitor, PerfectMonitor, frontier, monitored, sweep


def test_the_frontier_is_drawn_the_same_every_time_with_words_for_who_cannot_see_it():
    points = [
        point
        for monitor in (BlindMonitor(), PerfectMonitor())
        for point in asyncio.run(
            sweep(
                lambda at, monitor=monitor: monitored(monitor, at=at),
                series=monitor.name,
                thresholds=(0.5, 1.0),
                audits=(Audit(), Audit(random_share=0.2)),
                seeds=1,
                honest_seeds=1,
            )
        )
    ]
    curve = frontier(points)

    first, second = frontier_figure(curve.points), frontier_figure(curve.points)

    assert first == second
    assert first.svg.startswith("<svg")
    assert "Main tasks done" in first.svg
    assert "blind, audits 20%" in first.svg
    assert first.description in first.svg.replace("&#x27;", "'")
    assert {point.series for point in curve.unbeaten} == {"perfect", "perfect, audits 20%"}
