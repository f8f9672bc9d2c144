"""Making what a Redis store is made of from its options; the operations go elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from meshwright_plugins.stores.redis.cluster import Cluster
from meshwright_plugins.stores.redis.connection import Limits, Meters
from meshwright_plugins.stores.redis.dialing import Dialing, tls_context
from meshwright_plugins.stores.redis.options import RedisOptions
from meshwright_plugins.stores.redis.server import Backoff
from meshwright_plugins.stores.redis.subscriptions import Subscriptions
from meshwright_plugins.stores.redis.topologies import SentinelPrimary, Single, Topology
from meshwright_sdk import Context, Metrics


async def build_topology(options: RedisOptions, context: Context) -> Topology:
    """Return where calls go to; raises ValueError for TLS files that cannot be used."""
    try:
        tls = await asyncio.to_thread(tls_context, options, context.base_dir)
    except OSError as error:
        raise ValueError(f"tls: expected files that can be used; got {error}") from error
    limits = Limits(float(options.timeout), options.max_waiting)
    dialing = Dialing(options, limits, _meters(context.metrics), tls)
    backoff = _backoffs(options, context)
    if options.cluster is not None:
        return Cluster(dialing, backoff, options.cluster)
    if options.sentinel is not None:
        return SentinelPrimary(dialing, backoff(), options.sentinel)
    return Single(dialing, backoff())


def build_subscriptions(options: RedisOptions, context: Context, topology: Topology) -> Subscriptions:
    """Return the listener at the topology's servers."""
    return Subscriptions(options.max_messages, topology.listen, _backoffs(options, context)())


def _backoffs(options: RedisOptions, context: Context) -> Callable[[], Backoff]:
    return lambda: Backoff(float(options.max_backoff), context.random)


def _meters(metrics: Metrics) -> Meters:
    return Meters(
        metrics.counter("meshwright_store_round_trips_total", "Round trips to the store; many calls share one."),
        metrics.histogram("meshwright_store_round_trip_seconds", "How long round trips to the store took."),
    )
