"""The models of the YAML. Rules between values of different places are in `checks`; building is in nobody's here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from meshwright.config.bind import Bind
from meshwright.config.plugin_use import OfKind, PluginUse
from meshwright.config.texts import (
    FileMode,
    HeaderName,
    HostName,
    HostPattern,
    ImportPath,
    Method,
    Name,
    PathPattern,
    TlsVersion,
    Token,
)
from meshwright.config.way_texts import ServiceHost, TrustedProxy, ViaName
from meshwright_sdk import (
    Duration,
    FieldMatch,
    InstanceOrUrl,
    Match,
    OneOrMany,
    Options,
    Percent,
    PositiveDuration,
    Regex,
    Secret,
    Size,
    TextFor,
    Weight,
)

FilterUse = Annotated[PluginUse, OfKind("filter")]


class _Config(Options):
    """Base of the models, which are as strict as the options of plugins."""


class CertificateConfig(_Config):
    """A certificate and its key, as files in PEM; relative paths start at the configuration's folder."""

    certificate: str = Field(description="File with the certificate and those that lead to its authority, in PEM.")
    key: str | None = Field(None, description="File with the private key, in PEM; the certificate's when left out.")


class TlsConfig(_Config):
    """The certificates of a listener, one or several, and what it asks of clients; all files are in PEM."""

    certificate: str | None = Field(None, description="File with the certificate chain, where there is only one.")
    key: str | None = Field(None, description="File with its private key; the certificate's when left out.")
    certificates: tuple[CertificateConfig, ...] = Field(
        (), description="Certificates, chosen by the name the client asks for; the first where none fits."
    )
    min_version: TlsVersion = Field("1.2", description="Oldest version of TLS that is spoken.")
    client_ca: str | None = Field(None, description="File with the authorities that clients' certificates are from.")
    client_certificate: Literal["require", "request"] = Field(
        "require", description="With client_ca: whether a client without a certificate is refused or served too."
    )

    @property
    def pairs(self) -> tuple[CertificateConfig, ...]:
        """The certificates, however they are written; the first is the default."""
        if self.certificate is None:
            return self.certificates
        return (CertificateConfig(certificate=self.certificate, key=self.key),)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is named."""
        named = (name for pair in self.pairs for name in (pair.certificate, pair.key))
        return tuple(name for name in (*named, self.client_ca) if name is not None)


class PathConfig(_Config):
    """How paths are written in their one normal form, which router, filters and services see."""

    merge_slashes: bool = Field(True, description="Whether several slashes are one: //admin is /admin.")
    encoded_slash: Literal["keep", "refuse", "decode"] = Field(
        "keep", description="What becomes of %2F: kept as it is, refused with 400, or a slash."
    )
    backslash: Literal["keep", "refuse", "slash"] = Field(
        "keep", description="What becomes of a backslash and of %5C: sent on as %5C, refused with 400, or a slash."
    )


class LimitsConfig(_Config):
    """Bounds of what clients may send to a listener, and of the time they may take for it."""

    header_size: Size = Field(
        Size("64KiB"), ge=1024, le=16 * 1024**2, description="A request's head, its first line included; 431 above it."
    )
    headers: int = Field(100, ge=1, le=10_000, description="Header fields of a request; 431 above it.")
    target_length: Size = Field(
        Size("8KiB"), ge=64, le=1024**2, description="The target in a request's first line; 414 above it."
    )
    body_size: Size = Field(
        Size("10GiB"), description="A request's body; 413 above it. The filter body_limit sets less for a route."
    )
    header_timeout: PositiveDuration = Field(
        Duration("30s"), description="How long a head may take, from its first byte; 408 after it."
    )
    idle_timeout: PositiveDuration = Field(
        Duration("75s"),
        description="How long a connection may wait for its next request, or take nothing of an answer.",
    )
    body_timeout: PositiveDuration = Field(
        Duration("60s"), description="How long nothing of a body may come that the gateway wants to read; 408 after it."
    )
    body_rate: Size = Field(
        Size("100B"), ge=1, description="Bytes a second that a body has to come with, on average; 408 below it."
    )
    body_grace: Duration = Field(
        Duration("20s"),
        description="Time of a body, while the gateway wants to read it, that does not count for the rate.",
    )
    half_close_timeout: Duration = Field(
        Duration("1s"),
        description="How long a request goes on, without anything being sent, for a client that has ended its half of "
        "the connection; it may have left. 0s: not at all.",
    )

    @model_validator(mode="after")
    def _target_fits_into_its_head(self) -> Self:
        if "target_length" in self.model_fields_set and self.target_length > self.header_size:
            got = f"{self.target_length}, where header_size is {self.header_size}"
            raise ValueError(f"expected target_length of header_size at most; got {got}")
        return self


class ListenerConfig(_Config):
    """An address that takes requests."""

    name: Name = Field(description="What the listener is called in logs and metrics.")
    bind: Bind = Field(description="host:port, [IPv6]:port or unix:/path; port 0 takes a free one.")
    mode: FileMode | None = Field(
        None, description="Permissions of a Unix socket's file, such as 0660; what the umask leaves when left out."
    )
    tls: TlsConfig | None = Field(None, description="Certificates; the listener speaks plain HTTP without.")
    proxy_protocol: bool = Field(
        False, description="Whether each connection begins with a header of the PROXY protocol, version 1 or 2."
    )
    max_connections: int = Field(
        10_000, ge=1, le=1_000_000, description="Open connections in each worker; one more is closed at once."
    )
    trusted_proxies: Annotated[tuple[TrustedProxy, ...], OneOrMany("an address")] = Field(
        (), description="Addresses and networks whose word on where requests come from is believed; unix: any socket's."
    )
    forwarded: Literal["x-forwarded", "forwarded", "both", "off"] = Field(
        "x-forwarded", description="What tells services where a request comes from: X-Forwarded-*, Forwarded, or none."
    )
    via: ViaName = Field("off", description="Name of this gateway in Via, of requests and responses; off: no Via.")
    path: PathConfig = Field(PathConfig(), description="How paths are normalised.")
    limits: LimitsConfig = Field(LimitsConfig(), description="Bounds of what clients may send.")


class AdminConfig(_Config):
    """Where the admin API listens and who may use it."""

    bind: Bind = Field(
        Bind("127.0.0.1", 9901),
        description="Address of the admin API.",
        json_schema_extra={"default": "127.0.0.1:9901"},
    )
    token: Secret | None = Field(None, description="Bearer token; needed when the address is not a local one.")


class ConditionConfig(_Config):
    """A condition on a header, query parameter or cookie; just a text means `exact`."""

    exact: str | None = Field(None, description="The value has to equal this text.")
    regex: Regex | None = Field(None, description="The whole value has to match this regular expression.")
    present: bool | None = Field(None, description="true: there has to be one; false: there must be none.")

    def of(self, name: str) -> FieldMatch:
        """Return the condition on the field of that name, ready for matching."""
        regex = re.compile(self.regex) if self.regex is not None else None
        return FieldMatch(name=name, exact=self.exact, regex=regex, present=self.present is not False)


Condition = Annotated[ConditionConfig, TextFor("exact", "a text to compare with")]


class MatchConfig(_Config):
    """Which requests a route takes: all conditions have to hold."""

    host: Annotated[tuple[HostPattern, ...], OneOrMany("a host")] = Field(
        (), description="Host or list of hosts; *.example.com takes every host below example.com."
    )
    path: PathPattern | None = Field(None, description="Exact path, prefix (/orders/*) or template (/users/{id}).")
    path_regex: Regex | None = Field(None, description="Regular expression for the whole path, in place of `path`.")
    methods: Annotated[tuple[Method, ...], OneOrMany("a method")] = Field((), description="Methods, in capitals.")
    headers: dict[HeaderName, Condition] = Field({}, description="Conditions on headers, by name.")
    query: dict[str, Condition] = Field({}, description="Conditions on query parameters, by name.")
    cookies: dict[Token, Condition] = Field({}, description="Conditions on cookies, by name.")

    def compiled(self) -> Match:
        """Return the conditions as a router takes them."""
        return Match(
            hosts=self.host,
            path=self.path,
            path_regex=re.compile(self.path_regex) if self.path_regex is not None else None,
            methods=frozenset(self.methods),
            headers=_conditions(self.headers),
            query=_conditions(self.query),
            cookies=_conditions(self.cookies),
        )


class TargetConfig(_Config):
    """A service that a route sends requests to, and its share among the route's services."""

    service: Name = Field(description="Name of the service.")
    weight: Weight = Field(1, description="Share of the requests: this weight by the sum of all weights.")


