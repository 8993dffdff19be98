"""Leader election: the decisions of client-go's `leaderelection`, as a state machine.

A Lease does not fence: a paused leader wakes up and goes on writing. `valid_until` narrows that
window; only writes with a resourceVersion close it. What differs from client-go, and why:

- Leadership is counted from the moment at which the request of the last renewal was sent, not from
  its answer: the API server may have stored it at any time in between.
- A leader that reads another holder in the Lease stops at once instead of trying on.
- `release` looks at the Lease that it has just read. client-go looks at its memory, and so can
  take the Lease from a new holder.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import TypeAlias

from observatory.api.jitter import fraction
from observatory.api.times import micro_time
from observatory.api.types import JsonObject
from observatory.machinery.instant import Instant

_JITTER = 1.2
"""client-go's JitterFactor: candidates wait for 1 to 2.2 retry periods."""
_NEVER = Instant(float("-inf"))
_MOST_SECONDS = 3600
"""A Lease that claims more is believed this much: a typing error must not stop work for years.
Taking it too early costs writes that are refused, never a second start."""
_MOST_TRANSITIONS = 2**31 - 1
"""The API server takes no more."""


@dataclass(frozen=True, slots=True)
class Durations:
    """The three durations of leader election, in seconds.

    Raises ValueError when a slow renewal would outlive the lease, or would be given up before it
    was tried twice.
    """

    lease: float = 15.0
    """How long the others wait after the last renewal that they saw."""
    renew_deadline: float = 10.0
    """How long a leader leads on after its last renewal."""
    retry_period: float = 2.0
    """How often a leader renews and a candidate looks."""

    def __post_init__(self) -> None:
        lease, renew, retry = (
            f"--lease-duration ({self.lease:g}s)",
            f"--lease-renew-deadline ({self.renew_deadline:g}s)",
            f"--lease-retry-period ({self.retry_period:g}s)",
        )
        for flag, seconds in (
            (lease, self.lease),
            (renew, self.renew_deadline),
            (retry, self.retry_period),
        ):
            if not seconds >= 1:  # NaN too
                raise ValueError(f"{flag} must be at least 1s")
        if not float(self.lease).is_integer():
            raise ValueError(f"{lease} must be whole seconds, because the Lease stores no fraction")
        if self.lease > _MOST_SECONDS:
            raise ValueError(f"{lease} must be at most {_MOST_SECONDS}s: so long would nobody work")
        if self.renew_deadline >= self.lease:
            raise ValueError(f"{renew} must be less than {lease}")
        if self.retry_period * _JITTER >= self.renew_deadline:
            raise ValueError(f"{retry} times {_JITTER:g} must be less than {renew}")


@dataclass(frozen=True, slots=True)
class Get:
    """Read the Lease, then call `received` with it, with None on 404, or else `failed`."""


@dataclass(frozen=True, slots=True)
class Create:
    """POST a Lease with this spec, then call `wrote` with the answer, or else `failed`."""

    spec: JsonObject


