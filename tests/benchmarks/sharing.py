"""What a checkpoint costs where the journal is shared: on a PostgreSQL of its own, over its socket."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tests.benchmarks import flows, kernels
from tests.benchmarks.measure import Row, Samples, scratch, timed
from tests.emulators.postgres import postgres

_CALLS = 1_500
_BLOCK = 25


def sequential() -> Iterator[Row]:
    """One checkpoint after another on PostgreSQL; raw inserts and commits of the same bytes in between."""
    import psycopg

    from kitaru.stack import assembly

    with scratch() as directory, postgres(directory / "pg") as url:
        os.environ.update({"KITARU_JOURNAL_URL": url, "KITARU_CONFIG_PATH": str(directory)})
        try:
            kernel = assembly.open_kernel()
            warm = kernels.start(flows.one, flows.ARGUMENT)
            warm.wait()
            data = b"x" * kernels.row_bytes(kernel, warm.exec_id)
            connection = psycopg.connect(url, autocommit=True)
            connection.execute("CREATE TABLE raw (no BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data BYTEA)")
            ours, raw = Samples(), Samples()

            def commit() -> None:
                connection.execute("INSERT INTO raw (data) VALUES (%s)", (data,), prepare=True)

            def measured(number: int) -> None:
                timed(ours, lambda: flows.small(flows.ARGUMENT))
                if number % _BLOCK == 0:
                    for _ in range(_BLOCK):
                        timed(raw, commit)

            flows.hooks["sequential"] = measured
            kernels.start(flows.sequential, _CALLS).wait()
            connection.close()
        finally:
            assembly.reset()
            for name in ("KITARU_JOURNAL_URL", "KITARU_CONFIG_PATH"):
                os.environ.pop(name, None)
    yield Row(
        "sequential checkpoint, PostgreSQL",
        "us",
        ours.median * 1e6,
        ours.p90 * 1e6,
        1.5 * raw.median * 1e6,
        "1.5 x raw",
        raw.median * 1e6,
        raw.p90 * 1e6,
        "us per insert and commit",
        "over its socket",
    )
