"""`Fetching`: asking the service, once for all who want the same; looking up and storing go elsewhere."""

from __future__ import annotations

import asyncio
import logging

from meshwright_plugins.filters.cache.answer import Answer, Use, stored_fields
from meshwright_plugins.filters.cache.conditions import CONDITIONS, is_current
from meshwright_plugins.filters.cache.counts import Counts
from meshwright_plugins.filters.cache.directives import NOTHING
from meshwright_plugins.filters.cache.flights import NOTHING_FOR_OTHERS, Flight, Flights, Landing, Lead
from meshwright_plugins.filters.cache.look import Look
from meshwright_plugins.filters.cache.memory import MemoryShelf
from meshwright_plugins.filters.cache.options import CacheOptions
from meshwright_plugins.filters.cache.spool import Broken, Room, Spool
from meshwright_plugins.filters.cache.storing import Storing
from meshwright_plugins.filters.cache.terms import Terms
from meshwright_sdk import (
    Body,
    Context,
    DeadlineError,
    Entries,
    OverloadError,
    Response,
    Timeouts,
    UpstreamError,
    variant_of,
)
from meshwright_sdk.headers import RawHeaders

logger = logging.getLogger("meshwright.cache")

_FAILURES = frozenset((500, 502, 503, 504))
"""Statuses in place of which a stale answer may be given (RFC 5861, section 4)."""
_OWN_FAULTS = (DeadlineError, OverloadError)
"""What befalls one request, by its time or its priority, and not the others that want the same."""
_MOST_KEYS = 10_000
_MOST_BACKGROUND = 100
_BACKGROUND_S = 30.0