@dataclass(frozen=True, slots=True)
class Update:
    """Write this spec, under the precondition that `resource_version` is still the current one.

    Then call `wrote` with the answer, or else `failed`. A merge patch with the resourceVersion in
    its metadata keeps labels that others have put on the Lease.
    """

    spec: JsonObject
    resource_version: str


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing to do before `until`."""

    until: Instant


@dataclass(frozen=True, slots=True)
class Lost:
    """This process led and does not lead any more. It has to end at once, without a farewell."""

    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """`release` has come to its end, whether it could write to the Lease or not."""


Move: TypeAlias = Get | Create | Update | Wait | Lost | Released


class _Stage(Enum):
    """Where a round stands: what the next move is made from."""

    IDLE = auto()
    RENEW = auto()
    """Leading: write what we remember without reading first, which saves every other request."""
    READ = auto()
    """The Lease has to be read."""
    WRITE = auto()
    """The Lease has been read and is ours to write."""


class Election:
    """One candidate. Call `next`, do what it says, report the outcome, and so on.

    Times in the record are never compared with a clock of ours: another holder's lease runs from
    the moment at which *we* saw its record change. So a new candidate waits for a full lease, and
    skewed clocks do no harm. `now` is monotonic; `wall` only goes into the record, for people.
    """

    def __init__(self, identity: str, durations: Durations) -> None:
        if not identity:
            raise ValueError("the identity of a candidate must not be empty")
        self._identity = identity
        self._durations = durations
        self._stage = _Stage.IDLE
        self._next_round = _NEVER
        self._rounds = 0
        self._round_began = _NEVER
        self._sent_at = _NEVER
        self._spec: JsonObject | None = None  # None: there is no Lease
        self._resource_version = ""
        self._observed_at = _NEVER
        self._leading = False
        self._lost = ""
        self._release_until: Instant | None = None
        self.valid_until = _NEVER
        """Send no write at or after this instant; in the past unless leading."""

    @property
    def leading(self) -> bool:
        """Whether we acquired the Lease and neither lost nor released it; see `valid_until`."""
        return self._leading

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen, or nothing."""
        return str((self._spec or {}).get("holderIdentity") or "")

    def next(self, now: Instant, wall: datetime) -> Move:
        """What to do now. The time of this call counts as the time at which it is done."""
        if self._leading and now >= self.valid_until:
            self._lose(f"the Lease was not renewed for {self._durations.renew_deadline:g}s")
        if self._release_until is not None and now >= self._release_until:
            return Released()
        if self._lost:
            return Lost(self._lost)
        if self._stage is _Stage.IDLE:
            if now < self._next_round:
                return Wait(min(self._next_round, self._deadline()))
            self._round_began = now
            self._stage = _Stage.RENEW if self._leading else _Stage.READ
        self._sent_at = now
        if self._stage is _Stage.READ:
            return Get()
        spec = self._claim(wall) if self._release_until is None else self._farewell(wall)
        return Create(spec) if self._spec is None else Update(spec, self._resource_version)

    def received(self, lease: JsonObject | None, now: Instant) -> None:
        """The answer to `Get`: the Lease, or None if there is none."""
        self._observe(lease, now)
        if self._release_until is not None:
            if self.holder == self._identity:
                self._stage = _Stage.WRITE
            else:
                self._release_until = _NEVER
        elif self._leading and self.holder not in ("", self._identity):
            self._lose(f"{self.holder} holds the Lease")
        elif self._may_take(now):
            self._stage = _Stage.WRITE
        else:
            self._end_round(now)

    def wrote(self, lease: JsonObject, now: Instant) -> None:
        """The answer to `Create` or `Update`: the Lease as stored."""
        self._observe(lease, now)
        if self._release_until is not None:
            self._release_until = _NEVER
            return
        valid_until = Instant(self._sent_at + self._durations.renew_deadline)
        # An answer can be so late that what it grants has run out.
        if now < valid_until:
            self._leading = True
            self.valid_until = valid_until
        self._end_round(now)

    def failed(self, now: Instant) -> None:
        """The request was refused, or there was no answer to it. A 404 to `Get` is no failure."""
        if self._stage is _Stage.RENEW:
            self._stage = _Stage.READ  # what we remember may be outdated
        else:
            self._end_round(now)

    def release(self, now: Instant) -> None:
        """Stop leading, and give the Lease back so that nobody has to wait for it to run out.

        Only when nothing writes any more: from here on another process may lead. Go on with `next`
        until it says `Released`, which is after the renew deadline at the latest.
        """
        deadline = Instant(now + self._durations.renew_deadline)
        self._release_until = deadline if self._leading else _NEVER
        self._leading = False
        self.valid_until = _NEVER
        self._stage = _Stage.READ

    def _observe(self, lease: JsonObject | None, now: Instant) -> None:
        spec = None
        if lease is not None:
            self._resource_version = lease["metadata"]["resourceVersion"]
            found = lease.get("spec")
            spec = found if isinstance(found, dict) else {}
        if spec != self._spec:
            self._spec = spec
            self._observed_at = now

    def _may_take(self, now: Instant) -> bool:
        if self._spec is None or self.holder in ("", self._identity):
            return True
        seconds = self._spec.get("leaseDurationSeconds")
        if not isinstance(seconds, int | float) or seconds <= 0:
            seconds = self._durations.lease
        return now >= self._observed_at + min(seconds, _MOST_SECONDS)

    def _deadline(self) -> Instant:
        """When the present state ends by itself."""
        if self._release_until is not None:
            return self._release_until
        return self.valid_until if self._leading else Instant(float("inf"))

    def _end_round(self, now: Instant) -> None:
        self._stage = _Stage.IDLE
        self._rounds += 1
        retry = self._durations.retry_period
        if self._leading:
            self._next_round = Instant(self._round_began + retry)
        else:
            # Candidates that were started together shall not look together.
            jitter = 1 + _JITTER * fraction(self._identity, self._rounds)
            self._next_round = Instant(now + retry * jitter)

    def _lose(self, reason: str) -> None:
        self._lost = reason
        self._leading = False
        self.valid_until = _NEVER

    def _claim(self, wall: datetime) -> JsonObject:
        """The record that makes us the holder, or keeps us so."""
        old = self._spec or {}
        ours = self.holder == self._identity
        transitions = old.get("leaseTransitions")
        if type(transitions) is not int or not 0 <= transitions < _MOST_TRANSITIONS:
            transitions = 0  # somebody else wrote it; counted on, it would be refused
        return {
            **old,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._durations.lease),
            "acquireTime": (ours and old.get("acquireTime")) or micro_time(wall),
            "renewTime": micro_time(wall),
            "leaseTransitions": transitions if ours or not old else transitions + 1,
        }

    def _farewell(self, wall: datetime) -> JsonObject:
        """The record that leaves the Lease to whoever comes."""
        return {
            **(self._spec or {}),
            "holderIdentity": "",
            "leaseDurationSeconds": 1,  # the API server refuses 0
            "acquireTime": micro_time(wall),
            "renewTime": micro_time(wall),
        }
