"""`ServiceMaker`: services with their policies, made of the configuration; what they do goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from meshwright.config.model import ServiceConfig
from meshwright.config.plugin_use import Kind, PluginUse
from meshwright.net.client_tls import ClientTls
from meshwright.traffic.part_maker import PartMaker
from meshwright.traffic.parts import Part
from meshwright.traffic.policy_set import PolicySet
from meshwright.traffic.pool import PoolLimits
from meshwright.traffic.service import Service
from meshwright.traffic.snapshot import Upstream


@dataclass(slots=True)
class ServiceMaker:
    """Makes services, or takes over those that are there; `changes` is what these learn at the commit."""

    maker: PartMaker
    changes: list[Callable[[], None]] = field(default_factory=list)

    def service(self, name: str, config: ServiceConfig) -> Upstream | None:
        """Return the service of that name; what its plugins refuse is noted, and None returned."""
        maker, path, key = self.maker, ("services", name), ("service", name)
        with maker.noting_problems():
            # Filters and policies are parts of their own.
            itself = config.model_copy(update={"filters": (), "policies": (), "panic_threshold": 0.0})
            if config.app is not None:
                return maker.part(key, itself, path, lambda part: self._application(name, config))
            discovery = config.discovery or self._static(config)
            fingerprint = (
                itself if config.endpoints is None else itself.model_copy(update={"endpoints": ()}),
                maker.registry.find("balancer", config.balancer.name).target,
                maker.registry.find("discovery", discovery.name).target,
            )
            service = maker.part(key, fingerprint, path, lambda part: self._balanced(name, config, discovery, part))
            taken_over = maker.took_over(key)
            self._give_policies(service, config, taken_over)
            if config.endpoints is not None and taken_over:
                # One that is taken over uses them from the commit on; a new one learns them by its discovery.
                instances = [endpoint.instance() for endpoint in config.endpoints]
                self.changes.append(partial(service.update, instances))
            return service
        return None

    def _application(self, name: str, config: ServiceConfig) -> Upstream:
        from meshwright.asgi.service import AsgiService

        base_dir = self.maker.config.document.base_dir
        return AsgiService(name, config.app or "", base_dir=base_dir, response_timeout_s=config.response_timeout)

    def _static(self, config: ServiceConfig) -> PluginUse:
        """Return the use of discovery that a list of endpoints in the service stands for."""
        endpoints = [endpoint.model_dump() for endpoint in config.endpoints or ()]
        options = self.maker.registry.options_of("discovery", "static")
        assert options is not None
        return PluginUse("static", options.model_validate({"endpoints": endpoints}))

    def _balanced(self, name: str, config: ServiceConfig, discovery: PluginUse, part: Part) -> Service:
        def build(kind: Kind, use: PluginUse) -> Any:
            context = self.maker.context(("services", name, kind, use.name), part, service=name)
            return self.maker.registry.build(kind, use.name, use.checked, context)

        return Service(
            name,
            balancer=build("balancer", config.balancer),
            discovery=build("discovery", discovery),
            limits=_limits(config),
            metrics=part.metrics,
            clock=self.maker.resources.clock,
            host=config.host,
            tls=ClientTls(config.tls, self.maker.config.document.base_dir),
        )

    def _give_policies(self, service: Service, config: ServiceConfig, taken_over: bool) -> None:
        """Give a service its policies: a new one at once, one that is taken over at the commit if they are new."""
        key = ("policies", service.name)
        path = ("services", service.name, "policies")
        if not config.policies and not service.policies:
            return
        policy_set = PolicySet()
        if config.policies:
            targets = (self.maker.registry.find("policy", use.name).target for use in config.policies)
            fingerprint = (service, config.policies, config.panic_threshold, *targets)
            policy_set = self.maker.part(key, fingerprint, path, lambda part: self._policy_set(service, config, part))
        if not taken_over:
            service.use(policy_set)
        elif not config.policies or not self.maker.took_over(key):
            self.changes.append(partial(service.use, policy_set))

    def _policy_set(self, service: Service, config: ServiceConfig, part: Part) -> PolicySet:
        def build(index: int, use: PluginUse) -> Any:
            path = ("services", service.name, "policies", index, use.name)
            context = self.maker.context(path, part, service=service.name)
            return self.maker.registry.build("policy", use.name, use.checked, context)

        policies = [build(index, use) for index, use in enumerate(config.policies)]
        policy_set = PolicySet(policies, panic_threshold=config.panic_threshold, tasks=part.tasks)
        policy_set.attach(service)
        return policy_set


def _limits(config: ServiceConfig) -> PoolLimits:
    return PoolLimits(
        max_connections=config.pool.max_connections,
        max_idle=config.pool.max_idle,
        max_pending=config.pool.max_pending,
        idle_timeout_s=config.pool.idle_timeout,
        connect_timeout_s=config.connect_timeout,
        first_byte_timeout_s=config.response_timeout,
        body_idle_timeout_s=config.idle_timeout,
    )