class Fetching:
    """Asks the service for what no stored answer is there for, or to hear that one is still right."""

    def __init__(self, options: CacheOptions, context: Context, storing: Storing, counts: Counts) -> None:
        self.flights = Flights()
        self.background = 0
        self._room = Room(int(options.max_size))
        self._options = options
        self._max_body = int(options.max_body)
        self._name = options.name.encode("ascii")
        self._clock = context.clock
        self._tasks = context.tasks
        self._storing = storing
        self._shelf = storing.shelf
        self._counts = counts
        self._timeouts = Timeouts(context.clock)
        self._passed: Entries[None] = Entries(_MOST_KEYS)

    async def answer(self, look: Look) -> Response:
        """Return the service's answer, or another request's that wanted the same; raises what the service does."""
        if not self._options.collapse or not look.shares:
            return await self._ask(look, None)
        variant = look.variant = self._shelf.variant(look.key, look.raw)
        if self._passed.get(variant, self._clock.monotonic()) is not None:
            look.passed = True
            return await self._ask(look, None)
        flight = self.flights.get(variant)
        if flight is None:
            return await self._ask(look, self.flights.lead(variant))
        if look.insists or len(flight) >= self._options.max_waiting:
            return await self._ask(look, None)
        return await self._wait(look, flight)

    async def _wait(self, look: Look, flight: Flight) -> Response:
        """Wait for another's fetch, but not for ever; what comes of it may be of no use here."""
        landing = await self._landing(flight, look.request.deadline)
        if landing is None:
            return await self._ask(look, None)
        if landing.lead:
            return await self._ask(look, self.flights.lead(look.variant))
        now, answer = self._shelf.now(), landing.answer
        if answer is not None and _suits(answer, look, now):
            self._counts.collapsed.value += 1
            return answer.give(look.method, look.noticed, now, self._note(look, b"; collapsed"))
        if landing.failed:
            stale = self._stand_in(look)
            if stale is not None:
                return stale
            if landing.error is not None:
                raise _again(landing.error)
        return await self._ask(look, None)

    async def _landing(self, flight: Flight, deadline: float | None) -> Landing | None:
        until = self._clock.monotonic() + self._options.max_wait
        with self._timeouts.until(until if deadline is None else min(until, deadline)):
            return await flight.landing()
        return None

    async def _ask(self, look: Look, lead: Lead | None) -> Response:
        """Ask the service; whoever waits for this one learns of the end, whichever it is."""
        request = look.request
        own = request.headers
        self._storing.open += 1
        try:
            request.headers = look.headers()
            try:
                response = await look.call_next(request)
            finally:
                request.headers = own
            return await self._answered(look, response, lead)
        except UpstreamError as error:
            if lead is not None:
                if isinstance(error, _OWN_FAULTS):
                    lead.leave()
                else:
                    lead.land(Landing(failed=True, error=error))
            stale = self._stand_in(look)
            if stale is None:
                raise
            return stale
        except BaseException:
            if lead is not None:
                lead.leave()
            raise
        finally:
            self._storing.open -= 1

    async def _answered(self, look: Look, response: Response, lead: Lead | None) -> Response:
        if response.status == 304 and look.stored is not None and look.asks:
            if look.stored.is_meant_by(response.headers.raw):
                return await self._confirmed(look, look.stored, response, lead)
            await response.aclose()
            look.stored = None
            return await self._ask(look, lead)
        if response.status in _FAILURES or response.headers.get_bytes(b"x-degraded") is not None:
            stale = self._stand_in(look)
            if stale is not None:
                if lead is not None:
                    lead.land(Landing(failed=True))
                await response.aclose()
                return stale
        self._counts.miss.value += 1
        return await self._keep(look, response, lead)

    async def _confirmed(self, look: Look, stored: Answer, response: Response, lead: Lead | None) -> Response:
        """Give what is stored, with what the 304 has said of it (RFC 9111, section 4.3.4)."""
        raw = response.headers.raw
        fields = stored.updated_by(raw)
        age = [field for field in raw if field[0] == b"age"]
        await response.aclose()
        terms = self._storing.terms(look, stored.status, fields + age)
        answer = self._storing.made(look, stored.status, fields, terms or stored.terms, stored.data)
        await self._store(look, answer, lead, refused=terms is None)
        self._counts.revalidated.value += 1
        return answer.give(look.method, look.noticed, self._shelf.now(), self._note(look, b"; fwd-status=304"))

    async def _keep(self, look: Look, response: Response, lead: Lead | None) -> Response:
        """Store what may be, now or when its content has come, and give it."""
        raw = response.headers.raw
        if look.method != "GET":
            raw.append((b"cache-status", self._note(look)))
            return response
        terms = self._storing.terms(look, response.status, raw) if self._storing.has_room_for(response) else None
        if terms is None:
            return await self._let_go(look, response, lead)
        fields, body = stored_fields(raw), response.body
        if body.data is not None:
            answer = self._storing.made(look, response.status, fields, terms, body.data)
            await self._store(look, answer, lead)
            if _has_it(look, response):
                await response.aclose()
                return answer.give(look.method, look.noticed, self._shelf.now(), self._note(look, b"; stored"))
        else:
            self._store_later(look, response, fields, terms, lead)
        response.headers.raw.append((b"cache-status", self._note(look, b"; stored")))
        return response

    def _store_later(self, look: Look, response: Response, fields: RawHeaders, terms: Terms, lead: Lead | None) -> None:
        """Store a body that streams when all of it has come."""
        status, length = response.status, response.body.length
        kept_at = self._shelf.now()
        self._storing.open += 1

        def done(content: bytes | Broken) -> None:
            self._storing.open -= 1
            if isinstance(content, bytes):
                answer = self._storing.made(look, status, fields, terms, content, kept_at)
                if isinstance(self._shelf, MemoryShelf):
                    self._stored(look, answer if self._storing.put_now(self._shelf, look, answer) else None, lead)
                else:
                    self._tasks.spawn(self._store(look, answer, lead), name="answer for the cache")
            elif content is Broken.TOO_LONG:
                self._pass(look, lead)
            elif lead is not None:
                lead.leave()

        spool = Spool(response.body, self._max_body, done, self._tasks, self._room)
        response.body = Body.stream(spool, length=length)

    async def _let_go(self, look: Look, response: Response, lead: Lead | None) -> Response:
        """Pass on what is not stored; what stood in its place is no longer right, unless this is a failure."""
        if response.status < 500:
            self._pass(look, lead)
            if look.stored is not None:
                await self._storing.forget(look.key)
        elif lead is not None:
            lead.land(NOTHING_FOR_OTHERS)
        if _has_it(look, response):
            raw = [field for field in response.headers.raw if field[0] != b"content-length"]
            await response.aclose()
            return Response(304, response.headers.from_raw(raw))
        response.headers.raw.append((b"cache-status", self._note(look)))
        return response

    def _pass(self, look: Look, lead: Lead | None) -> None:
        """Have requests for the same wait for none of each other for a while."""
        if look.shares and self._options.pass_for > 0:
            now = self._clock.monotonic()
            self._passed.put(look.variant, None, now, now + self._options.pass_for)
        if lead is not None:
            lead.land(NOTHING_FOR_OTHERS)

    async def _store(self, look: Look, answer: Answer, lead: Lead | None, *, refused: bool = False) -> None:
        """Store an answer, or forget what stood in its place, and tell who waits for it."""
        stored = False
        try:
            if refused:
                await self._storing.forget(look.key)
            else:
                stored = await self._storing.put(look, answer)
        finally:
            self._stored(look, answer if stored else None, lead)

    def _stored(self, look: Look, answer: Answer | None, lead: Lead | None) -> None:
        if answer is not None and look.passed:
            self._passed.pop(look.variant, self._clock.monotonic())
        if lead is not None:
            lead.land(NOTHING_FOR_OTHERS if answer is None else Landing(answer))

    def refresh(self, look: Look) -> None:
        """Ask the service in the background, unless somebody does already; at most so many at a time."""
        look.variant = self._shelf.variant(look.key, look.raw)
        if self.background >= _MOST_BACKGROUND or self.flights.get(look.variant) is not None:
            return
        copy = look.request.apart()
        copy.method = "GET"
        noticed = {name: value for name, value in look.noticed.items() if name == b"authorization"}
        own = Look(copy, look.call_next, look.key, noticed, self._shelf.now())
        own.stored, own.why, own.variant, own.insists = look.stored, look.why, look.variant, True
        self.background += 1
        self._tasks.spawn(self._refreshed(own, self.flights.lead(look.variant)), name="refresh of the cache")

    async def _refreshed(self, look: Look, lead: Lead) -> None:
        response: Response | None = None
        try:
            async with asyncio.timeout(_BACKGROUND_S):
                response = await self._ask(look, lead)
                async for _ in response.body:
                    pass
        except Exception as error:
            logger.debug("a refresh failed: %r", error)
        finally:
            self.background -= 1
            lead.leave()
            if response is not None:
                await response.aclose()

    def _stand_in(self, look: Look) -> Response | None:
        """Return what is stored in place of a failure, when it may be given (RFC 5861, section 4)."""
        stored, now = look.stored, self._shelf.now()
        if stored is None or look.insists or not stored.stands_in(now):
            return None
        self._counts.stale.value += 1
        return stored.give(look.method, look.noticed, now, self._note(look, b"; detail=stale-if-error"))

    def _note(self, look: Look, more: bytes = b"") -> bytes:
        return self._name + b"; fwd=" + look.why + more


def _suits(answer: Answer, look: Look, now: float) -> bool:
    """Return whether an answer to another request is one to this (RFC 9111, section 4)."""
    return answer.use(now, NOTHING) is Use.FRESH and variant_of(answer.names, look.raw) == answer.values


def _has_it(look: Look, response: Response) -> bool:
    """Return whether the client's own conditions, which the service has not seen, say that it has the answer."""
    if (
        look.passed
        or response.status != 200
        or response.body.data is None
        or look.noticed.keys().isdisjoint(CONDITIONS)
    ):
        return False
    return is_current(response.headers.raw, look.noticed)


def _again(error: Exception) -> Exception:
    """Return an error like it, as each request may add to its own."""
    kind = type(error)
    copy = kind.__new__(kind, *error.args)
    copy.__dict__.update(error.__dict__)
    if isinstance(error, UpstreamError) and isinstance(copy, UpstreamError):
        copy.headers = error.headers.copy()
    return copy
