"""What a sampled stack was busy with: a part of the gateway, and a function. From texts alone; nothing runs here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

FRAME = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*?)(:(?P<line>\d+))?\)$")

# What stands first below the interpreter's own frames tells the part; the order of the patterns matters.
PARTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("messages: reading and writing their bytes", r"meshwright/http1/(grammar|framing|rules)"),
        ("clients: writing responses", r"meshwright/http1/(response_sink|exchange|stream|tunnel)"),
        ("upstreams: writing and reading", r"meshwright/http1/client"),
        ("clients: reading requests", r"meshwright/http1/"),
        ("pool", r"meshwright/traffic/pool"),
        ("service and balancer", r"meshwright/traffic/(service|split|carrier|beside)|plugins/(balancers|discovery)/"),
        ("router", r"plugins/routers/|meshwright_sdk/routing"),
        ("chain, filters and counts", r"meshwright/traffic/|plugins/filters/|sdk/(filters|metrics)|stamp\.py"),
        ("headers, requests and bodies of the SDK", r"meshwright_sdk/"),
        ("ASGI", r"meshwright/asgi/"),
        ("other Meshwright", r"meshwright"),
        ("event loop: tasks and futures", r"_asynciomodule\.c|asyncio/(?!runners)"),
        ("TLS", r"libssl|libcrypto|_ssl\.c|sslproto|ssl\.py"),
        ("event loop: uvloop", r"(^|/)(loop|core|linux|stream|loop-watcher|timer|uv-common|async|queue)\.[ch]|uvloop"),
    )
)
OTHER = "interpreter"

SYSCALLS = {
    **dict.fromkeys(("write", "writev", "send", "sendto", "sendmsg", "sendfile"), "kernel: writing"),
    **dict.fromkeys(("read", "readv", "recv", "recvfrom", "recvmsg"), "kernel: reading"),
    **dict.fromkeys(("epoll_wait", "epoll_pwait", "epoll_ctl", "poll"), "kernel: waiting for events"),
}
OTHER_CALLS = {"accept4", "close", "connect", "getpid", "getsockname", "io_uring_enter", "setsockopt", "syscall"}
KERNEL_OTHER = "kernel: other calls"
LIBC = re.compile(r"libc[.-]|\[vdso\]|libpthread")
OWN = re.compile(r"(meshwright(?!/(processes|cli)/).*|stamp)\.py$")


@dataclass(slots=True)
class Shares:
    """How many samples fell on what, in the kernel and out of it. `functions` are Meshwright's, without the kernel."""

    kernel: Counter[str] = field(default_factory=Counter)
    user: Counter[str] = field(default_factory=Counter)
    functions: Counter[str] = field(default_factory=Counter)


def shares(raw: Iterable[str]) -> Shares:
    """Read what py-spy writes as `raw`: frames from the outermost to the innermost, and how often they were seen.

    Threads other than the event loop's only wait, and are left out.
    """
    found = Shares()
    for line in raw:
        stack, _, number = line.rpartition(" ")
        frames = [matched for frame in stack.split(";") if (matched := FRAME.match(frame))]
        if not frames or any(frame["function"] in {"thread_run", "Thread._bootstrap"} for frame in frames):
            continue
        _count(found, list(reversed(frames)), int(number))
    return found


def _count(found: Shares, inwards: list[re.Match[str]], number: int) -> None:
    call = _syscall(inwards[0])
    if call:
        found.kernel[call] += number
        return
    found.user[part_of(inwards)] += number
    own = next((frame for frame in inwards if OWN.search(frame["file"])), None)
    if own is not None:
        found.functions[f"{own['function']} ({own['file']})"] += number


def part_of(inwards: Iterable[re.Match[str]]) -> str:
    """The part of the innermost frame that belongs to one."""
    for frame in inwards:
        for name, pattern in PARTS:
            if pattern.search(frame["file"]):
                return name
    return OTHER


def _syscall(innermost: re.Match[str]) -> str:
    if not LIBC.search(innermost["file"]):
        return ""
    return SYSCALLS.get(innermost["function"], KERNEL_OTHER if innermost["function"] in OTHER_CALLS else "")
