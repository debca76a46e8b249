"""``executions.statistics``: counts, durations and logged costs, added up from the journal's tallies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kitaru.journal.records import Tally, TallyQuery

if TYPE_CHECKING:
    from kitaru.models import Statistics, StatisticsGroup
    from kitaru.runtime.kernel import Kernel

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def statistics(kernel: Kernel, query: TallyQuery) -> Statistics:
    """See ``Executions.statistics``."""
    from kitaru import models

    tallies = kernel.journal.tallies(query, kernel.alive)
    return models.Statistics(
        total=_group("total", tallies),
        by_flow=_groups(tallies, lambda tally: tally.flow_name),
        by_status=_groups(tallies, lambda tally: tally.status),
        by_day=_groups(tallies, lambda tally: (_EPOCH + timedelta(days=tally.day)).date().isoformat()),
    )


def _groups(tallies: Iterable[Tally], name: Callable[[Tally], str]) -> list[StatisticsGroup]:
    grouped: dict[str, list[Tally]] = {}
    for tally in tallies:
        grouped.setdefault(name(tally), []).append(tally)
    return [_group(key, grouped[key]) for key in sorted(grouped)]


def _group(name: str, tallies: Iterable[Tally]) -> StatisticsGroup:
    from kitaru import models

    listed = list(tallies)
    ended = sum(tally.ended for tally in listed)
    took = sum(tally.took for tally in listed) / 1e6
    return models.StatisticsGroup(
        name=name,
        executions=sum(tally.executions for tally in listed),
        ended=ended,
        seconds_total=took,
        seconds_mean=took / ended if ended else None,
        seconds_max=max((tally.took_max for tally in listed), default=0) / 1e6 if ended else None,
        cost=sum(tally.cost for tally in listed),
        cost_reused=sum(tally.cost_reused for tally in listed),
    )
