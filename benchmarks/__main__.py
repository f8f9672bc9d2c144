"""`python -m benchmarks`: which contenders and scenarios, how long, and where the table goes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from datetime import UTC, datetime
from functools import partial

from benchmarks.contenders import Contender
from benchmarks.envoy import Envoy
from benchmarks.gateway import Meshwright
from benchmarks.nginx import Nginx
from benchmarks.page import FILE, page
from benchmarks.scenario import SCENARIOS
from benchmarks.servers import BenchmarkError
from benchmarks.table import failed, table
from benchmarks.tournament import Plan, play

CONTENDERS: dict[str, Contender] = {each.name: each for each in (Meshwright(), Envoy(), Nginx())}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=5, help="turns of each contender (5)")
    parser.add_argument("--seconds", type=_positive, default=4, help="load in each turn (4)")
    parser.add_argument("--contender", action="append", choices=CONTENDERS, help="repeatable; all when left out")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="repeatable; all when left out")
    parser.add_argument("--write", action="store_true", help=f"also write docs/{FILE.name}")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more; got {number}")
    return number


def stop_once(signum: int, _frame: object) -> None:
    """End the run on the first signal; further ones do not disturb the stopping of the servers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + signum)


def compare(options: argparse.Namespace) -> bool:
    """Play every scenario, print each table, and tell whether all requests of all contenders succeeded."""
    if (os.cpu_count() or 1) < 2:
        raise BenchmarkError("benchmarks: expected two cores, one for the contender and one for the load; got one")
    contenders = [CONTENDERS[name] for name in options.contender or CONTENDERS]
    plan = Plan(rounds=options.rounds, seconds=options.seconds)
    say = partial(print, file=sys.stderr, flush=True)
    tables, clean = {}, True
    for scenario in (SCENARIOS[name] for name in options.scenario or SCENARIOS):
        say(f"{scenario.title}: {plan.rounds} rounds of {plan.seconds} s")
        results = play(scenario, contenders, plan, say)
        tables[scenario] = table(results)
        clean = clean and not any(map(failed, results.values()))
        print(f"\n{tables[scenario]}\n", flush=True)
    if options.write:
        versions = {contender.name: contender.version() for contender in contenders}
        FILE.write_text(page(tables, versions, plan, datetime.now(UTC).date()), "utf-8")
    return clean


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGINT, stop_once)
    signal.signal(signal.SIGTERM, stop_once)
    try:
        return 0 if compare(options) else 1
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
