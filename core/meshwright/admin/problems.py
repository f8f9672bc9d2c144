"""Answers that say what went wrong (RFC 9457), for the admin API; the data path has its own."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from meshwright.config.problems import Problem, format_path


class ProblemResponse(JSONResponse):
    """A problem document with a stable `code`."""

    media_type = "application/problem+json"


def problem_response(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> ProblemResponse:
    """Return a problem document; `more` are members beyond those of the RFC."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code}
    return ProblemResponse({**content, "detail": detail, **more}, status, headers)


def as_json(problem: object) -> dict[str, Any]:
    """Return a problem of the configuration as data; `message` is the sentence that people read."""
    if not isinstance(problem, Problem):
        return {"message": str(problem)}
    return {
        "message": str(problem),
        "file": problem.file,
        "line": problem.line,
        "path": format_path(problem.path),
        "expected": problem.expected,
        "got": problem.got,
        "hint": problem.hint,
    }


async def refused(request: Request, error: Exception) -> ProblemResponse:
    """Answer what Starlette refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return problem_response(error.status_code, codes.get(error.status_code, "refused"), detail, headers=error.headers)


async def failed(request: Request, error: Exception) -> ProblemResponse:
    """Answer for a mistake in the code behind a path; the traceback goes to the log alone."""
    return problem_response(500, "internal", f"{request.method} {request.url.path}: an internal error; see the log")
