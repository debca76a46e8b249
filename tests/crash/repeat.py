"""``python -m tests.crash.repeat``: one case of the battery again, by the seed and numbers that a failure printed."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.crash import battery
from tests.crash.models import SHAPES
from tests.crash.processes import Forks


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.repeat", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--side", choices=("before", "after"), default="before")
    parser.add_argument("--point", type=int, help="the journal write to die at; default: every one")
    parser.add_argument("--random", type=int, metavar="KILLS", help="kill from outside at random moments instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=int, default=1, help="how often to repeat it")
    options = parser.parse_args()
    forks = Forks()
    tally = battery.Tally()
    try:
        for _ in range(options.times):
            with tempfile.TemporaryDirectory(prefix="kitaru-repeat-") as folder:
                base = Path(folder)
                if options.random is not None:
                    directory = battery.fresh(base, "random")
                    battery.kill_at_random(forks, directory, options.shape, options.seed, options.random, tally)
                    continue
                points = [options.point] if options.point is not None else range(1, battery.DEATHS_MAX)
                for point in points:
                    directory = battery.fresh(base, f"{point}")
                    if not battery.kill_at(forks, directory, options.shape, options.side, point, options.seed, tally):
                        break
    finally:
        forks.close()
    print(f"{tally.points} points, {tally.kills} kills: all is as the model says")


if __name__ == "__main__":
    main()
