"""What a plugin author imports, and nothing else: the contracts between the gateway and its plugins."""

from meshwright_sdk.attempt import Attempt, AttemptObserver
from meshwright_sdk.balancing import Balancer, Endpoint, Instance, Origin, parse_origin
from meshwright_sdk.body import Body
from meshwright_sdk.breaker import Breaker, BreakerRules
from meshwright_sdk.breaker_metrics import BreakerMetrics
from meshwright_sdk.breaker_options import BreakerOptions
from meshwright_sdk.channels import Channels, Subscription
from meshwright_sdk.clock import Alarm, Clock, SystemClock
from meshwright_sdk.discovery import Discovery
from meshwright_sdk.draws import Draws, Pair
from meshwright_sdk.endpoint_group import EndpointGroup
from meshwright_sdk.entries import Entries
from meshwright_sdk.errors import (
    AbortError,
    BodyTooLargeError,
    CircuitOpenError,
    ClientGoneError,
    ConfigError,
    ConnectError,
    DeadlineError,
    DownstreamError,
    MeshwrightError,
    NoEndpointsError,
    NoRouteError,
    OverloadError,
    PluginError,
    ProtocolError,
    ResetError,
    StoreError,
    TooManyRequestsError,
    UpstreamError,
    UpstreamTimeoutError,
)
from meshwright_sdk.fields import HeaderFields, HeaderName, HeaderValue, add_member
from meshwright_sdk.filters import CallNext, Filter, FilterCall, filter
from meshwright_sdk.fixed_answer import FixedAnswer
from meshwright_sdk.headers import Headers
from meshwright_sdk.hooks import hookimpl
from meshwright_sdk.identity import Identity
from meshwright_sdk.import_path import ImportPath, imported
from meshwright_sdk.instance_options import InstanceOptions, InstanceOrUrl, Weight
from meshwright_sdk.key import Expression, Key
from meshwright_sdk.keyed import KeyedBalancer, KeyedOptions, KeyTable, hash_of, identities
from meshwright_sdk.limit_fields import LimitFields
from meshwright_sdk.limits import SlidingWindow, Taken, TokenBucket
from meshwright_sdk.methods import IDEMPOTENT, SAFE, Method
from meshwright_sdk.metrics import Counter, Gauge, Histogram, Metrics
from meshwright_sdk.plugin import Context, NoOptions, Options, Plugin
from meshwright_sdk.policy import EndpointPolicy, WatchedService
from meshwright_sdk.prepared import PreparedBalancer
from meshwright_sdk.priority import Priority
from meshwright_sdk.problems import headers_of, problem
from meshwright_sdk.pulse import Pulse
from meshwright_sdk.quantile import RollingQuantile
from meshwright_sdk.regex import Regex
from meshwright_sdk.relay import Relay
from meshwright_sdk.request import Address, Request
from meshwright_sdk.request_target import RequestTarget, request_for
from meshwright_sdk.response import Response, Tunnel
from meshwright_sdk.retry_budget import RetryBudget
from meshwright_sdk.retry_budget_options import RetryBudgetOptions, RetryBudgetOrShare
from meshwright_sdk.rolling import RollingCounts
from meshwright_sdk.rounds import Rounds
from meshwright_sdk.routing import FieldMatch, Match, Route, Router, Verdict
from meshwright_sdk.service_name import ServiceName
from meshwright_sdk.shorthand import OneOrMany, TextFor
from meshwright_sdk.side_work import SideWork
from meshwright_sdk.sources import ConfigDocument, ConfigSource
from meshwright_sdk.statuses import Statuses, StatusOrClass, every_status
from meshwright_sdk.store import Store
from meshwright_sdk.tasks import Tasks
from meshwright_sdk.tee import tee
from meshwright_sdk.template import Template
from meshwright_sdk.timeouts import TimeBound, Timeouts, Timer
from meshwright_sdk.units import Duration, Percent, PositiveDuration, PositivePercent, Rate, Secret, Size
from meshwright_sdk.url_template import UrlTemplate
from meshwright_sdk.vary import variant_of, varies_with
from meshwright_sdk.weights import SmoothBalancer, SmoothWeights, effective_weights

__all__ = [
    "IDEMPOTENT",
    "SAFE",
    "AbortError",
    "Address",
    "Alarm",
    "Attempt",
    "AttemptObserver",
    "Balancer",
    "Body",
    "BodyTooLargeError",
    "Breaker",
    "BreakerMetrics",
    "BreakerOptions",
    "BreakerRules",
    "CallNext",
    "Channels",
    "CircuitOpenError",
    "ClientGoneError",
    "Clock",
    "ConfigDocument",
    "ConfigError",
    "ConfigSource",
    "ConnectError",
    "Context",
    "Counter",
    "DeadlineError",
    "Discovery",
    "DownstreamError",
    "Draws",
    "Duration",
    "Endpoint",
    "EndpointGroup",
    "EndpointPolicy",
    "Entries",
    "Expression",
    "FieldMatch",
    "Filter",
    "FilterCall",
    "FixedAnswer",
    "Gauge",
    "HeaderFields",
    "HeaderName",
    "HeaderValue",
    "Headers",
    "Histogram",
    "Identity",
    "ImportPath",
    "Instance",
    "InstanceOptions",
    "InstanceOrUrl",
    "Key",
    "KeyTable",
    "KeyedBalancer",
    "KeyedOptions",
    "LimitFields",
    "Match",
    "MeshwrightError",
    "Method",
    "Metrics",
    "NoEndpointsError",
    "NoOptions",
    "NoRouteError",
    "OneOrMany",
    "Options",
    "Origin",
    "OverloadError",
    "Pair",
    "Percent",
    "Plugin",
    "PluginError",
    "PositiveDuration",
    "PositivePercent",
    "PreparedBalancer",
    "Priority",
    "ProtocolError",
    "Pulse",
    "Rate",
    "Regex",
    "Relay",
    "Request",
    "RequestTarget",
    "ResetError",
    "Response",
    "RetryBudget",
    "RetryBudgetOptions",
    "RetryBudgetOrShare",
    "RollingCounts",
    "RollingQuantile",
    "Rounds",
    "Route",
    "Router",
    "Secret",
    "ServiceName",
    "SideWork",
    "Size",
    "SlidingWindow",
    "SmoothBalancer",
    "SmoothWeights",
    "StatusOrClass",
    "Statuses",
    "Store",
    "StoreError",
    "Subscription",
    "SystemClock",
    "Taken",
    "Tasks",
    "Template",
    "TextFor",
    "TimeBound",
    "Timeouts",
    "Timer",
    "TokenBucket",
    "TooManyRequestsError",
    "Tunnel",
    "UpstreamError",
    "UpstreamTimeoutError",
    "UrlTemplate",
    "Verdict",
    "WatchedService",
    "Weight",
    "add_member",
    "effective_weights",
    "every_status",
    "filter",
    "hash_of",
    "headers_of",
    "hookimpl",
    "identities",
    "imported",
    "parse_origin",
    "problem",
    "request_for",
    "tee",
    "variant_of",
    "varies_with",
]
