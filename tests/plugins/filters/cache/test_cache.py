from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.cache import Cache
from meshwright_sdk import ConnectError, DownstreamError, Identity, Match, Request, Response, Route
from meshwright_sdk.testing import build, check_filter, make_request
from tests.plugins.filters.cache.rig import Rig, answer, chunks, numbered, validating


async def test_it_keeps_to_the_contract_of_filters() -> None:
    await check_filter(build(Cache))


async def test_it_keeps_to_the_contract_where_everything_is_stored() -> None:
    numbers = count()
    await check_filter(build(Cache, default_ttl="1m"), make=lambda: make_request(url=f"/{next(numbers)}"))


async def test_a_fresh_answer_is_given_again_with_its_age() -> None:
    rig = Rig(numbered())
    await rig.get()
    await rig.clock.advance(59)

    response = await rig.ask()

    assert (response.body.data, response.headers["age"], rig.asked) == (b"1", "59", 1)
    assert response.headers["cache-status"] == "meshwright; hit; ttl=1"
    await rig.clock.advance(1)
    assert await rig.get() == "2"


async def test_the_first_answer_says_that_it_was_stored() -> None:
    assert (await Rig(answer()).ask()).headers["cache-status"] == "meshwright; fwd=uri-miss; stored"


async def test_an_age_from_further_up_counts() -> None:
    rig = Rig(numbered(age="50"))
    await rig.get()

    assert (await rig.ask()).headers["age"] == "50"
    await rig.clock.advance(10)
    assert await rig.get() == "2"


@pytest.mark.parametrize(
    ("control", "stored"),
    [
        (None, False),
        ("public", False),
        ("no-store", False),
        ("no-store, max-age=60", False),
        ("must-understand, no-store, max-age=60", True),
        ("private, max-age=60", False),
        ('private="x-user", max-age=60', False),
        ("max-age=60", True),
        ("MAX-AGE=60", True),
        ('max-age="60"', True),
        ("max-age=0", False),
        ("max-age=nonsense", False),
        ("max-age=-1", False),
        ("s-maxage=60", True),
        ("s-maxage=0, max-age=60", False),
        ("no-cache", False),
        ("no-cache, max-age=60", False),
    ],
)
async def test_what_cache_control_says_of_storing(control: str | None, stored: bool) -> None:
    rig = Rig(numbered(control))
    await rig.get()

    assert await rig.get() == ("1" if stored else "2")


@pytest.mark.parametrize(
    ("status", "control", "stored"),
    [
        (200, "max-age=60", True),
        (404, "max-age=60", True),
        (302, "max-age=60", True),
        (206, "max-age=60", False),
        (500, "max-age=60", False),
        (599, "max-age=60", False),
        (404, None, False),
        (200, None, True),
        (301, None, True),
        (302, None, False),
    ],
)
async def test_which_statuses_are_stored(status: int, control: str | None, stored: bool) -> None:
    rig = Rig(numbered(control, status=status), default_ttl="1m")
    await rig.get()

    assert await rig.get() == ("1" if stored else "2")


async def test_expires_counts_from_the_date_of_the_answer() -> None:
    rig = Rig()
    rig.then(numbered(None, date=rig.date(-10), expires=rig.date(20)))
    await rig.get()
    await rig.clock.advance(19)
    assert await rig.get() == "1"
    await rig.clock.advance(1)
    assert await rig.get() == "2"


async def test_an_expires_that_makes_no_sense_is_in_the_past() -> None:
    rig = Rig(numbered(None, expires="0"), default_ttl="1m")
    await rig.get()

    assert await rig.get() == "2"


async def test_a_tenth_of_the_time_since_its_last_change_is_taken_for_fresh_when_asked_for() -> None:
    rig, without = Rig(heuristic=True), Rig()
    for each in (rig, without):
        each.then(numbered(None, last_modified=each.date(-1000)))
        await each.get()
        await each.clock.advance(99)
    assert (await rig.get(), await without.get()) == ("1", "2")
    await rig.clock.advance(2)
    rig.then(answer("new"))
    assert await rig.get() == "new"


async def test_an_answer_that_sets_cookies_is_stored_only_when_asked_for_and_without_them() -> None:
    rig, bold = Rig(numbered(set_cookie="id=1")), Rig(numbered(set_cookie="id=1"), store_with_cookies=True)
    first = await bold.ask()
    again = await bold.ask()
    await rig.get()

    assert await rig.get() == "2"
    assert (first.headers["set-cookie"], again.body.data) == ("id=1", b"1")
    assert "set-cookie" not in again.headers


