"""``python -m tests.crash.repeat``: one case of the battery again, by the seed and numbers that a failure printed."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.crash import battery, owners
from tests.crash.models import SHAPES
from tests.crash.processes import Forks


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.repeat", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--side", choices=("before", "after"), default="before")
    parser.add_argument("--point", type=int, help="the journal write to die at; default: every one")
    parser.add_argument("--random", type=int, metavar="KILLS", help="kill from outside at random moments instead")
    parser.add_argument("--race", type=int, metavar="PROCESSES", help="let so many processes resume it at once instead")
    parser.add_argument("--same-key", type=int, metavar="PROCESSES", help="start it under one key in so many instead")
    parser.add_argument("--zombie", action="store_true", help="stop an owner and wake it up later instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=int, default=1, help="how often to repeat it")
    options = parser.parse_args()
    forks = Forks()
    tally = battery.Tally()
    try:
        for _ in range(options.times):
            with tempfile.TemporaryDirectory(prefix="kitaru-repeat-") as folder:
                _once(forks, Path(folder), options, tally)
    finally:
        forks.close()
    print(f"{tally.points} points, {tally.kills} kills: all is as the model says")


def _once(forks: Forks, base: Path, options: argparse.Namespace, tally: battery.Tally) -> None:
    if options.random is not None:
        battery.kill_at_random(forks, battery.fresh(base, "random"), options.shape, options.seed, options.random, tally)
    elif options.race is not None:
        owners.race(forks, battery.fresh(base, "race"), options.race, options.seed)
    elif options.same_key is not None:
        owners.start_under_one_key(forks, battery.fresh(base, "same-key"), options.shape, options.same_key)
    elif options.zombie:
        owners.stop_at_random(forks, battery.fresh(base, "zombie"), options.seed)
    else:
        for point in [options.point] if options.point is not None else range(1, battery.DEATHS_MAX):
            directory = battery.fresh(base, f"{point}")
            if not battery.kill_at(forks, directory, options.shape, options.side, point, options.seed, tally):
                break


if __name__ == "__main__":
    main()
