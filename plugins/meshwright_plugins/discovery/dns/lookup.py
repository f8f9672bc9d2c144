"""`Lookup`: one question to the DNS and what its answer means; it needs dnspython, and asks again for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from meshwright_plugins.discovery.dns.options import DnsOptions, parse_server
from meshwright_sdk import Instance, SideWork

_READ_A_STEP = 50

Found = tuple[str, int, int]
"""Address, port and weight of an instance."""


class LookupFailed(Exception):
    """No answer that names an instance was to be had; says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The instances in order of their URLs, and how long they may be believed."""

    instances: list[Instance]
    ttl_s: float


class Lookup:
    """Asks for one name, with the same server and limits each time.

    Raises ValueError when the name is none, or there is no server to ask.
    """

    def __init__(self, options: DnsOptions, side_work: SideWork) -> None:
        self._options = options
        self._side_work = side_work
        try:
            self._name = dns.name.from_text(options.host, None)
            self._resolver = dns.asyncresolver.Resolver(configure=options.server is None)
        except dns.resolver.NoResolverConfiguration:
            raise ValueError("server: expected one, as the system names none in /etc/resolv.conf; got none") from None
        except dns.exception.DNSException as error:
            raise ValueError(f"host: expected a DNS name ({error}); got {options.host!r}") from None
        if options.server is not None:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(*parse_server(options.server))]
        self._resolver.lifetime = float(options.timeout)

    async def ask(self) -> Answer:
        """Return the present answer; raises LookupFailed, also for a name without instances."""
        try:
            answer = await (self._services() if self._options.record == "srv" else self._hosts())
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed(str(error)) from error
        if not answer.instances:
            raise LookupFailed(f"The DNS answer names no instance: {self._options.host}.")
        return answer

    async def _hosts(self) -> Answer:
        answer = await self._resolve(self._name, self._options.record)
        port = self._options.port or 0
        return await self._answer(((str(record), port, 1) for record in answer), _ttl_s(answer))

    async def _services(self) -> Answer:
        """Follow the records of the best priority only (RFC 2782); a weight of 0 stays 0.

        A target of `.` says that there is no such service.
        """
        answer = await self._resolve(self._name, "srv")
        best = min(record.priority for record in answer)
        records = [each for each in answer if each.priority == best and each.target != dns.name.root]
        found = await asyncio.gather(*(self._addresses(record.target) for record in records))
        instances = (
            (address, record.port, record.weight)
            for record, (addresses, _) in zip(records, found, strict=True)
            for address in addresses
        )
        return await self._answer(instances, min([_ttl_s(answer), *(ttl_s for _, ttl_s in found)]))

    async def _addresses(self, target: dns.name.Name) -> tuple[list[str], float]:
        """Return a target's IPv4 addresses, or IPv6 ones where it has no others; none when it does not exist."""
        ttl_s = float(self._options.max_ttl)
        for record in ("a", "aaaa"):
            try:
                answer = await self._resolve(target, record)
            except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
                continue
            return [str(address) for address in answer], min(ttl_s, _ttl_s(answer))
        return [], ttl_s

    async def _resolve(self, name: dns.name.Name, record: str) -> dns.resolver.Answer:
        return await self._resolver.resolve(name, record, search=self._options.server is None)

    async def _answer(self, found: Iterable[Found], ttl_s: float) -> Answer:
        return Answer(await self._side_work.run(self._instances(found)), ttl_s)

    def _instances(self, found: Iterable[Found]) -> Generator[None, None, list[Instance]]:
        """Return the instances sorted, so that an answer in another order is no change."""
        by_url = {}
        for number, (address, port, weight) in enumerate(found, 1):
            host = f"[{address}]" if ":" in address else address
            url = f"{self._options.scheme}://{host}:{port}"
            by_url[url] = Instance(url=url, weight=weight)
            if number % _READ_A_STEP == 0:
                yield
        return [by_url[url] for url in sorted(by_url)]


def _ttl_s(answer: dns.resolver.Answer) -> float:
    return float(answer.chaining_result.minimum_ttl)