@pytest.mark.parametrize(
    ("control", "shared"),
    [
        ("max-age=60", False),
        ("max-age=60, public", True),
        ("s-maxage=60", True),
        ("max-age=60, must-revalidate", True),
    ],
)
async def test_an_answer_to_somebody_authorized_is_for_others_only_when_it_says_so(control: str, shared: bool) -> None:
    rig = Rig(numbered(control))
    await rig.get(authorization="Bearer a")

    assert await rig.get(authorization="Bearer b") == ("1" if shared else "2")
    assert await rig.get() == ("1" if shared else "3")


async def test_an_answer_to_anybody_is_not_one_to_somebody_authorized() -> None:
    rig = Rig(numbered())
    await rig.get()

    assert await rig.get(authorization="Bearer a") == "2"
    assert await rig.get() == "1"


@pytest.mark.parametrize(
    "options",
    [
        {"method": "POST"},
        {"headers": {"range": "bytes=0-1"}},
        {"headers": {"if-match": '"a"'}},
        {"headers": {"upgrade": "websocket", "connection": "upgrade"}},
        {"headers": {"cache-control": "no-store"}},
        {"body": b"query"},
        {"body": chunks(b"query")},
    ],
)
async def test_what_no_cache_can_answer_is_passed_on(options: dict[str, Any]) -> None:
    rig = Rig(numbered())
    await rig.get("http://gateway.test/")

    response = await rig.cache(make_request(**{"url": "http://gateway.test/", **options}), rig.upstream)

    assert response.body.data == b"2"
    assert "hit" not in response.headers.get("cache-status", "")


async def test_vary_tells_variants_apart() -> None:
    rig = Rig(numbered(vary="Accept-Language, X-Plan"))
    german, english = {"accept_language": "de"}, {"accept_language": "en", "x_plan": "gold"}

    assert [await rig.get(**each) for each in (german, english, {}, german, english, {})] == [*"123123"]
    assert await rig.get(accept_language="en", x_plan="silver") == "4"


async def test_lists_that_differ_in_white_space_are_one_variant() -> None:
    rig = Rig(numbered(vary="accept-encoding"))
    await rig.get(accept_encoding="gzip, br")

    assert await rig.get(accept_encoding="gzip,br") == "1"
    assert await rig.get(accept_encoding="") == "2"
    assert await rig.get() == "3"


async def test_what_varies_with_everything_is_not_stored() -> None:
    rig = Rig(numbered(vary="*"))
    await rig.get()

    assert await rig.get() == "2"


async def test_answers_under_one_url_may_vary_with_different_fields() -> None:
    rig = Rig(answer("a", vary="x-a"), answer("b", vary="x-b"), answer("c"))

    assert await rig.get(x_a="1", x_b="1") == "a"
    assert await rig.get(x_a="2", x_b="2") == "b"
    assert await rig.get(x_a="2", x_b="2") == "b"
    assert await rig.get(x_a="2", x_b="3") == "c"


async def test_what_a_filter_further_in_does_to_the_request_makes_no_variant() -> None:
    def meddle(request: Request) -> Response:
        request.headers["x-plan"] = "inner"
        return answer("1", vary="x-plan")

    rig = Rig(meddle)
    await rig.get(x_plan="outer")

    assert (await rig.get(x_plan="outer"), rig.asked) == ("1", 1)


ANN = Identity(subject="ann", method="api_key")


@pytest.mark.parametrize("control", ["max-age=60", "public, s-maxage=60", "max-age=60, must-revalidate"])
async def test_nothing_is_stored_where_a_filter_further_in_finds_out_who_asks(
    control: str, caplog: pytest.LogCaptureFixture
) -> None:
    def authenticated(request: Request) -> Response:
        request.identity = ANN
        return answer("ann's", control)

    rig = Rig(authenticated, authenticated, answer("bob's"))

    assert [await rig.get(x_api_key=key) for key in ("ann", "ann", "bob", "cid")] == [
        "ann's",
        "ann's",
        "bob's",
        "bob's",
    ]
    assert caplog.text.count("a filter inside of the cache finds out who asks, and belongs around it") == 1


