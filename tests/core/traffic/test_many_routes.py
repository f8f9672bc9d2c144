"""Ten thousand routes: what is made of them must not keep traffic waiting."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

from meshwright.traffic.beside import in_thread
from meshwright.traffic.checked import read
from meshwright.traffic.gateway import Gateway
from meshwright_sdk import ConfigDocument, Tasks

ROUTES = 10_000
PLUGIN = """\
import threading
from meshwright_sdk import Filter, NoOptions, Options, Router, Route

where = {"import": threading.current_thread()}

class Wanted(Options):
    word: str

    def model_post_init(self, context):
        where["options"] = threading.current_thread()

class Watched(Filter[Wanted]):
    def __init__(self, options, context):
        super().__init__(options, context)
        where["constructor"] = threading.current_thread()

    async def start(self):
        where["start"] = threading.current_thread()

    async def __call__(self, request, call_next):
        return await call_next(request)

class First(Router[NoOptions]):
    def compile(self, routes):
        where["compile"] = threading.current_thread()
        self.routes = routes

    def match(self, request):
        return self.routes[0]

    def explain(self, request):
        return []
"""


def many() -> str:
    routes = "\n".join(
        f'  - {{name: r{n}, match: {{host: h{n % 100}.example, path: "/a{n}/*"}}, to: s{n % 100}}}'
        for n in range(ROUTES)
    )
    services = "\n".join(f'  s{n}: {{endpoints: ["http://127.0.0.1:{20_000 + n}"]}}' for n in range(100))
    return f"plugins: [./plugin.py]\nrouter: first\nfilters: [request_id]\nroutes:\n{routes}\nservices:\n{services}\n"


def document(text: str, folder: Path) -> ConfigDocument:
    return ConfigDocument(text=text, name="gateway.yaml", base_dir=folder)


class Pulse:
    """Counts the turns that the event loop gets."""

    def __init__(self) -> None:
        self.beats = 0

    async def beat(self) -> None:
        while True:
            self.beats += 1
            await asyncio.sleep(0.001)


async def test_the_loop_goes_on_while_ten_thousand_routes_are_read_and_built(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)  # its router compiles nothing, so that all turns are of the building
    gateway, pulse, tasks = Gateway(), Pulse(), Tasks()
    tasks.spawn(pulse.beat(), name="pulse")
    config = await in_thread(read, document(many(), tmp_path))
    read_after = pulse.beats
    await gateway.commit(await gateway.build(config, 1))
    built_after = pulse.beats
    await tasks.close()

    # Each takes several hundred milliseconds; in one go they gave a turn or two.
    assert read_after > 20
    assert built_after - read_after > 20
    await gateway.close()


async def test_what_waits_for_nothing_is_done_in_a_thread_and_plugins_live_in_the_loops(
    tmp_path: Path,
) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    gateway = Gateway()
    text = "plugins: [./plugin.py]\nrouter: first\nroutes: [{name: a, filters: [{watched: {word: x}}]}]"
    snapshot = await gateway.prepare(document(text, tmp_path), 1)

    where = vars(sys.modules[type(snapshot.router).__module__])["where"]
    main = threading.main_thread()
    assert {name: thread is main for name, thread in where.items()} == {
        "import": False,
        "options": False,
        "compile": False,
        "constructor": True,
        "start": True,
    }
    await gateway.discard(snapshot)
    await gateway.close()
