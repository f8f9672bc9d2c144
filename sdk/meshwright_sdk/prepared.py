"""`PreparedBalancer`: what is computed once a list and used for each pick; what that is goes elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from meshwright_sdk.balancing import Balancer, Endpoint
from meshwright_sdk.plugin import Context, O_co
from meshwright_sdk.request import Request

T = TypeVar("T")


class PreparedBalancer(Balancer[O_co], Generic[O_co, T]):
    """A balancer that prepares itself for a list once, and picks with what it has prepared.

    What is prepared for the part that a retry passes is used once, and leaves the other in place.
    """

    def __init__(self, options: O_co, context: Context) -> None:
        super().__init__(options, context)
        self._endpoints: Sequence[Endpoint] = ()
        self._prepared: T | None = None

    @abstractmethod
    def prepare(self, endpoints: Sequence[Endpoint]) -> T:
        """Return what picks of `endpoints`, one or more, need; called once a list, so that it may look at each."""

    @abstractmethod
    def choose(self, prepared: T, request: Request) -> Endpoint | None:
        """Return an endpoint of the list that `prepared` was made for, or None when none will do."""

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        """Return what `choose` does."""
        prepared = self._prepared
        if endpoints is not self._endpoints or prepared is None:
            if not endpoints:
                return None
            prepared = self.prepare(endpoints)
            if not request.avoid:
                self._endpoints, self._prepared = endpoints, prepared
        return self.choose(prepared, request)
