"""`python -m benchmarks.soak`: how long, and what was left afterwards."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from functools import partial

from benchmarks.servers import BenchmarkError, prepare, stop_by_signal
from benchmarks.soak.report import summary
from benchmarks.soak.run import soak
from benchmarks.tournament import Cores


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long the traffic goes on (1)")
    parser.add_argument("--seed", type=int, help="makes the ends choose as in another run, though not at the same time")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    stop_by_signal()
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    say = partial(print, file=sys.stderr, flush=True)
    say(f"soak: {options.minutes:g} minutes, seed {seed}")
    try:
        proxy, load = prepare()
        outcome = asyncio.run(soak(options.minutes * 60, Cores(proxy=proxy, load=load), say, seed))
    except BenchmarkError as error:
        say(error)
        return 1
    print(summary(outcome))
    for problem in outcome.problems:
        print(f"LEFT: {problem}")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