async def test_what_is_stored_goes_when_it_is_confirmed_to_somebody_a_filter_further_in_has_found_out() -> None:
    def authenticated(request: Request) -> Response:
        request.identity = ANN
        return Response(304)

    rig = Rig(answer("for all", etag='"v1"'), authenticated, answer("for bob"))
    await rig.get()
    await rig.clock.advance(61)

    assert [await rig.get(), await rig.get()] == ["for all", "for bob"]


async def test_who_was_known_to_ask_before_is_no_reason_against_storing() -> None:
    rig = Rig(numbered())
    first, second = make_request(), make_request()
    first.identity = second.identity = ANN
    await rig.cache(first, rig.upstream)

    assert (await rig.cache(second, rig.upstream)).body.data == b"1"


async def test_a_stale_answer_is_given_again_when_the_service_confirms_it() -> None:
    rig = Rig(validating('"v1"', last_modified="Tue, 01 Jan 2019 00:00:00 GMT"))
    await rig.get()
    await rig.clock.advance(61)

    response = await rig.ask(if_none_match='"other"')

    assert (response.status, response.body.data) == (200, b'content of "v1"')
    assert response.headers["cache-status"] == "meshwright; fwd=stale; fwd-status=304"
    asked = rig.requests[1]
    assert asked.headers["if-none-match"] == '"other"'  # filters further out see the client's own again
    await rig.clock.advance(59)
    assert (await rig.get(), rig.asked) == ('content of "v1"', 2)


async def test_the_service_is_asked_with_the_validators_of_what_is_stored() -> None:
    seen: list[dict[str, str]] = []

    def service(request: Request) -> Response:
        seen.append(dict(request.headers))
        return answer("1", etag='"v1"', last_modified="Tue, 01 Jan 2019 00:00:00 GMT")

    rig = Rig(service)
    request = {"if_none_match": '"mine"', "if_modified_since": "Wed, 02 Jan 2019 00:00:00 GMT"}
    await rig.get(**request)
    await rig.clock.advance(61)
    await rig.get(**request)

    assert "if-none-match" not in seen[0]
    assert (seen[1]["if-none-match"], seen[1]["if-modified-since"]) == ('"v1"', "Tue, 01 Jan 2019 00:00:00 GMT")


async def test_a_304_changes_fields_and_none_of_the_content() -> None:
    rig = Rig(answer("abc", etag='"a"', x_old="1", x_kept="1", content_type="text/a"))
    await rig.get()
    await rig.clock.advance(61)
    rig.then(answer("", "max-age=5", status=304, etag='"a"', x_old="2", content_type="text/b", content_length="0"))

    response = await rig.ask()

    assert (response.headers["x-old"], response.headers["x-kept"]) == ("2", "1")
    assert (response.headers["content-type"], response.headers["content-length"]) == ("text/a", "3")
    await rig.clock.advance(6)
    rig.then(answer("new"))
    assert await rig.get() == "new"


async def test_a_304_that_speaks_of_something_else_has_the_service_asked_again() -> None:
    rig = Rig(answer("old", etag='"a"'))
    await rig.get()
    await rig.clock.advance(61)
    rig.then(answer("", status=304, etag='"b"'), answer("new", etag='"b"'))

    assert (await rig.get(), rig.asked) == ("new", 3)


async def test_no_cache_has_the_service_asked_before_each_use() -> None:
    rig = Rig(validating('"v1"', "no-cache, max-age=60"))

    assert [await rig.get() for _ in range(3)] == ['content of "v1"'] * 3
    assert (rig.asked, rig.count("revalidated")) == (3, 2)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"if_none_match": '"v1"'}, 304),
        ({"if_none_match": 'W/"v1"'}, 304),
        ({"if_none_match": '"v0", "v1"'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"v0"'}, 200),
        ({"if_modified_since": "Tue, 01 Jan 2019 00:00:00 GMT"}, 304),
        ({"if_modified_since": "Tuesday, 01-Jan-19 00:00:01 GMT"}, 304),
        ({"if_modified_since": "Mon, 31 Dec 2018 23:59:59 GMT"}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_none_match": '"v0"', "if_modified_since": "Tue, 01 Jan 2019 00:00:00 GMT"}, 200),
    ],
)
async def test_a_client_that_has_the_answer_is_told_so(condition: dict[str, str], status: int) -> None:
    stored: dict[str, Any] = {
        "etag": '"v1"',
        "last_modified": "Tue, 01 Jan 2019 00:00:00 GMT",
        "content_type": "text/plain",
    }
    rig, cold = Rig(answer(**stored)), Rig(answer(**stored))
    await rig.get()

    response = await rig.ask(**condition)

    assert (response.status, (await cold.ask(**condition)).status) == (status, status)
    if status == 304:
        assert (response.body.data, response.headers["etag"], response.headers["age"]) == (b"", '"v1"', "0")
        assert "content-type" not in response.headers


async def test_head_is_answered_by_what_a_get_has_left() -> None:
    rig = Rig(answer("abc"))
    await rig.get()

    response = await rig.ask("HEAD")

    assert (response.body.data, response.headers["content-length"], rig.asked) == (b"", "3", 1)


async def test_a_head_leaves_nothing_for_a_get() -> None:
    rig = Rig(answer("", content_length="3"))
    await rig.ask("HEAD")
    rig.then(answer("abc"))

    assert await rig.get() == "abc"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "REPORT"])
