"""Statistics over executions: how many, how long, at what cost; by flow, status and day.

Costs are what ``kitaru.log()`` recorded: per call and attempt the latest ``cost`` or, where a call logged none, the
``cost`` (or ``cost_usd``) of each of its ``llm_calls``. Attempts that failed have cost money too, and count. What a
replay took over with the calls it reused was paid for by its original, and is added up apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kitaru.journal.records import REUSED, Entry, EntryKind, ExecutionRecord, Tally

DAY_MICROSECONDS = 86_400_000_000

# One pass over the chosen executions, one over their metadata (which has an index of its own).
SQL = """
WITH chosen AS (
    SELECT no, flow_name, {status} AS status, created_at / 86400000000 AS day, ended_at - started_at AS took
    FROM executions WHERE {where}
),
noted AS (
    SELECT exec_no, key, attempt, seq, detail, name = 'reused' AS reused FROM entries
    WHERE kind = 9 AND json_valid(detail) AND exec_no IN (SELECT no FROM chosen)
),
plain AS (
    SELECT exec_no, key, attempt, reused, json_extract(detail, '$.cost') AS cost, max(seq) FROM noted
    WHERE json_type(detail, '$.cost') IN ('integer', 'real') GROUP BY exec_no, key, attempt, reused
),
called AS (
    SELECT exec_no, noted.key, attempt, reused, max(seq),
        coalesce(json_extract(one.value, '$.cost'), json_extract(one.value, '$.cost_usd')) AS cost
    FROM noted, json_each(detail, '$.llm_calls') AS one
    WHERE one.type = 'object' AND (json_type(one.value, '$.cost') IN ('integer', 'real')
        OR json_type(one.value, '$.cost_usd') IN ('integer', 'real'))
        AND NOT EXISTS (SELECT 1 FROM plain WHERE plain.exec_no = noted.exec_no AND plain.key = noted.key
            AND plain.attempt = noted.attempt AND plain.reused = noted.reused)
    GROUP BY exec_no, noted.key, attempt, reused, one.key
),
spent AS (
    SELECT exec_no, sum(cost * (1 - reused)) AS cost, sum(cost * reused) AS cost_reused FROM (
        SELECT exec_no, reused, cost FROM plain UNION ALL SELECT exec_no, reused, cost FROM called
    ) GROUP BY exec_no
)
SELECT flow_name, status, day, count(*), count(took), coalesce(sum(took), 0), coalesce(max(took), 0),
    coalesce(sum(spent.cost), 0.0), coalesce(sum(spent.cost_reused), 0.0)
FROM chosen LEFT JOIN spent ON spent.exec_no = chosen.no
GROUP BY flow_name, status, day ORDER BY day, flow_name, status
"""


def tallies(found: Iterable[tuple[ExecutionRecord, str, Iterable[Entry]]]) -> list[Tally]:
    """What :data:`SQL` gives, of (record, public status, entries), for journals without SQL."""
    groups: dict[tuple[int, str, str], Tally] = {}
    for record, status, entries in found:
        day = record.created_at // DAY_MICROSECONDS
        tally = groups.setdefault((day, record.flow_name, status), Tally(record.flow_name, status, day))
        tally.executions += 1
        if record.ended_at is not None and record.started_at is not None:
            took = record.ended_at - record.started_at
            tally.ended += 1
            tally.took += took
            tally.took_max = max(tally.took_max, took)
        cost, reused = costs(list(entries))
        tally.cost += cost
        tally.cost_reused += reused
    return [groups[place] for place in sorted(groups)]


def costs(entries: Sequence[Entry]) -> tuple[float, float]:
    """What entries tell of money spent, and of what records that were taken over had cost."""
    return _cost(one for one in entries if one.name != REUSED), _cost(one for one in entries if one.name == REUSED)


def _cost(entries: Iterable[Entry]) -> float:
    plain: dict[tuple[str, int], float] = {}
    called: dict[tuple[str, int], dict[str, float]] = {}
    for entry in entries:
        if entry.kind != EntryKind.METADATA or not entry.detail:
            continue
        place = (entry.key, entry.attempt)
        if _number(entry.detail.get("cost")):
            plain[place] = entry.detail["cost"]
        calls = entry.detail.get("llm_calls")
        for name, one in calls.items() if isinstance(calls, Mapping) else ():
            cost = [one[key] for key in ("cost", "cost_usd") if key in one] if isinstance(one, Mapping) else []
            if cost and _number(cost[0]):
                called.setdefault(place, {})[name] = cost[0]
    loose = sum(sum(costs.values()) for place, costs in called.items() if place not in plain)
    return float(sum(plain.values()) + loose)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
