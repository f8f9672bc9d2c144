"""`rewrite`: another path, host or query for the upstream. Sending the client elsewhere goes into `redirect`."""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import quote, unquote_plus

from pydantic import AfterValidator, Field, model_validator

from meshwright_sdk import (
    CallNext,
    Context,
    DownstreamError,
    Filter,
    Options,
    Regex,
    Request,
    Response,
    Template,
    UrlTemplate,
)

_PLAIN = r"[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2}"
_DOTS = r"(?:\.|%2[Ee]){1,2}(?:/|$)"
_PATH = re.compile(rf"(?:/(?!{_DOTS})(?:{_PLAIN})*)+")
_REPLACEMENT = re.compile(rf"(?:/|{_PLAIN}|\\[1-9][0-9]?|\\g<\w+>)*")
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


def _prefix(path: str) -> str:
    if _PATH.fullmatch(path) is None or path.endswith("/"):
        raise ValueError(
            f"expected a path with a slash before it and none behind, such as /api, percent-encoded and without "
            f"dot segments; got {path!r}"
        )
    return path


def _path(template: UrlTemplate) -> UrlTemplate:
    if template.absolute or "?" in template.text or "#" in template.text:
        raise ValueError(f"expected a path such as /v2/users/{{id}}, without host and query; got {template.text!r}")
    if template.constant is not None and _PATH.fullmatch(template.constant) is None:
        raise ValueError(f"expected a path without dot segments; got {template.text!r}")
    return template


def _host(host: str) -> str:
    parts = _HOST.fullmatch(host)
    if parts is None or int(parts[2] or 1) not in range(1, 65536):
        raise ValueError(f"expected a host name, with a port if need be, such as orders.internal:8080; got {host!r}")
    return host


Prefix = Annotated[str, AfterValidator(_prefix)]


class Replacement(Options):
    """A replacement of every part of the path that a regular expression matches."""

    pattern: Regex = Field(
        description="Python's regular expression, searched for in the percent-encoded path; ^ and $ tie it to the ends."
    )
    to: str = Field(description=r"What each match is replaced by; \1 or \g<name> put a group in.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if _REPLACEMENT.fullmatch(self.to) is None:
            raise ValueError(
                rf"expected a percent-encoded path in which \1 or \g<name> are groups; got to: {self.to!r}"
            )
        try:
            re.sub(self.pattern, self.to, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"expected groups that the pattern has ({error}); got {self.to!r}") from None
        return self


class Query(Options):
    """The changes of the query."""

    set: dict[str, Template] = Field({}, description="Parameters that get this one value, with placeholders.")
    remove: list[str] = Field([], description="Parameters to take away.")


class RewriteOptions(Options):
    """What is changed; all of it is optional."""

    strip_prefix: Prefix | None = Field(
        None, description="Take this away where the path starts with it, by whole segments; other paths stay."
    )
    add_prefix: Prefix | None = Field(None, description="Put this before the path, after `strip_prefix`.")
    path: Annotated[UrlTemplate, AfterValidator(_path)] | None = Field(
        None, description="The new path, with placeholders: {id} is a parameter of the route's path."
    )
    regex: Replacement | None = Field(None, description="Replace what a regular expression matches in the path.")
    host: Annotated[str, AfterValidator(_host)] | None = Field(
        None, description="The host that the upstream is asked for, with a port if need be."
    )
    query: Query = Field(Query(), description="Changes of the query; parameters that are not named stay as they are.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        prefixes = self.strip_prefix is not None or self.add_prefix is not None
        if [prefixes, self.path is not None, self.regex is not None].count(True) > 1:
            raise ValueError("expected one of path, regex and strip_prefix with add_prefix; got several")
        return self


class Rewrite(Filter[RewriteOptions]):
    r"""Change the path, the host or the query that the upstream sees; the client notices nothing.

    The route was chosen before and stays. The path remains percent-encoded: what is put in from `{id}` is encoded
    again, so it never adds a segment, and a request whose new path would hold dot segments or broken escapes gets
    400. Prefixes are whole segments: `strip_prefix: /api` makes `/orders` of `/api/orders` and `/` of `/api`, and
    leaves `/apis` alone.

    Example:
        filters:
          - rewrite: {strip_prefix: /api, add_prefix: /v2, host: orders.internal}
          - rewrite: {regex: {pattern: '^/shop/([^/]+)/cart$', to: '/carts/\1'}}
          - rewrite: {path: "/internal/users/{id}", query: {set: {tenant: "{header:x-tenant}"}, remove: [debug]}}
    """

    def __init__(self, options: RewriteOptions, context: Context) -> None:
        super().__init__(options, context)
        templates = [*options.query.set.values(), *([options.path] if options.path else [])]
        for template in templates:
            template.check_params(context.match)
        self._regex = re.compile(options.regex.pattern) if options.regex else None
        self._replacement = options.regex.to if options.regex else ""
        self._strip = options.strip_prefix or ""
        self._add = options.add_prefix or ""
        self._path = options.path
        host = _HOST.fullmatch(options.host or "")
        self._host, self._name = (host[0].encode("ascii"), host[1].lower()) if host else (b"", "")
        self._set = tuple((quote(name, safe=""), value) for name, value in options.query.set.items())
        self._dropped = frozenset((*options.query.set, *options.query.remove))

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        query = self._new_query(request) if self._dropped else request.query
        request.path = self._new_path(request)
        request.query = query
        if self._host:
            request.headers.set_bytes(b"host", self._host)
            request.host = self._name
        return await call_next(request)

    def _new_path(self, request: Request) -> str:
        if self._path is not None:
            return _checked(self._path.render(request))
        if self._regex is not None:
            path = self._regex.sub(self._replacement, request.path)
            return _checked(path if path.startswith("/") else f"/{path}")
        return self._add + _without_prefix(request.path, self._strip) or "/"

    def _new_query(self, request: Request) -> str:
        """Return the query with the named parameters dropped, then those that are set; the rest is not touched."""
        kept = [part for part in request.query.split("&") if part and _name_of(part) not in self._dropped]
        set_ = [f"{name}={quote(value.render(request), safe='', errors='replace')}" for name, value in self._set]
        return "&".join([*kept, *set_])


def _without_prefix(path: str, prefix: str) -> str:
    """Return what follows `prefix`, nothing or a slash and more; all of `path` when its segments are others."""
    rest = path.removeprefix(prefix)
    return rest if rest[:1] in ("", "/") else path


def _name_of(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def _checked(path: str) -> str:
    """Return `path`; raises DownstreamError for one that an upstream may resolve (RFC 3986, section 5.2.4)."""
    if _PATH.fullmatch(path) is None:
        raise DownstreamError("path: expected no dot segments or broken escapes after the rewrite; got some")
    return path