@pytest.mark.parametrize(("status", "forgotten"), [(200, True), (303, True), (404, False), (500, False)])
async def test_a_change_makes_what_is_stored_invalid(method: str, status: int, forgotten: bool) -> None:
    rig = Rig(answer("old", vary="x-a"))
    await rig.get("/a", x_a="1")
    await rig.get("/a", x_a="2")
    rig.then(answer(status=status))
    await rig.ask(method, "/a")
    rig.then(answer("new"))

    assert {await rig.get("/a", x_a="1"), await rig.get("/a", x_a="2")} == {"new" if forgotten else "old"}


@pytest.mark.parametrize(
    ("location", "forgotten"),
    [
        ("/list?page=1", True),
        ("list?page=1", True),
        ("http://GATEWAY.test/list?page=1#top", True),
        ("http://elsewhere.test/list?page=1", False),
        ("http://[", False),
    ],
)
@pytest.mark.parametrize("field", ["location", "content_location"])
async def test_a_change_tells_what_else_it_has_changed_on_the_same_host(
    field: str, location: str, forgotten: bool
) -> None:
    rig = Rig(answer("old"))
    await rig.get("http://gateway.test/list?page=1")
    await rig.get("http://elsewhere.test/list?page=1")
    headers: dict[str, Any] = {field: location}
    rig.then(answer(status=201, **headers))
    await rig.ask("POST", "http://gateway.test/add")
    rig.then(answer("new"))

    assert await rig.get("http://gateway.test/list?page=1") == ("new" if forgotten else "old")
    assert await rig.get("http://elsewhere.test/list?page=1") == "old"


async def test_what_was_asked_for_before_a_change_is_not_stored_after_it() -> None:
    rig = Rig()
    rig.then(lambda request: answer("old", streamed=True))
    response = await rig.cache(make_request(), rig.upstream)
    rig.then(answer(status=204))
    await rig.ask("PUT")
    assert await response.body.read(100) == b"old"
    rig.then(answer("new"))

    assert await rig.get() == "new"


@pytest.mark.parametrize(
    ("said", "content"),
    [
        ("no-cache", "2"),
        ("max-age=5", "2"),
        ("max-age=20", "1"),
        ("min-fresh=51", "2"),
        ("min-fresh=50", "1"),
        ("only-if-cached", "1"),
        ("extension=1", "1"),
    ],
)
async def test_what_a_client_says_is_heeded(said: str, content: str) -> None:
    rig = Rig(numbered())
    await rig.get()
    await rig.clock.advance(10)

    assert await rig.get(cache_control=said) == content


async def test_pragma_is_no_cache_for_who_knows_no_cache_control() -> None:
    rig = Rig(numbered())
    await rig.get()

    assert await rig.get(pragma="no-cache") == "2"
    assert await rig.get(pragma="no-cache", cache_control="max-age=60") == "2"


async def test_a_client_can_make_the_cache_ask_only_where_it_is_heeded() -> None:
    rig = Rig(numbered(), client_directives=False)
    await rig.get()

    assert {await rig.get(cache_control=said) for said in ("no-cache", "no-store", "max-age=0")} == {"1"}


@pytest.mark.parametrize(
    ("control", "said", "content"),
    [
        ("max-age=60", "max-stale", "1"),
        ("max-age=60", "max-stale=20", "1"),
        ("max-age=60", "max-stale=5", "2"),
        ("max-age=60, must-revalidate", "max-stale", "2"),
        ("max-age=60, proxy-revalidate", "max-stale", "2"),
        ("s-maxage=60", "max-stale", "2"),
    ],
)
async def test_a_client_may_take_what_is_stale(control: str, said: str, content: str) -> None:
    rig = Rig(numbered(control))
    await rig.get()
    await rig.clock.advance(70)

    assert await rig.get(cache_control=said) == content


