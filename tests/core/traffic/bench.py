"""`Bench`: a gateway without listeners and with one service, whose plugins know what becomes of them in a reload."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshwright.traffic.gateway import Gateway
from meshwright.traffic.service import Service
from meshwright_sdk import ConfigDocument
from meshwright_sdk.testing import make_request

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PLUGINS = '''
import asyncio

from meshwright_sdk import Balancer, EndpointPolicy, Filter, Options

class JudgeOptions(Options):
    """Options of `judge`."""
    word: str = "a"
    refused: bool = False
    fails: str = ""

class Judge(EndpointPolicy[JudgeOptions]):
    """Knows its life and its endpoints."""

    def __init__(self, options, context):
        super().__init__(options, context)
        self.life = []
        self.endpoints = []
        if options.refused:
            raise ValueError("word: expected another; got this")

    async def start(self):
        self.life.append("start")
        if self.options.fails:
            raise OSError(self.options.fails)

    async def close(self):
        self.life.append("close")

    def added(self, endpoint):
        self.endpoints.append(endpoint)

class Second(Judge):
    """Another one."""

class First(Balancer[JudgeOptions]):
    """Takes the first, knows its life, and has work in the background."""

    def __init__(self, options, context):
        super().__init__(options, context)
        self.life = []
        if options.refused:
            raise ValueError("word: expected another; got this")

    async def start(self):
        self.life.append("start")
        self.context.tasks.spawn(asyncio.Event().wait(), name="work")
        if self.options.fails:
            raise OSError(self.options.fails)

    async def close(self):
        self.life.append("close")

    async def warm_up(self, endpoints):
        self.life.append(["warm up", *endpoints])

    def added(self, endpoint):
        self.life.append(["added", endpoint])

    def removed(self, endpoint):
        self.life.append(["removed", endpoint])

    def ended(self, attempt):
        self.life.append("ended")

    def pick(self, endpoints, request):
        return endpoints[0] if endpoints else None

class Stamp(Filter[JudgeOptions]):
    """Puts its word on answers, and counts."""
    count = 0

    async def __call__(self, request, call_next):
        self.count += 1
        assert (self.context.service, self.context.route) == ("shop", None)
        response = await call_next(request)
        response.headers["x-stamp"] = response.headers.get("x-stamp", "") + self.options.word + str(self.count)
        return response
'''


class Bench:
    """A gateway without listeners, with one service."""

    def __init__(self, folder: Path, *urls: str) -> None:
        self.folder = folder
        (folder / "judge.py").write_text(PLUGINS)
        self.gateway = Gateway()
        self.urls = urls
        self.version = 0

    def document(self, more: str) -> ConfigDocument:
        endpoints = ", ".join(f'"{url}"' for url in self.urls)
        text = f"""
plugins: [./judge.py]
routes: [{{name: one, match: {{path: /one}}, to: shop}}, {{name: two, to: shop}}]
services: {{shop: {{endpoints: [{endpoints}], {more}}}}}
"""
        return ConfigDocument(text=text, name="gateway.yaml", base_dir=self.folder)

    async def apply(self, more: str) -> None:
        self.version += 1
        await self.gateway.commit(await self.gateway.prepare(self.document(more), self.version))

    @property
    def service(self) -> Service:
        assert self.gateway.snapshot is not None
        service = self.gateway.snapshot.services["shop"]
        assert isinstance(service, Service)
        return service

    @property
    def balancer(self) -> Any:
        return self.service.balancer

    @property
    def policies(self) -> tuple[Any, ...]:
        return self.service.policies

    async def stamp(self, path: str = "/") -> str:
        response = await self.gateway.handle(make_request(url=path))
        response.settle()
        assert response.status == 200
        return response.headers["x-stamp"]
