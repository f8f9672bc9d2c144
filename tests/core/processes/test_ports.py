from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from meshwright.processes.ports import Ports
from meshwright.processes.reading import check
from meshwright.traffic.checked import CheckedConfig
from meshwright_sdk import ConfigError
from tests.core.processes.fake_worker import YAML, document

LISTENERS = YAML.splitlines()[0]


def config(*listeners: str) -> CheckedConfig:
    return check(document(YAML.replace(LISTENERS, f"listeners: [{', '.join(listeners)}]")))


def listener(name: str, bind: str) -> str:
    return f'{{name: {name}, bind: "{bind}"}}'


@pytest.fixture
async def ports() -> AsyncIterator[Ports]:
    ports = Ports(workers=2)
    yield ports
    ports.close()


@contextmanager
def stranger(*, reuse_port: bool = False) -> Iterator[int]:
    with socket.socket() as listening:
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def can_bind(port: int, *, reuse_port: bool = False) -> bool:
    with socket.socket() as probe:
        if reuse_port:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def apply(ports: Ports, config: CheckedConfig, version: int) -> None:
    await ports.prepare(config, version)
    await ports.commit(version)


async def test_a_port_that_the_system_chose_is_told_and_can_be_shared_by_workers_alone(ports: Ports) -> None:
    await apply(ports, config(listener("web", "127.0.0.1:0")), 1)

    port = ports.numbers["web"]
    assert can_bind(port, reuse_port=True)
    assert not can_bind(port)


async def test_nobody_is_connected_to_a_port_that_is_only_held(ports: Ports) -> None:
    await apply(ports, config(listener("web", "127.0.0.1:0")), 1)

    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", ports.numbers["web"])) != 0


@pytest.mark.parametrize("reuse_port", [False, True])
async def test_a_port_that_a_stranger_listens_on_is_refused_by_its_place_in_the_file(
    ports: Ports, reuse_port: bool
) -> None:
    with stranger(reuse_port=reuse_port) as port, pytest.raises(ConfigError) as caught:
        await ports.prepare(config(listener("free", "127.0.0.1:0"), listener("web", f"127.0.0.1:{port}")), 1)

    assert str(caught.value) == (
        f"gateway.yaml:1: listeners[1].bind: expected a free address; got 127.0.0.1:{port}, which is in use"
    )


async def test_an_address_of_another_machine_is_refused(ports: Ports) -> None:
    with pytest.raises(
        ConfigError, match=r"listeners\[0\].bind: expected an address of this machine; got 192.0.2.1:80"
    ):
        await ports.prepare(config(listener("web", "192.0.2.1:8080")), 1)


async def test_every_address_that_cannot_be_had_is_told(ports: Ports) -> None:
    with stranger() as one, stranger() as other, pytest.raises(ConfigError) as caught:
        await ports.prepare(config(listener("a", f"127.0.0.1:{one}"), listener("b", f"127.0.0.1:{other}")), 1)

    assert len(caught.value.problems) == 2


async def test_a_reload_keeps_the_ports_that_stay_and_lets_go_of_the_others(ports: Ports) -> None:
    web, extra = listener("web", "127.0.0.1:0"), listener("extra", "127.0.0.1:0")
    await apply(ports, config(web, extra), 1)
    before = dict(ports.numbers)

    await apply(ports, config(web), 2)

    assert ports.numbers == {"web": before["web"]}
    assert can_bind(before["extra"])


async def test_a_reload_that_is_given_up_leaves_everything_as_it_was(ports: Ports) -> None:
    web, extra = listener("web", "127.0.0.1:0"), listener("extra", "127.0.0.1:0")
    await apply(ports, config(web), 1)
    before = dict(ports.numbers)

    await ports.prepare(config(web, extra), 2)
    new = ports.numbers["extra"]
    await ports.discard(2)
    await ports.discard(3)

    assert ports.numbers == before
    assert can_bind(new)
    assert not can_bind(before["web"])


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])
async def test_a_listener_may_change_its_host_while_its_workers_listen(host: str, ports: Ports) -> None:
    await apply(ports, config(listener("web", "127.0.0.1:0")), 1)
    port = ports.numbers["web"]
    with socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", port))
        worker.listen()

        await apply(ports, config(listener("web", f"{host}:{port}")), 2)

    assert ports.numbers == {"web": port}


async def test_a_unix_socket_serves_one_worker_alone(ports: Ports) -> None:
    unix = config(listener("web", "unix:/tmp/never-bound.sock"))

    with pytest.raises(ConfigError, match="expected an address with a port, for several workers to share"):
        await ports.prepare(unix, 1)
    await apply(Ports(workers=1), unix, 1)
