"""Whatever the gateway accepts of the corpus, nginx, HAProxy and Envoy see as the same requests."""

from __future__ import annotations

import pytest

from tests.core.http1.corpus.case import CANARY_SEEN
from tests.core.http1.corpus.recorder import Recorder
from tests.core.http1.corpus.requests import REQUESTS
from tests.e2e.differential.differences import unexplained
from tests.e2e.differential.exchange import passed
from tests.e2e.differential.peers import Peer
from tests.e2e.differential.proxies import INSTALLED, PROXIES

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not INSTALLED, reason=f"needs one of {', '.join(PROXIES)}"),
]


def within(sent: bytes) -> int:
    """Return a place within the content, so that it comes as a stream."""
    return sent.find(b"\r\n\r\n") + 6


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_goes_on_is_the_same_to_all(peers: list[Peer], streamed: bool) -> None:
    different: list[str] = []
    sent_on = 0
    for name, case in REQUESTS.items():
        found = await passed(case.sent, Recorder(), cut=within(case.sent) if streamed else 0)
        if [request for sent in found.sent for request in sent.requests] != found.meant:
            different.append(f"{name}: expected {found.meant}; got {found.sent}")
        for sent in found.sent:
            if not sent.complete or found.upgrades:
                continue
            sent_on += 1
            for peer in peers:
                saw = await peer.read(sent.data, [request.method for request in sent.requests])
                if difference := unexplained(peer.name, [*sent.requests, CANARY_SEEN], saw):
                    different.append(f"{name}: {difference}")
    assert different == []
    assert sent_on > len(REQUESTS) // 5


@pytest.mark.parametrize("name", PROXIES)
async def test_behind_the_gateway_a_proxy_sees_what_the_gateway_saw(peers: list[Peer], name: str) -> None:
    if name not in INSTALLED:
        pytest.skip(f"needs {name}")
    (peer,) = [peer for peer in peers if peer.name == name]
    different: list[str] = []
    for case_name, case in REQUESTS.items():
        peer.recorder.requests.clear()
        found = await passed(case.sent, peer.relay, cut=within(case.sent))
        if difference := unexplained(name, found.meant, peer.recorder.requests):
            different.append(f"{case_name}: {difference}")
    assert different == []
