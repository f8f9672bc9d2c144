"""`ServiceMaker`: services with balancers and policies, made of the configuration; what they do goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from meshwright.config.model import ServiceConfig
from meshwright.config.plugin_use import Kind, PluginUse
from meshwright.config.problems import KeyPath
from meshwright.net.client_tls import ClientTls
from meshwright.traffic.chooser import Chooser
from meshwright.traffic.part_maker import PartMaker
from meshwright.traffic.parts import Part
from meshwright.traffic.policy_set import PolicySet
from meshwright.traffic.pool import PoolLimits
from meshwright.traffic.service import Service
from meshwright.traffic.snapshot import Upstream

_APART: Mapping[str, object] = {"filters": (), "policies": (), "panic_threshold": 0.0, "balancer": None}
"""What does not count as a change of the service itself: each is a part of its own."""


@dataclass(slots=True)
class ServiceMaker:
    """Makes services, or takes over those that are there; `changes` is what these learn at the commit."""

    maker: PartMaker
    changes: list[Callable[[], None]] = field(default_factory=list)

    def service(self, name: str, config: ServiceConfig) -> Upstream | None:
        """Return the service of that name; what its plugins refuse is noted, and None returned."""
        maker, path, key = self.maker, ("services", name), ("service", name)
        with maker.noting_problems():
            itself = config.model_copy(update=_APART)
            if config.app is not None:
                return maker.part(key, itself, path, lambda part: self._application(name, config))
            discovery = config.discovery or self._static(config)
            fingerprint = (
                itself if config.endpoints is None else itself.model_copy(update={"endpoints": ()}),
                maker.registry.find("discovery", discovery.name).target,
            )
            chooser = self._chooser(name, config, fingerprint)
            service = maker.part(
                key, fingerprint, path, lambda part: self._balanced(name, config, chooser, discovery, part)
            )
            taken_over = maker.took_over(key)
            if taken_over and not maker.took_over(_key_of_chooser(name)):
                chooser.succeed(service)
                self.changes.append(partial(service.choose_by, chooser))
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
        options = self.maker.registry.options_of("discovery", "static")
        assert options is not None
        return PluginUse("static", options.model_validate({"endpoints": config.endpoints or ()}))

    def _chooser(self, name: str, config: ServiceConfig, service: object) -> Chooser:
        """Return the one in use if the balancer and the service, whose fingerprint is given, are what they were."""
        use = config.balancer
        path = ("services", name, "balancer", use.name)
        fingerprint = (service, use, self.maker.registry.find("balancer", use.name).target)

        def make(part: Part) -> Chooser:
            return Chooser(self._build("balancer", use, path, name, part), tasks=part.tasks)

        return self.maker.part(_key_of_chooser(name), fingerprint, path, make)

    def _build(self, kind: Kind, use: PluginUse, path: KeyPath, service: str, part: Part) -> Any:
        context = self.maker.context(path, part, service=service)
        return self.maker.registry.build(kind, use.name, use.checked, context)

    def _balanced(
        self, name: str, config: ServiceConfig, chooser: Chooser, discovery: PluginUse, part: Part
    ) -> Service:
        path = ("services", name, "discovery", discovery.name)
        return Service(
            name,
            chooser=chooser,
            discovery=self._build("discovery", discovery, path, name, part),
            limits=_limits(config),
            metrics=part.metrics,
            clock=self.maker.resources.clock,
            side_work=self.maker.resources.side_work,
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
        policies = [
            self._build("policy", use, ("services", service.name, "policies", index, use.name), service.name, part)
            for index, use in enumerate(config.policies)
        ]
        policy_set = PolicySet(policies, panic_threshold=config.panic_threshold, tasks=part.tasks)
        policy_set.attach(service)
        return policy_set


def _key_of_chooser(service: str) -> tuple[str, str]:
    return "balancer", service


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
