"""`python -m benchmarks`: which contenders and scenarios, how long, and where the table goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from benchmarks.contenders.caddy import Caddy
from benchmarks.contenders.contender import Contender
from benchmarks.contenders.envoy import Envoy
from benchmarks.contenders.haproxy import HAProxy
from benchmarks.contenders.meshwright import Meshwright
from benchmarks.contenders.nginx import Nginx
from benchmarks.experiments.catalogue import EXPERIMENTS
from benchmarks.experiments.experiment import Bench
from benchmarks.report.finding import Report
from benchmarks.report.page import FILE, aims, write_page
from benchmarks.servers import BenchmarkError, prepare, stop_by_signal
from benchmarks.tournament import Cores, Plan

CONTENDERS: dict[str, Contender] = {each.name: each for each in (Meshwright(), Envoy(), Nginx(), HAProxy(), Caddy())}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=3, help="turns of each contender (3)")
    parser.add_argument("--seconds", type=_positive, default=2, help="load in each turn (2)")
    parser.add_argument("--contender", action="append", choices=CONTENDERS, help="repeatable; all when left out")
    parser.add_argument("--scenario", action="append", choices=EXPERIMENTS, help="repeatable; all when left out")
    parser.add_argument("--write", action="store_true", help=f"also write docs/{FILE.name} and its chart")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more; got {number}")
    return number


def measure(bench: Bench, names: Sequence[str]) -> list[Report]:
    """Run the experiments one after the other, and print what each one found."""
    reports = []
    for experiment in (EXPERIMENTS[name] for name in names):
        bench.say(f"{experiment.name}: {experiment.title}")
        report = experiment.run(bench)
        reports.append(report)
        print(f"\n{report.text}\n", flush=True)
    print(aims(reports), flush=True)
    return reports


def benchmark(options: argparse.Namespace) -> bool:
    """Measure, write the page if it is wanted, and tell whether all requests that had to succeed did."""
    proxy, load = prepare()
    plan = Plan(rounds=options.rounds, seconds=options.seconds, cores=Cores(proxy=proxy, load=load))
    contenders = [CONTENDERS[name] for name in options.contender or CONTENDERS]
    bench = Bench(plan=plan, contenders=contenders, say=partial(print, file=sys.stderr, flush=True))
    versions = {contender.name: contender.version() for contender in contenders}
    reports = measure(bench, options.scenario or list(EXPERIMENTS))
    if options.write:
        write_page(reports, versions, plan, datetime.now(UTC).date())
    return all(report.clean for report in reports)


def main() -> int:
    options = arguments()
    stop_by_signal()
    try:
        return 0 if benchmark(options) else 1
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
