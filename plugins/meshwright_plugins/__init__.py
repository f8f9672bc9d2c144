"""The built-in policies, each written with the SDK alone; here they are only listed, and imported when used."""

from __future__ import annotations

from collections.abc import Mapping

from meshwright_sdk import hookimpl


@hookimpl
def meshwright_filters() -> Mapping[str, str]:
    return {
        "asgi": "meshwright_plugins.filters.asgi:Asgi",
        "body_limit": "meshwright_plugins.filters.body_limit:BodyLimit",
        "cache": "meshwright_plugins.filters.cache:Cache",
        "circuit_breaker": "meshwright_plugins.filters.circuit_breaker:CircuitBreaker",
        "compress": "meshwright_plugins.filters.compress:Compress",
        "concurrency": "meshwright_plugins.filters.concurrency:Concurrency",
        "cors": "meshwright_plugins.filters.cors:Cors",
        "fallback": "meshwright_plugins.filters.fallback:Fallback",
        "fault": "meshwright_plugins.filters.fault:Fault",
        "headers": "meshwright_plugins.filters.headers:EditHeaders",
        "mirror": "meshwright_plugins.filters.mirror:Mirror",
        "overload": "meshwright_plugins.filters.overload:Overload",
        "priority": "meshwright_plugins.filters.priority:PriorityOf",
        "quota": "meshwright_plugins.filters.quota:Quota",
        "rate_limit": "meshwright_plugins.filters.rate_limit:RateLimit",
        "hedge": "meshwright_plugins.filters.hedge:Hedge",
        "redirect": "meshwright_plugins.filters.redirect:Redirect",
        "request_id": "meshwright_plugins.filters.request_id:RequestId",
        "respond": "meshwright_plugins.filters.respond:Respond",
        "retry": "meshwright_plugins.filters.retry:Retry",
        "rewrite": "meshwright_plugins.filters.rewrite:Rewrite",
        "timeout": "meshwright_plugins.filters.timeout:Timeout",
    }


@hookimpl
def meshwright_routers() -> Mapping[str, str]:
    return {
        "table": "meshwright_plugins.routers.table:Table",
    }


@hookimpl
def meshwright_balancers() -> Mapping[str, str]:
    return {
        "least_connections": "meshwright_plugins.balancers.least_connections:LeastConnections",
        "locality": "meshwright_plugins.balancers.locality:Locality",
        "maglev": "meshwright_plugins.balancers.maglev:Maglev",
        "peak_ewma": "meshwright_plugins.balancers.peak_ewma:PeakEwma",
        "random": "meshwright_plugins.balancers.random:Random",
        "ring_hash": "meshwright_plugins.balancers.ring_hash:RingHash",
        "round_robin": "meshwright_plugins.balancers.round_robin:RoundRobin",
        "subset": "meshwright_plugins.balancers.subset:Subset",
        "two_choices": "meshwright_plugins.balancers.two_choices:TwoChoices",
        "weighted_round_robin": "meshwright_plugins.balancers.weighted_round_robin:WeightedRoundRobin",
    }


@hookimpl
def meshwright_policies() -> Mapping[str, str]:
    return {
        "endpoint_breaker": "meshwright_plugins.policies.endpoint_breaker:EndpointBreaker",
        "health_check": "meshwright_plugins.policies.health_check:HealthCheck",
        "load_weights": "meshwright_plugins.policies.load_weights:LoadWeights",
        "slow_start": "meshwright_plugins.policies.slow_start:SlowStart",
        "outlier": "meshwright_plugins.policies.outlier:Outlier",
    }


@hookimpl
def meshwright_discoveries() -> Mapping[str, str]:
    return {
        "dns": "meshwright_plugins.discovery.dns:Dns",
        "static": "meshwright_plugins.discovery.static:Static",
    }


@hookimpl
def meshwright_stores() -> Mapping[str, str]:
    return {
        "memory": "meshwright_plugins.stores.memory:Memory",
        "redis": "meshwright_plugins.stores.redis:Redis",
    }


@hookimpl
def meshwright_config_sources() -> Mapping[str, str]:
    return {
        "file": "meshwright_plugins.config_sources.file:File",
    }
