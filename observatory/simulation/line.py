"""The state of the line between an operator and the server, as faults have left it."""

from __future__ import annotations

from dataclasses import dataclass, field

from observatory.api.names import LEASES, Resource
from observatory.kube.errors import ApiError, from_status
from observatory.simulation.scenario import Fault

_TOO_MANY_REQUESTS = 429


@dataclass(slots=True)
class Line:
    """What becomes of the next requests. Times are those of the loop.

    Attributes:
        rewinds: How many versions the next listing of a resource is old, and for how many seconds
            nothing newer is heard.
        gone: The next watch is refused with 410.
        empty: So many of the next watches end at once, without a word.
    """

    rewinds: dict[str, tuple[int, float]] = field(default_factory=dict)
    gone: bool = False
    empty: int = 0
    _holds: dict[str, float] = field(default_factory=dict)
    _lose: set[str] = field(default_factory=set)
    _delay: dict[str, float] = field(default_factory=dict)
    _refusal: int = 0
    _refused_until: float = 0.0
    _partitions: dict[str, float] = field(default_factory=dict)

    def suffer(self, fault: Fault, now: float) -> None:
        """Become what a fault says. Faults that are not about the line change nothing."""
        until = now + fault.seconds
        match fault.do:
            case "lose":
                self._lose.add(fault.when)
            case "delay":
                self._delay[fault.when] = fault.seconds
            case "refuse":
                self._refusal, self._refused_until = int(fault.value or 500), until
            case "hold":
                self._holds[fault.what] = until
            case "rewind":
                self.rewinds[fault.what] = int(fault.value or 1), fault.seconds
            case "partition":
                self._partitions[fault.what] = until
            case _:
                pass

    def on_the_way(self, number: int) -> tuple[bool, float]:
        """Whether this request is lost, and how much longer it takes."""
        return self._once("before", number)

    def on_the_way_back(self, number: int) -> tuple[bool, float]:
        """The same of its answer."""
        return self._once("after", number)

    def reconnect(self) -> None:
        """Forget what was about the connections of a process that is no more."""
        self._holds.clear()

    def hold(self, resource: Resource, until: float) -> None:
        """Deliver nothing of the watches of a resource until then."""
        self._holds[resource.plural] = max(until, self._holds.get(resource.plural, 0.0))

    def silent_until(self, resource: Resource) -> float:
        """Until when the watches of a resource deliver nothing."""
        return max(self._holds.get(resource.plural, 0.0), self._parted_until(resource))

    def blocked(self, resource: Resource, now: float) -> bool:
        """Whether requests about the resource, and their answers, do not pass now."""
        return now < self._parted_until(resource)

    def _parted_until(self, resource: Resource) -> float:
        about = "leases" if resource == LEASES else "others"
        return max(self._partitions.get(about, 0.0), self._partitions.get("all", 0.0))

    def refused(self, now: float) -> ApiError | None:
        """The answer to whatever is asked now, if it is the same to everything."""
        if now >= self._refused_until:
            return None
        headers = {"Retry-After": "1"} if self._refusal == _TOO_MANY_REQUESTS else {}
        return from_status(self._refusal, b"the server is not well", headers)

    def _once(self, when: str, number: int) -> tuple[bool, float]:
        if not number or not (self._lose or self._delay):
            return False, 0.0
        lost = when in self._lose
        self._lose.discard(when)
        return lost, self._delay.pop(when, 0.0)
