"""`redirect`: send the client to another URL. Changing what the upstream sees goes into `rewrite`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from meshwright_sdk import CallNext, Context, Filter, Options, Request, Response, UrlTemplate


class RedirectOptions(Options):
    """Where to, and how."""

    to: UrlTemplate | None = Field(
        None, description="The new URL or path, with placeholders: https://new.example.com{path} or /v2/users/{id}."
    )
    https: bool = Field(
        False, description="Instead of `to`: send requests that came by http to the same URL by https, let others pass."
    )
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = Field(
        443, description="With `https`: the port of the https listener as clients see it."
    )
    status: Literal[301, 302, 303, 307, 308] = Field(
        307,
        description="301 and 308 are permanent, 302 and 307 temporary; 307 and 308 keep the method and the content, "
        "303 makes it a GET.",
    )
    keep_query: bool = Field(True, description="Add the query of the request; not where `to` has {query} itself.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.https == (self.to is not None):
            raise ValueError(f"expected one of to and https; got {'both' if self.https else 'neither'}")
        if not self.https and "port" in self.model_fields_set:
            raise ValueError("expected port together with https alone; got it with to")
        return self


class Redirect(Filter[RedirectOptions]):
    """Send the client to another URL, without calling the rest of the chain.

    `to` is a URL or a path. `{path}`, `{host}`, `{query}` and so on come from the request, `{id}` from the route's
    path. No request can turn a path into another host. Requests that arrived by https pass where `https` is on.

    Example:
        filters:
          - redirect: {to: "https://shop.example.com/v2{path}", status: 308}
    """

    def __init__(self, options: RedirectOptions, context: Context) -> None:
        super().__init__(options, context)
        port = "" if options.port == 443 else f":{options.port}"
        to = options.to or UrlTemplate(f"https://{{host}}{port}{{path}}")
        to.check_params(context.match)
        self._to = to
        self._keep_query = options.keep_query and "{query}" not in to.text
        self._only_http = options.https

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        if self._only_http and request.scheme == "https":
            return await call_next(request)
        url, mark, fragment = self._to.render(request).partition("#")
        if self._keep_query and request.query:
            url += ("&" if "?" in url else "?") + request.query
        return Response(self.options.status, {"location": url + mark + fragment})
