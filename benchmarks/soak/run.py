"""One soak from start to end: warm-up, census at rest, traffic, census at rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from random import Random

from benchmarks.certificate import make_certificate
from benchmarks.contenders.contender import Place
from benchmarks.gateway import Gateway
from benchmarks.scenario import PLAIN
from benchmarks.servers import BenchmarkError, free_port, memory_bytes, program
from benchmarks.soak.census import MIB, PLUGIN, Census, leaks, take_census
from benchmarks.soak.upstream import Upstream
from benchmarks.soak.visitors import Tally, Visitors
from benchmarks.tournament import Cores, Entry, Say, scene, start

VISITORS = 24
WARM_UP_SHARE, WARM_UP_LEAST_S, WARM_UP_MOST_S = 0.3, 3.0, 30.0
REST_LIMIT_S = 20.0
RELOAD_EVERY_S = 5.0
TELL_EVERY = 4

CONFIGURATION = """
listeners:
  - {{name: web, bind: "127.0.0.1:{port}"}}
  - {{name: secure, bind: "127.0.0.1:{secure_port}", tls: {{certificate: {certificate}, key: {certificate}}}}}
admin: {{bind: "127.0.0.1:{admin_port}"}}
plugins: [./census.py]
filters: [request_id]
routes:
  - {{name: census, match: {{path: "/census"}}, filters: [census]}}
  - {{name: hello, match: {{path: "/hello"}}, filters: [{{respond: {{text: {answer}}}}}]}}
  - {{name: all, match: {{path: "/*"}}, to: upstream}}
services:
  upstream: {{endpoints: ["http://127.0.0.1:{upstream_port}"], balancer: round_robin, pool: {{idle_timeout: 1s}}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakedMeshwright:
    """A gateway with two listeners, whose idle connections to upstreams end soon."""

    admin_port: int
    secure_port: int

    @property
    def name(self) -> str:
        return "meshwright"

    def command(self, place: Place) -> list[str]:
        (place.folder / "census.py").write_text(PLUGIN, "utf-8")
        text = CONFIGURATION.format(
            port=place.port,
            secure_port=self.secure_port,
            certificate=place.certificate,
            admin_port=self.admin_port,
            upstream_port=place.upstream_port,
            answer=place.scenario.answer.decode(),
        )
        file = place.folder / f"gateway-{place.port}.yaml"
        file.write_text(text, "utf-8")
        return [program("meshwright"), "run", str(file)]

    def version(self) -> str:
        return metadata.version("meshwright")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a soak saw; `problems` is empty when nothing leaked and no answer was wrong."""

    seconds: float
    tally: Tally
    upstream_broken: int
    reloads: int
    before: Census
    after: Census

    @property
    def problems(self) -> list[str]:
        return [*leaks(self.before, self.after), *self.tally.wrong]


async def soak(seconds: float, cores: Cores, say: Say, seed: int) -> Outcome:
    """Soak a gateway; raises BenchmarkError when it cannot start or does not come to rest."""
    random = Random(seed)
    upstream = Upstream(random)
    async with upstream.serving() as upstream_port:
        with scene() as (stack, folder):
            certificate = await asyncio.to_thread(make_certificate, folder)
            contender = SoakedMeshwright(admin_port=free_port(), secure_port=free_port())
            entry = Entry(label="meshwright", contender=contender, scenario=PLAIN)
            standing = await asyncio.to_thread(start, stack, entry, cores, upstream_port, folder)
            assert certificate == standing.place.certificate
            gateway = Gateway(standing=standing, admin_port=contender.admin_port)
            return await _soak(gateway, upstream, Visitors((gateway.port, contender.secure_port), random), seconds, say)


async def _soak(gateway: Gateway, upstream: Upstream, visitors: Visitors, seconds: float, say: Say) -> Outcome:
    warm_up_s = min(max(seconds * WARM_UP_SHARE, WARM_UP_LEAST_S), WARM_UP_MOST_S)
    say(f"  warming up for {warm_up_s:.0f} s")
    await _traffic(gateway, visitors, warm_up_s, say)
    before = await rested(gateway)
    say(f"  soaking for {seconds:.0f} s")
    reloads = await _traffic(gateway, visitors, seconds, say)
    after = await rested(gateway, before)
    return Outcome(
        seconds=seconds,
        tally=visitors.tally,
        upstream_broken=upstream.broken,
        reloads=reloads,
        before=before,
        after=after,
    )


async def _traffic(gateway: Gateway, visitors: Visitors, seconds: float, say: Say) -> int:
    """Let the visitors come, and reload the gateway meanwhile; return how often."""
    done = asyncio.Event()

    def tell() -> None:
        visits = visitors.tally.begun.total()
        say(f"  {visits:>10,} visits, {memory_bytes(gateway.pid) / MIB:.1f} MiB")

    async with asyncio.TaskGroup() as group:
        reloading = group.create_task(_reload_until(done, gateway, tell))
        await visitors.run(VISITORS, seconds)
        done.set()
    return reloading.result()


async def _reload_until(done: asyncio.Event, gateway: Gateway, tell: Callable[[], None]) -> int:
    """Give the service another balancer again and again, so that its pools are made anew; the last one is the first."""
    first = await asyncio.to_thread(gateway.file.read_text, "utf-8")
    number = 0
    while not done.is_set():
        try:
            await asyncio.wait_for(done.wait(), RELOAD_EVERY_S)
        except TimeoutError:
            number += 1
            text = first.replace("round_robin", "random") if number % 2 else first
            await asyncio.to_thread(gateway.reload, text)
            if number % TELL_EVERY == 0:
                tell()
    await asyncio.to_thread(gateway.reload, first)
    return number + 1


async def rested(gateway: Gateway, before: Census | None = None) -> Census:
    """Take a census when nothing runs any more, and no more is left than before; what never gets there is in it."""
    until_s = time.monotonic() + REST_LIMIT_S
    while True:
        census = await asyncio.to_thread(take_census, gateway)
        if gateway.standing.process.poll() is not None:
            raise BenchmarkError("soak: expected the gateway to go on; got its end")
        if time.monotonic() > until_s or (census.rests and (before is None or not leaks(before, census))):
            return census
        await asyncio.sleep(0.5)