class StickyConfig(_Config):
    """Keeps a client at the service it was once sent to; exactly one of the two."""

    cookie: Token | None = Field(None, description="Cookie that remembers the service; it is set when missing.")
    header: HeaderName | None = Field(None, description="Header whose value decides the service.")


class RouteConfig(_Config):
    """What is done with the requests that match."""

    name: Name | None = Field(None, description="Name in logs and metrics; route-0, route-1 … when left out.")
    match: MatchConfig = Field(MatchConfig(), description="Which requests; every one when left out.")
    filters: tuple[FilterUse, ...] = Field((), description="Filters of this route, outermost first.")
    to: Annotated[
        tuple[Annotated[TargetConfig, TextFor("service", "a service's name")], ...], OneOrMany("a service's name")
    ] = Field((), description="Service, or list of services with weights; none when a filter answers.")
    sticky: StickyConfig | None = Field(None, description="Keeps clients at one of several services.")


class PoolConfig(_Config):
    """Bounds of the connections to each endpoint, in each worker."""

    max_connections: int = Field(1024, ge=1, le=65_535, description="Open connections at most.")
    max_idle: int = Field(1024, ge=0, le=65_535, description="Connections kept open for later requests at most.")
    idle_timeout: PositiveDuration = Field(Duration("60s"), description="How long a connection is kept for later.")
    max_pending: int = Field(1024, ge=0, le=1_000_000, description="Requests waiting for a connection at most.")


