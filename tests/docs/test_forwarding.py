"""The tables about paths and proxies are true, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from meshwright.config.model import PathConfig
from meshwright.http1.forwarding import Forwarding, Trusted
from meshwright.http1.request_head import peer_of, request_of
from meshwright.http1.rules import read_head
from meshwright.http1.target import BadTargetError, PathRules, normaliser
from meshwright_sdk import DownstreamError

DOCS = Path(__file__).parent.parent.parent / "docs"


def rows(page: str, first: str) -> list[list[str]]:
    """Return the cells of the table whose head begins with `first`, without their backquotes."""
    text = (DOCS / page).read_text("utf-8")
    table = re.search(rf"^\| {re.escape(first)} .*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


PATHS = rows("configuration.md", "a client asks for")
WAYS = rows("forwarding.md", "connection from")


@pytest.mark.parametrize(("raw", "options", "seen"), PATHS)
def test_a_path_on_the_page_becomes_what_the_page_says(raw: str, options: str, seen: str) -> None:
    rules = PathRules(**PathConfig(**(yaml.safe_load(options) or {})).model_dump())
    if seen == "400":
        with pytest.raises(BadTargetError):
            normaliser(rules)(raw.encode())
    else:
        assert normaliser(rules)(raw.encode()) == seen


@pytest.mark.parametrize(("peer", "came", "client", "sent"), WAYS)
def test_a_way_on_the_page_is_believed_as_the_page_says(peer: str, came: str, client: str, sent: str) -> None:
    forwarding = Forwarding(trusted=Trusted(["10.0.0.0/8"]))
    fields = [(b"host", b"a"), *([(b"x-forwarded-for", came.encode())] if came else [])]
    head = read_head(fields, DownstreamError)
    connection = peer_of((peer, 1), ("10.0.0.9", 80), tls=False, forwarding=forwarding)
    request = request_of("GET", b"/", "1.1", head, connection)

    assert request.client is not None
    assert (request.client.host, request.headers["x-forwarded-for"]) == (client, sent)


def test_there_are_rows_to_check() -> None:
    assert len(PATHS) >= 16
    assert len(WAYS) >= 7
