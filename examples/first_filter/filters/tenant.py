"""`tenant`: only known tenants come in; who they are is told by the first part of the host."""

from __future__ import annotations

from pydantic import Field

from meshwright_sdk import CallNext, Filter, Options, Request, Response


class TenantOptions(Options):
    """Who may come in."""

    known: list[str] = Field(description="Names of the tenants.", min_length=1)


class Tenant(Filter[TenantOptions]):
    """Answer 403 to a tenant that is not known; tell the service which one it is otherwise."""

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        """Look at the host `TENANT.example.com`."""
        tenant = request.host.partition(".")[0]
        if tenant not in self.options.known:
            return Response.json({"error": f"no tenant {tenant}"}, status=403)
        request.headers["x-tenant"] = tenant
        return await call_next(request)
