"""The corpus, cut up and put together at random: still one reading of whatever the gateway accepts."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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

EXAMPLES = 1000
LONG_BYTES = 600

SEEDS = [case.sent for case in REQUESTS.values() if len(case.sent) < LONG_BYTES]
GOOD = [case.sent for case in REQUESTS.values() if not case.refused and len(case.sent) < LONG_BYTES]
PIECES = [
    *(bytes((byte,)) for byte in b"\r\n\t\v\f\0\x01\x7f\x80\xff ,;:=\"'\\/%#?*+-_.0139aAfFxX"),
    *(b"\r\n", b"\r\n\r\n", b"\n\n", b"\r\n ", b"\r\n\t", b"chunked", b"close", b" HTTP/1.1", b"0\r\n\r\n", b";a=b"),
    *(b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n", b"host: b\r\n", b"connection: close\r\n"),
    *(b"Transfer-Encoding : chunked\r\n", b"Content-Length: 0\r\n", b"x: y\r\n", b"expect: 100-continue\r\n"),
    *(b"http://b", b"//", b"/../", b"%2e", b"%00", b"3\r\nabc\r\n", b"connection: content-length\r\n"),
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Return one case or two, with some bytes put in, taken out, doubled or replaced."""
    data = b"".join(draw(st.lists(st.sampled_from(GOOD) | st.sampled_from(SEEDS), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 0, 1, 2, 5, 20])))
        new = draw(st.sampled_from(PIECES) | st.just(b"") | st.just(data[start:end] * 2))
        data = data[:start] + new + data[end:]
    return data


@pytest.mark.timeout(180)  # each example is four connections
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(mutations(), st.integers(0, 200))
async def test_whatever_is_accepted_is_the_same_to_all(peers: list[Peer], data: bytes, cut: int) -> None:
    found = await passed(data, Recorder(), cut=cut if cut < len(data) else 0)
    assert [request for sent in found.sent for request in sent.requests] == found.meant
    for sent in found.sent:
        if sent.complete and not found.upgrades:  # behind an upgrade come no requests
            for peer in peers:
                saw = await peer.read(sent.data, [request.method for request in sent.requests])
                assert not unexplained(peer.name, [*sent.requests, CANARY_SEEN], saw)
