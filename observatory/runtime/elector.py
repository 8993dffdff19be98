"""Leader election, in a thread of its own, so that a busy event loop does not cost the lease.

Leading saves work; it does not make writes safe, see `docs/architecture.md`. What it promises: no
write is begun after `valid_until`, a moment at which no other process can lead yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from observatory.api.names import Key
from observatory.kube.credentials import ClusterConfig
from observatory.kube.errors import KubeError, LeaseLost
from observatory.kube.leaseconnection import LeaseConnection
from observatory.machinery.instant import Instant
from observatory.machinery.lease import (
    Create,
    Durations,
    Election,
    Get,
    Lost,
    Released,
    Update,
    Wait,
)
from observatory.runtime.clock import Clock
from observatory.telemetry.log import logger

_NEVER = Instant(float("-inf"))


class Elector:
    """Takes part in the election for one Lease. The callbacks come from its thread.

    `on_started` is called once, when this process leads. `on_lost` is called at most once, with
    the reason, when it led and does not any more, or when the elector has failed: the process has
    to end then. Neither is called after `release`.
    """

    def __init__(
        self,
        config: ClusterConfig,
        lease: Key,
        identity: str,
        durations: Durations,
        clock: Clock,
        *,
        on_started: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._election = Election(identity, durations)
        # Two of these fit into the renew deadline: a renewal that hangs is tried once more.
        seconds = max(1.0, durations.renew_deadline / 4)
        self._connection = LeaseConnection(config, lease, seconds, clock.monotonic)
        self._on_started = on_started
        self._on_lost = on_lost
        self._log = logger("elector", lease=str(lease), identity=identity)
        self._releasing = threading.Event()
        self._publishing = threading.Lock()
        self._thread = threading.Thread(target=self._guarded, name="elector", daemon=True)
        self._valid_until = _NEVER
        self._ended = False
        self._holder = ""
        self._said = ""

    def start(self) -> None:
        """Begin to take part."""
        self._thread.start()

    @property
    def valid_until(self) -> Instant:
        """No write may begin at or after this moment; in the past unless leading."""
        return self._valid_until

    @property
    def leading(self) -> bool:
        """Whether a write may begin now."""
        return self._clock.monotonic() < self._valid_until

    @property
    def alive(self) -> bool:
        """Whether the elector still takes part; not once it has lost, released or failed."""
        return self._thread.is_alive()

    def check(self) -> None:
        """Raise `LeaseLost` unless a write may begin now. To be called right before each write."""
        if not self.leading:
            raise LeaseLost("this process does not hold the Lease")

    def release(self, seconds: float) -> bool:
        """Give the Lease back, so that the next leader need not wait; blocks up to so long.

        Only when nothing writes any more. Returns whether it came to its end in time; if not, the
        Lease runs out by itself.
        """
        with self._publishing:
            self._releasing.set()
            self._valid_until = _NEVER
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 -- whatever it is, nobody renews any more
            self._log.exception("Failed to take part in the election")
            self._end(f"the elector failed: {error!r}")
        finally:
            self._connection.close()

    def _run(self) -> None:
        released = False
        while True:
            if self._releasing.is_set() and not released:
                released = True
                self._election.release(self._clock.monotonic())
            move = self._election.next(self._clock.monotonic(), self._clock.now())
            match move:
                case Wait(until):
                    # While releasing the flag is up already, so this would not wait.
                    seconds = max(0.0, until - self._clock.monotonic())
                    if released:
                        threading.Event().wait(seconds)
                    else:
                        self._releasing.wait(seconds)
                case Lost(reason):
                    self._end(reason)
                    return
                case Released():
                    self._log.info("Released Lease")
                    return
                case Get() | Create() | Update():
                    self._carry_out(move)
            self._publish(released=released)

    def _carry_out(self, move: Get | Create | Update) -> None:
        try:
            match move:
                case Get():
                    lease = self._connection.get()
                    self._election.received(lease, self._clock.monotonic())
                case Create(spec):
                    made = self._connection.create(spec)
                    self._election.wrote(made, self._clock.monotonic())
                case Update(spec, version):
                    made = self._connection.update(spec, version)
                    self._election.wrote(made, self._clock.monotonic())
        except KubeError as error:
            self._election.failed(self._clock.monotonic())
            # Said once until it changes: without a server this comes round every two seconds.
            if str(error) != self._said:
                self._said = str(error)
                self._log.warning("Failed to read or write Lease", error=self._said)
        else:
            self._said = ""

    def _publish(self, *, released: bool) -> None:
        with self._publishing:  # or else `release` could be overwritten
            if released or self._releasing.is_set():
                return
            was_leading = self._valid_until != _NEVER
            self._valid_until = self._election.valid_until
        if self._election.holder != self._holder:
            self._holder = self._election.holder
            self._log.info("Saw new leader", holder=self._holder)
        if self._election.leading and not was_leading:
            self._log.info("Acquired Lease")
            self._on_started()

    def _end(self, reason: str) -> None:
        self._valid_until = _NEVER
        if not self._releasing.is_set() and not self._ended:
            self._ended = True
            self._log.error("Lost Lease", reason=reason)
            self._on_lost(reason)