async def test_only_if_cached_never_reaches_the_service() -> None:
    rig = Rig(answer())

    with pytest.raises(DownstreamError) as raised:
        await rig.get(cache_control="only-if-cached")
    assert (raised.value.status, raised.value.code, rig.asked) == (504, "not_cached", 0)


async def test_a_stale_answer_is_given_while_a_newer_one_is_fetched() -> None:
    rig = Rig(numbered("max-age=60, stale-while-revalidate=30"))
    await rig.get()
    await rig.clock.advance(70)

    stale = await rig.ask(if_none_match='"x"')
    await rig.tasks.close(grace_s=5)

    assert (stale.body.data, stale.headers["cache-status"]) == (b"1", "meshwright; hit; ttl=-10")
    assert (await rig.get(), rig.asked, rig.count("stale")) == ("2", 2, 1)


async def test_what_is_too_stale_is_not_given_meanwhile() -> None:
    rig = Rig(numbered("max-age=60, stale-while-revalidate=30"))
    await rig.get()
    await rig.clock.advance(90)

    assert await rig.get() == "2"


async def test_a_refresh_that_fails_leaves_what_there_is() -> None:
    rig = Rig(answer("old", "max-age=60, stale-while-revalidate=30"))
    await rig.get()
    await rig.clock.advance(70)
    rig.then(ConnectError("refused"))

    assert await rig.get() == "old"
    await rig.tasks.close(grace_s=5)
    assert await rig.get() == "old"
    assert rig.cache.state()["fetches"] == 1  # another one has begun
    await rig.tasks.close(grace_s=5)
    assert rig.cache.state()["fetches"] == 0


@pytest.mark.parametrize("failure", [ConnectError("refused"), answer(status=503), answer(status=500, x_a="b")])
@pytest.mark.parametrize(
    ("control", "options", "stands_in"),
    [
        ("max-age=60, stale-if-error=30", {}, True),
        ("s-maxage=60, stale-if-error=30", {}, True),
        ("max-age=60", {"stale_if_error": "30s"}, True),
        ("max-age=60", {}, False),
        ("s-maxage=60", {"stale_if_error": "30s"}, False),
        ("max-age=60, must-revalidate, stale-if-error=30", {}, False),
        ("max-age=60, stale-if-error=9", {"stale_if_error": "30s"}, False),
    ],
)
async def test_a_stale_answer_stands_in_for_a_failure(
    control: str, options: dict[str, Any], stands_in: bool, failure: Response | Exception
) -> None:
    rig = Rig(answer("old", control), **options)
    await rig.get()
    await rig.clock.advance(70)
    if isinstance(failure, Response):
        status = failure.status
        rig.then(lambda request: answer("bad", status=status))
    else:
        rig.then(failure)

    if stands_in:
        response = await rig.ask()
        assert (response.status, response.body.data, response.headers["age"]) == (200, b"old", "70")
        assert response.headers["cache-status"] == "meshwright; fwd=stale; detail=stale-if-error"
    elif isinstance(failure, Response):
        assert await rig.get() == "bad"
    else:
        with pytest.raises(ConnectError):
            await rig.get()


async def test_who_wants_no_stored_answer_gets_none_in_place_of_a_failure() -> None:
    rig = Rig(answer("old", "max-age=60, stale-if-error=600"))
    await rig.get()
    rig.then(ConnectError("refused"))

    with pytest.raises(ConnectError):
        await rig.get(cache_control="no-cache")


async def test_a_degraded_answer_is_not_stored_and_counts_as_a_failure() -> None:
    rig = Rig(answer("instead", x_degraded="failed"))
    await rig.get()
    rig.then(answer("good", "max-age=60, stale-if-error=600"))
    assert await rig.get() == "good"
    await rig.clock.advance(70)
    rig.then(answer("instead", x_degraded="failed"))

    assert await rig.get() == "good"


async def test_a_failure_of_the_gateways_own_is_not_hidden() -> None:
    rig = Rig(answer("old", "max-age=60, stale-if-error=600"))
    await rig.get()
    await rig.clock.advance(70)
    rig.then(DownstreamError("refused", status=403))

    with pytest.raises(DownstreamError):
        await rig.get()


