"""What the admin API does on request: reload, explain, act; what it shows goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from meshwright.admin.problems import as_json, problem_response
from meshwright.processes.control import Control, Reason
from meshwright_sdk.tokens import TOKEN

MAX_BODY_BYTES = 256 * 1024
BODY_S = 10.0
MAX_HEAD_CHARACTERS = 64 * 1024
"""Of URL and headers together, as no client of a listener can send more; patterns are matched against them."""

_REJECTED: Mapping[Reason, tuple[int, str, str]] = {
    "configuration": (422, "configuration", "the configuration is wrong"),
    "draining": (503, "draining", "the gateway is stopping"),
    "workers": (503, "worker_lost", "a worker did not answer or has ended; try again"),
}


class ExplainRequest(BaseModel):
    """A request that is only thought of. A header that comes several times is written as pairs."""

    model_config = ConfigDict(extra="forbid")

    method: str = Field("GET", pattern=f"^{TOKEN.pattern}$", description="Method, in capitals.")
    url: str = Field(description="Absolute URL, or a path.")
    headers: dict[str, str] | list[tuple[str, str]] = Field({}, description="Headers by name, or pairs.")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The headers as pairs."""
        return list(self.headers.items()) if isinstance(self.headers, dict) else self.headers

    @property
    def size(self) -> int:
        """The length of URL and headers."""
        return len(self.url) + sum(len(name) + len(value) for name, value in self.pairs)


async def reload(request: Request) -> JSONResponse:
    """Read the configuration again; 200 with the version in use, or 422 with every problem.

    503 when it is not the configuration that keeps it from being used.
    """
    control: Control = request.app.state.control
    outcome = await control.reload("asked for at the admin API")
    if outcome.result == "rejected":
        status, code, why = _REJECTED[outcome.reason]
        problems = [as_json(problem) for problem in outcome.problems]
        detail = f"{why}; version {outcome.version} goes on"
        return problem_response(status, code, detail, version=outcome.version, problems=problems)
    return JSONResponse({"result": outcome.result, "version": outcome.version})


class ActRequest(BaseModel):
    """What a plugin is to do."""

    model_config = ConfigDict(extra="forbid")

    use: str = Field(description="Which plugin where, as /api/state names it.")
    action: str = Field(description="One of its actions.")
    arguments: dict[str, str] = Field({}, description="What the action needs to know.")


Asked = TypeVar("Asked", bound=BaseModel)
Answer = Callable[[Control, Asked], Awaitable[JSONResponse]]


async def explain(request: Request) -> JSONResponse:
    """Tell what would become of a request, without sending anything."""
    return await _answer(request, ExplainRequest, "{method, url, headers}", _explain)


async def act(request: Request) -> JSONResponse:
    """Have a plugin do something in every worker."""
    return await _answer(request, ActRequest, "{use, action, arguments}", _act)


async def _explain(control: Control, asked: ExplainRequest) -> JSONResponse:
    if asked.size > MAX_HEAD_CHARACTERS:
        detail = f"url, headers: expected at most {MAX_HEAD_CHARACTERS} characters together; got {asked.size}"
        return problem_response(413, "head_too_large", detail)
    return JSONResponse(await control.fleet.explain(asked.method, asked.url, asked.pairs))


async def _act(control: Control, asked: ActRequest) -> JSONResponse:
    await control.act(asked.use, asked.action, asked.arguments)
    return JSONResponse({"use": asked.use, "action": asked.action})


async def _answer(request: Request, model: type[Asked], form: str, answer: Answer[Asked]) -> JSONResponse:
    """Return what `answer` says to the body, or the problem with either."""
    try:
        async with asyncio.timeout(BODY_S):
            body = await _body(request)
    except TimeoutError:
        return problem_response(408, "body_too_slow", f"body: expected all of it within {BODY_S:g} s")
    if body is None:
        return problem_response(413, "body_too_large", f"body: expected at most {MAX_BODY_BYTES} bytes; got more")
    try:
        return await answer(request.app.state.control, model.model_validate_json(body))
    except ValidationError as error:
        problems = [{"message": _sentence(each["loc"], each["msg"])} for each in error.errors()]
        return problem_response(422, "bad_request", f"expected {form} as JSON", problems=problems)
    except ValueError as error:
        return problem_response(422, "bad_request", str(error))
    except (ConnectionError, TimeoutError):
        return problem_response(503, "no_worker", "no worker answers at this moment")


async def _body(request: Request) -> bytes | None:
    """Return the body, or None when it is longer than it may be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place)) or 'body'}: {message}"