class ServiceTlsConfig(_Config):
    """How https endpoints of a service are spoken to; all files are in PEM."""

    ca: str | None = Field(None, description="File with the authorities to believe, in place of the system's.")
    server_name: HostName | None = Field(
        None, description="Name the endpoints' certificates have to be for; the host of each endpoint's URL else."
    )
    certificate: str | None = Field(None, description="File with the certificate to show to endpoints.")
    key: str | None = Field(None, description="File with its private key; the certificate's when left out.")
    verify: bool = Field(True, description="false: believe whoever answers. For experiments only.")

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is named."""
        return tuple(name for name in (self.ca, self.certificate, self.key) if name is not None)


class ServiceConfig(_Config):
    """Where requests for a service go: to its endpoints, to what discovery finds, or to an ASGI application."""

    endpoints: tuple[InstanceOrUrl, ...] | None = Field(None, description="Endpoints that are known.")
    discovery: Annotated[PluginUse, OfKind("discovery")] | None = Field(None, description="What finds the endpoints.")
    app: ImportPath | None = Field(None, description="ASGI application, such as shop.api:app, run in the gateway.")
    balancer: Annotated[PluginUse, OfKind("balancer")] = Field(
        PluginUse("weighted_round_robin"),
        description="What chooses an endpoint for each request.",
        json_schema_extra={"default": "weighted_round_robin"},
    )
    filters: tuple[FilterUse, ...] = Field(
        (), description="Filters around each attempt at this service, whichever route it is for; outermost first."
    )
    policies: tuple[Annotated[PluginUse, OfKind("policy")], ...] = Field(
        (), description="What takes endpoints out, brings them back and weighs them."
    )
    panic_threshold: Percent = Field(
        Percent("50%"),
        description="All endpoints are used when less of them than this would be left: then the judges err.",
    )
    connect_timeout: PositiveDuration = Field(Duration("5s"), description="How long connecting may take.")
    response_timeout: PositiveDuration = Field(
        Duration("60s"), description="How long the first byte of a response may take, from the request's end."
    )
    idle_timeout: PositiveDuration = Field(
        Duration("60s"), description="How long a body may pause, or an endpoint take nothing of it."
    )
    host: ServiceHost = Field(
        "keep", description="Host that is sent: keep the client's, take the endpoint's of its URL, or the one given."
    )
    tls: ServiceTlsConfig = Field(ServiceTlsConfig(), description="TLS to endpoints whose URL is https.")
    pool: PoolConfig = Field(PoolConfig(), description="Bounds of the connections.")


class GatewayConfig(_Config):
    """The whole configuration."""

    listeners: tuple[ListenerConfig, ...] = Field(
        (ListenerConfig(name="web", bind=Bind("127.0.0.1", 8080)),),
        min_length=1,
        description="Addresses that take requests; 127.0.0.1:8080 when left out.",
    )
    admin: AdminConfig = Field(AdminConfig(), description="The admin API.")
    plugins: tuple[Name, ...] = Field((), description="Plugins of your own: ./file.py or the name of a module.")
    store: Annotated[PluginUse, OfKind("store")] = Field(
        PluginUse("memory"),
        description="Where filters keep what they share.",
        json_schema_extra={"default": "memory"},
    )
    router: Annotated[PluginUse, OfKind("router")] = Field(
        PluginUse("table"),
        description="What finds the route of a request.",
        json_schema_extra={"default": "table"},
    )
    filters: tuple[FilterUse, ...] = Field((), description="Filters of every route, outermost first.")
    routes: tuple[RouteConfig, ...] = Field((), description="Which requests go where.")
    services: dict[Name, ServiceConfig] = Field({}, description="Services by name.")

    @field_validator("routes", mode="after")
    @classmethod
    def _name_the_unnamed(cls, routes: tuple[RouteConfig, ...]) -> tuple[RouteConfig, ...]:
        return tuple(
            route if route.name is not None else route.model_copy(update={"name": f"route-{index}"})
            for index, route in enumerate(routes)
        )


def _conditions(fields: Mapping[str, ConditionConfig]) -> tuple[FieldMatch, ...]:
    return tuple(condition.of(name) for name, condition in fields.items())
