"""One request of a scenario, and whether it was answered as the scenario wants. Nothing here measures."""

from __future__ import annotations

import http.client
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse

from benchmarks.scenario import RECEIVED_HEADER, REQUEST_HEADER, RESPONSE_HEADER, Scenario

WAIT_S = 2.0


def answers(port: int, scenario: Scenario) -> bool:
    """Tell whether the port answers rightly; a proxy of streams, whose backend is not up yet, in any way."""
    connection = _connection(port, scenario)
    try:
        upload = bytes(scenario.upload_bytes) or None
        connection.request("POST" if upload else "GET", scenario.path, body=upload, headers=scenario.headers)
        response = connection.getresponse()
        return scenario.streams is not None or _is_right(response, scenario)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def says_header(port: int, scenario: Scenario) -> bool:
    """Tell whether a proxy set the header of the filter in the request and in the response."""
    connection = _connection(port, scenario)
    try:
        connection.request("GET", scenario.path, headers=scenario.headers)
        response = connection.getresponse()
        seen, stamp = response.getheader("x-seen"), response.getheader(RESPONSE_HEADER[0])
        return (seen, stamp) == (REQUEST_HEADER[1], RESPONSE_HEADER[1])
    finally:
        connection.close()


def _connection(port: int, scenario: Scenario) -> HTTPConnection:
    if not scenario.tls:
        return HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it was made for this run
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=WAIT_S, context=context)


def _is_right(response: HTTPResponse, scenario: Scenario) -> bool:
    received = int(response.getheader(RECEIVED_HEADER, "0"))
    whole = response.read() == scenario.answer
    return response.status == 200 and whole and (not scenario.upload_bytes or received > scenario.upload_bytes)
