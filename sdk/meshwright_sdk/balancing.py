"""`Instance`, `Endpoint` and `Balancer`: where a request may go and who chooses; connections go elsewhere."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from meshwright_sdk.attempt import AttemptObserver
from meshwright_sdk.plugin import O_co, Plugin
from meshwright_sdk.request import Request

_DEFAULT_PORTS = {"http": 80, "https": 443}
_USER = re.compile(r"//.*@")
_HOST = re.compile(r"[a-z0-9._~:%-]+")
_LONGEST_LABEL, _LONGEST_NAME = 63, 253  # RFC 1035, section 2.3.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One running copy of a service, as discovery reports or registers it.

    `url` is `http://host:port`, `https://host:port` or `unix:/path`; an IPv6 host is in brackets.
    """

    url: str
    weight: int = 1
    zone: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the instance; raises ValueError with what was expected and what came."""
        if self.weight < 0:
            raise ValueError(f"weight: expected 0 or more; got {self.weight}")
        parse_origin(self.url)


@dataclass(frozen=True, slots=True)
class Origin:
    """The parts of an instance's URL that a connection needs; `path` is set for a Unix socket only."""

    scheme: str
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The Host header's value for this origin (RFC 9110, section 7.2)."""
        if self.path:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@lru_cache(maxsize=4096)
def parse_origin(url: str) -> Origin:
    """Return the parts of an instance's URL; raises ValueError with what was expected and what came.

    What came is told without its user information, which may be a password.
    """
    if not url.isprintable():
        raise _unlike(url)
    if url.startswith("unix:/"):
        return Origin("http", "localhost", 80, url.removeprefix("unix:"))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port  # which urllib reads anew each time
    except ValueError:
        raise _unlike(url) from None
    if parts.scheme not in _DEFAULT_PORTS or not host or parts.path.strip("/") or _USER.search(url) is not None:
        raise _unlike(url)
    if not host.isascii():
        raise _unlike(url, "http://host:port with a host in ASCII, where other letters are written as xn--")
    if parts.query or parts.fragment or port == 0 or _HOST.fullmatch(host) is None:
        raise _unlike(url)
    if not _is_encodable(host):
        raise _unlike(url, f"a host with labels of 1 to {_LONGEST_LABEL} characters, {_LONGEST_NAME} in all")
    return Origin(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


def _unlike(url: str, expected: str = "http://host:port, https://host:port or unix:/path") -> ValueError:
    """Return what is wrong, without user information."""
    return ValueError(f"url: expected {expected}; got {_USER.sub('//***@', url)!r}")


def _is_encodable(host: str) -> bool:
    """Return whether the name can be asked for in the DNS; its one last dot is none of its characters."""
    name = host.removesuffix(".")
    return len(name) <= _LONGEST_NAME and all(0 < len(label) <= _LONGEST_LABEL for label in name.split("."))


class Endpoint:
    """A live endpoint of a service: its instance, and the counts that balancers and filters read.

    `in_flight` counts requests whose response's life has not ended. `weight` is the instance's, times what policies
    say: `factors` by the name of each, as `ejections` are the reasons why it is out, and `approvals` who has found it
    well. `unit` is the weight that stands for 1, more while somebody has a factor. All of these are changed by the
    service's `EndpointGroup` alone.
    """

    __slots__ = (
        "__weakref__",
        "approvals",
        "ejections",
        "factors",
        "in_flight",
        "instance",
        "origin",
        "requests",
        "unit",
        "weight",
    )

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.origin = parse_origin(instance.url)
        self.weight = instance.weight
        self.unit = 1
        self.in_flight = 0
        self.requests = 0
        self.ejections: Mapping[str, str] = {}
        self.factors: Mapping[str, float] = {}
        self.approvals: frozenset[str] = frozenset()

    @property
    def url(self) -> str:
        """The instance's URL."""
        return self.instance.url

    @property
    def share(self) -> float:
        """The weight in units of the instances', which stays when another endpoint gets a factor."""
        return self.weight / self.unit

    @property
    def health(self) -> str:
        """What policies say of it: `ejected`, `healthy` when one has found it well, or `unchecked`."""
        return "ejected" if self.ejections else "healthy" if self.approvals else "unchecked"

    def __repr__(self) -> str:
        return f"<Endpoint {self.instance.url}>"


class Balancer(Plugin[O_co], AttemptObserver):
    """Chooses an endpoint for each attempt; one instance for each service and worker.

    It learns of endpoints and attempts by `added`, `removed`, `began` and `ended`, as far as it defines them.
    """

    async def warm_up(self, endpoints: Sequence[Endpoint]) -> None:
        """Compute what picks from `endpoints`, one or more, will need; raises to refuse the configuration.

        Called after `start` and before the first pick, unless discovery is late with its first list. Computing for
        long belongs into `context.side_work`. Picks may begin with another list.
        """

    @abstractmethod
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        """Return one of `endpoints`, or None when none will do. Synchronous; never waits, allocates next to nothing.

        The same sequence object, never altered, is passed until the service's endpoints or their weights change:
        whoever changes `Endpoint.weight` at run time has the service pass a new one, so that what was computed
        from the weights can be kept as long as the object. A retry may pass a part of it, once. Endpoints of
        weight 0 get no traffic while another has more.
        """


AnyBalancer = Balancer[Any]