async def test_an_answer_that_may_not_be_stored_any_more_takes_the_place_of_what_is() -> None:
    rig = Rig(answer("old", "max-age=60, stale-if-error=600"))
    await rig.get()
    await rig.clock.advance(70)
    rig.then(answer("mine", "private"))
    await rig.get()
    rig.then(ConnectError("refused"))

    with pytest.raises(ConnectError):
        await rig.get()


async def test_a_streamed_answer_is_stored_when_it_has_passed_by() -> None:
    rig = Rig(lambda request: answer("abcd", streamed=True))

    assert (await rig.get(), await rig.get(), rig.asked) == ("abcd", "abcd", 1)
    assert (await rig.ask("HEAD")).headers["content-length"] == "4"


async def test_what_is_too_long_passes_by_whole() -> None:
    rig = Rig(lambda request: answer("abcdef", streamed=True), max_body="4B")

    assert (await rig.get(), await rig.get(), rig.asked) == ("abcdef", "abcdef", 2)
    assert rig.cache.state()["answers"] == 0


async def test_an_answer_without_a_date_gets_that_of_its_coming() -> None:
    rig = Rig(answer())
    then = rig.date()
    await rig.get()
    await rig.clock.advance(30)

    assert (await rig.ask()).headers["date"] == then


async def test_a_cache_that_is_closed_holds_nothing_any_more() -> None:
    rig = Rig(answer())
    await rig.get()
    await rig.cache.close()

    assert rig.cache.state()["answers"] == 0


async def test_an_event_stream_is_not_stored() -> None:
    rig = Rig(numbered(content_type="text/event-stream; charset=utf-8"))
    await rig.get()

    assert await rig.get() == "2"


async def test_routes_that_share_a_cache_share_no_answers() -> None:
    cache, upstream = build(Cache), Rig(numbered()).upstream
    bodies = []
    for name in ("a", "b", "a"):
        request = make_request()
        request.route = Route(name, Match(), upstream)
        bodies.append((await cache(request, upstream)).body.data)

    assert bodies == [b"1", b"2", b"1"]


async def test_a_key_of_ones_own_says_what_has_an_answer() -> None:
    rig = Rig(numbered(), key="{host}/{header:x-tenant}")
    await rig.get("/a?utm=1", x_tenant="acme")

    assert await rig.get("/a?utm=2", x_tenant="acme") == "1"
    assert await rig.get("/a?utm=2", x_tenant="other") == "2"


async def test_scheme_host_port_path_and_query_make_the_key() -> None:
    rig = Rig(numbered())
    urls = ["http://a.test/x", "https://a.test/x", "http://b.test/x", "http://a.test:81/x", "http://a.test/x?y"]

    assert [await rig.get(url) for url in urls] == [*"12345"]
    assert await rig.get("http://A.test/x") == "1"


async def test_what_is_stored_is_purged_by_hand_all_or_by_the_beginning_of_the_url() -> None:
    rig = Rig(numbered())
    for url in ("http://a.test/x/1", "http://a.test/y"):
        await rig.get(url)

    rig.cache.act("purge", {"prefix": "http://a.test/x/"})
    assert [await rig.get("http://a.test/x/1"), await rig.get("http://a.test/y")] == ["3", "2"]
    rig.cache.act("purge", {})
    assert rig.cache.state()["answers"] == 0
    with pytest.raises(ValueError, match="expected prefix or none; got url"):
        rig.cache.act("purge", {"url": "x"})
    with pytest.raises(ValueError, match="expected a URL or its beginning, such as http://host/path; got '/x'"):
        rig.cache.act("purge", {"prefix": "/x"})


async def test_a_purge_goes_by_the_keys_where_the_options_have_one() -> None:
    rig = Rig(numbered(), key="header:x-tenant")
    for tenant in ("acme", "globex"):
        await rig.get(x_tenant=tenant)

    rig.cache.act("purge", {"prefix": "ac"})

    assert [await rig.get(x_tenant="acme"), await rig.get(x_tenant="globex")] == ["3", "2"]


@pytest.mark.parametrize(
    "options", [{"max_body": "2MiB", "max_size": "1MiB"}, {"name": "a b"}, {"max_size": "0B"}, {"max_wait": "0s"}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(Cache, **options)


def test_a_shared_cache_wants_a_store() -> None:
    with pytest.raises(ValueError, match="shared: expected false where there is no store"):
        build(Cache, shared=True)
