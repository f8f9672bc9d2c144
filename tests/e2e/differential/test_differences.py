from __future__ import annotations

import pytest

from tests.core.http1.corpus.case import CANARY_SEEN, Seen
from tests.e2e.differential.differences import unexplained

POST = Seen("POST", body=b"abc")
STAR = Seen("OPTIONS", "*")


@pytest.mark.parametrize(
    ("meant", "saw"),
    [
        ([POST, CANARY_SEEN], [POST, CANARY_SEEN]),
        ([STAR, POST, CANARY_SEEN], []),
        ([STAR, POST, CANARY_SEEN], [POST, CANARY_SEEN]),
        ([POST, STAR, CANARY_SEEN], [POST]),
    ],
)
def test_the_same_requests_without_those_that_are_refused_are_no_difference(meant: list[Seen], saw: list[Seen]) -> None:
    assert unexplained("nginx", meant, saw) == ""


@pytest.mark.parametrize(
    ("meant", "saw"),
    [
        ([POST, CANARY_SEEN], [POST]),
        ([POST, CANARY_SEEN], [CANARY_SEEN]),
        ([POST, CANARY_SEEN], [Seen("POST", body=b"ab"), CANARY_SEEN]),
        ([POST, CANARY_SEEN], [Seen("POST", host="b", body=b"abc"), CANARY_SEEN]),
        ([POST, CANARY_SEEN], [POST, Seen("GET", "/hidden"), CANARY_SEEN]),
        ([POST, CANARY_SEEN], [POST, CANARY_SEEN, CANARY_SEEN]),
        ([STAR, CANARY_SEEN], [Seen("GET", "/hidden"), CANARY_SEEN]),
    ],
)
def test_one_more_one_less_or_another_is_a_difference(meant: list[Seen], saw: list[Seen]) -> None:
    assert unexplained("nginx", meant, saw) != ""
