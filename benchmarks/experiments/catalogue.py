"""Every experiment by its name, in the order of the table of aims."""

from __future__ import annotations

from benchmarks import scenario
from benchmarks.experiments.comparison import Comparison
from benchmarks.experiments.costs import Costs
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.failures import DeadEndpoint, DeadService, SlowUpstream
from benchmarks.experiments.footprint import Footprint
from benchmarks.experiments.latency import Latency
from benchmarks.experiments.limits import LimitCosts, LimitsHold, StoreLoss
from benchmarks.experiments.overload import TwiceTheLoad
from benchmarks.experiments.reloads import Reloads
from benchmarks.experiments.routes import Routes
from benchmarks.experiments.soaked import Soaked
from benchmarks.experiments.transfers import Transfers
from benchmarks.experiments.variants import AsgiPath, Workers

_ALL: tuple[Experiment, ...] = (
    Comparison(scenario=scenario.PLAIN, reach=1.3),
    Comparison(scenario=scenario.FILTER, reach=1.3, against="Envoy with Lua"),
    Comparison(scenario=scenario.CHAIN, reach=1.4, against="Envoy with the like filters", only=("meshwright", "envoy")),
    Comparison(scenario=scenario.CONNECTIONS, reach=1.2),
    Comparison(scenario=scenario.LARGE, reach=0.8),
    Comparison(scenario=scenario.UPLOAD, reach=0.8),
    Comparison(scenario=scenario.TLS, reach=1.0),
    Comparison(scenario=scenario.WEBSOCKET, reach=1.0),
    Comparison(scenario=scenario.EVENTS, reach=1.0),
    DeadEndpoint(),
    DeadService(),
    SlowUpstream(),
    TwiceTheLoad(),
    LimitCosts(),
    LimitsHold(),
    StoreLoss(),
    Costs(),
    Routes(),
    Latency(),
    Footprint(),
    Workers(),
    Reloads(),
    Transfers(),
    AsgiPath(),
    Soaked(),
)

EXPERIMENTS: dict[str, Experiment] = {each.name: each for each in _ALL}
