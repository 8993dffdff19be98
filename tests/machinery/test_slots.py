from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from observatory.api.names import Key
from observatory.machinery.slots import Ask, Offer, Place, Slots

HOG, SMALL = Key("hog", "night"), Key("small", "one")


def ask(key: Key, wish: int, *, active: int = 0, version: int = 1, since: float = 0) -> Ask:
    return Ask(key, Place(late=True, since=since), version, active, wish)


def grab(slots: Slots, wanted: Ask) -> int:
    """Take as much as is offered, have it stored, and wait for the rest."""
    offered = min(slots.offer(wanted).slots, wanted.wish)
    slots.take(wanted, offered, wanted.wish - offered)
    slots.settle(wanted.key, wanted.version + bool(offered), wanted.active + offered)
    return offered


def test_nobody_else_waiting_a_run_gets_whatever_is_free() -> None:
    slots = Slots(None, 10)
    assert grab(slots, ask(HOG, 4)) == 4
    assert grab(slots, ask(SMALL, 20)) == 6
    assert (slots.active(), slots.active("hog"), slots.next_up()) == (10, 4, ())


def test_what_is_full_is_named_the_namespace_before_the_cluster() -> None:
    slots = Slots(2, 3)
    assert slots.offer(ask(HOG, 5)) == Offer(2, "NamespaceLimit", 2)
    grab(slots, ask(HOG, 5))
    assert slots.offer(ask(SMALL, 5)) == Offer(1, "ClusterLimit", 3)


def test_a_small_tenant_is_served_before_a_hog_gets_one_more() -> None:
    slots = Slots(None, 5)
    assert grab(slots, ask(HOG, 1000)) == 5
    assert grab(slots, ask(SMALL, 1)) == 0
    # One of the hog's Pods has ended: its own next task is ready, and has to wait.
    again = ask(HOG, 996, active=4, version=2)
    assert slots.offer(again).slots == 0
    slots.take(again, 0, 996)
    assert slots.next_up() == (SMALL,)
    assert grab(slots, ask(SMALL, 1)) == 1


def test_with_nobody_waiting_a_slot_goes_from_an_ended_task_to_the_next_in_one_plan() -> None:
    slots = Slots(1, 1)
    grab(slots, ask(HOG, 1))
    assert slots.offer(ask(HOG, 1, active=0, version=2)).slots == 1


def test_starts_in_flight_are_taken_before_anything_is_stored() -> None:
    slots = Slots(None, 3)
    first = ask(HOG, 3)
    slots.take(first, slots.offer(first).slots, 0)
    assert slots.offer(ask(SMALL, 1)).slots == 0
    slots.settle(HOG, 2, 1)  # two of the three were refused
    assert slots.offer(ask(SMALL, 5)).slots == 2


def test_starts_of_which_no_answer_came_stay_taken_until_a_newer_version_tells() -> None:
    slots = Slots(None, 3)
    first = ask(HOG, 3)
    slots.take(first, slots.offer(first).slots, 0)
    slots.drop(HOG, doubtful=True)
    slots.recorded(HOG, 1, 0)  # a late event about the version that was planned from
    slots.settle(HOG, 1, 0)  # another plan from it had nothing to store
    assert slots.offer(ask(SMALL, 1)).slots == 0
    assert slots.offer(first).slots == 3  # who took them may try again
    slots.recorded(HOG, 2, 1)
    assert slots.offer(ask(SMALL, 5)).slots == 2


def test_starts_that_were_refused_are_given_back() -> None:
    slots = Slots(None, 3)
    first = ask(HOG, 3)
    slots.take(first, slots.offer(first).slots, 5)
    slots.drop(HOG, doubtful=False)
    assert slots.offer(ask(SMALL, 5)).slots == 3


def test_what_is_planned_from_an_object_that_has_changed_takes_nothing() -> None:
    slots = Slots(None, 3)
    slots.recorded(HOG, 5, 1)
    stale = ask(HOG, 2, active=0, version=4)
    slots.take(stale, min(slots.offer(stale).slots, 2), 0)
    assert slots.active() == 1


def test_pods_of_a_deleted_observatory_count_until_they_have_ended() -> None:
    slots = Slots(None, 3)
    slots.recorded(HOG, 5, 3)
    slots.gone(HOG)
    assert slots.active() == 3
    slots.gone(HOG, 1)
    assert slots.offer(ask(SMALL, 5)).slots == 2
    slots.recorded(HOG, 9, 1)  # a namesake, while the last one ends
    assert slots.active() == 2
    slots.strays(HOG, 0)
    assert slots.active() == 1


def test_one_that_can_use_nothing_for_now_keeps_nothing_free() -> None:
    slots = Slots(None, 1)
    grab(slots, ask(HOG, 1))
    grab(slots, ask(SMALL, 1))
    grab(slots, ask(Key("third", "x"), 1))
    slots.recorded(HOG, 3, 0)
    assert slots.next_up() == (SMALL,)
    slots.withdraw(SMALL)
    assert slots.next_up() == (Key("third", "x"),)


def test_within_a_namespace_the_run_that_began_first_goes_first_and_finally_before_it() -> None:
    slots = Slots(1, None)
    grab(slots, ask(Key("a", "full"), 1))
    for name, late, since in (("new", True, 2), ("old", True, 1), ("cleans", False, 3)):
        slots.take(Ask(Key("a", name), Place(late, since), 1, 0, 1), 0, 1)
    order = []
    for version in range(3, 9, 2):
        slots.recorded(Key("a", "full"), version, 0)
        (called,) = slots.next_up()
        order.append(called.name)
        slots.take(ask(called, 1), 0, 0)
        slots.recorded(Key("a", "full"), version + 1, 1)
    assert order == ["cleans", "old", "new"]


def test_with_limits_of_namespaces_alone_nobody_waits_for_another_namespace() -> None:
    slots = Slots(2, None)
    assert grab(slots, ask(HOG, 1000)) == 2
    assert grab(slots, ask(SMALL, 2)) == 2


def test_a_lower_limit_than_what_runs_offers_nothing() -> None:
    slots = Slots(None, 2)
    slots.recorded(HOG, 1, 7)
    assert slots.offer(ask(SMALL, 1)).slots == 0


def test_nothing_is_remembered_of_who_has_nothing_and_waits_for_nothing() -> None:
    slots = Slots(5, 5)
    for number in range(100):
        key = Key(f"ns{number}", "x")
        grab(slots, ask(key, 1))
        slots.recorded(key, 9, 0)
    assert not any((slots._claims, slots._held, slots._lines, slots._served))


VERSIONS = count(1000)
DEMANDS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 12), min_size=1)


def serve(slots: Slots, demands: dict[str, int]) -> list[str]:
    """Let those who are called ask until nobody is: the namespaces that took one, in order."""
    took: list[str] = []
    while called := slots.next_up():
        key = called[0]
        have, rest = slots.active(key.namespace), demands[key.namespace]
        asked = ask(key, rest, active=have, version=next(VERSIONS))
        assert slots.offer(asked).slots > 0
        slots.take(asked, 1, rest - 1)  # one at a time
        slots.settle(key, next(VERSIONS), have + 1)
        demands[key.namespace] -= 1
        took.append(key.namespace)
    return took


@given(DEMANDS, st.integers(1, 30), st.none() | st.integers(1, 6))
def test_shares_are_max_min_fair_and_nothing_stays_free_that_somebody_may_have(
    wanted: dict[str, int], cluster: int, namespace: int | None
) -> None:
    slots, demands = Slots(namespace, cluster), dict(wanted)
    slots.recorded(HOG, 1, cluster)  # everybody waits
    for name, wish in wanted.items():
        assert grab(slots, ask(Key(name, "x"), wish)) == 0
    slots.recorded(HOG, 2, 0)
    serve(slots, demands)

    got = {name: slots.active(name) for name in wanted}
    may = {name: min(wanted[name], namespace or wanted[name]) for name in wanted}
    assert sum(got.values()) == min(cluster, sum(may.values()))
    for name in wanted:
        if got[name] < may[name]:
            assert all(other <= got[name] + 1 for other in got.values())


@given(DEMANDS.filter(lambda wanted: len(wanted) > 1), st.data())
def test_no_namespace_that_has_nothing_sees_another_served_twice(
    wanted: dict[str, int], data: st.DataObject
) -> None:
    slots, demands = Slots(None, 1), dict(wanted)
    slots.recorded(HOG, 1, 1)
    order = data.draw(st.permutations(sorted(wanted)))
    for name in order:
        grab(slots, ask(Key(name, "x"), wanted[name]))
    served: list[str] = []
    for _ in range(sum(wanted.values())):
        slots.recorded(HOG, next(VERSIONS), 0)
        (name,) = serve(slots, demands)
        served.append(name)
        slots.recorded(HOG, next(VERSIONS), 1)
        slots.recorded(Key(name, "x"), next(VERSIONS), 0)  # it has ended
    assert served[: len(order)] == order
    assert all(served.count(name) == wanted[name] for name in wanted)


@dataclass
class Stored:
    """An Observatory at the server, and what a controller knows of it."""

    versions: list[frozenset[int]] = field(default_factory=lambda: [frozenset()])
    known: int = 0
    put: tuple[Ask, frozenset[int]] | None = None
    late: list[tuple[int, frozenset[int]]] = field(default_factory=list)
    landed: int | None = None

    @property
    def running(self) -> frozenset[int]:
        return self.versions[-1]


KEYS = [Key("a", "x"), Key("a", "y"), Key("b", "x"), Key("c", "x")]
key_of = st.sampled_from(KEYS)


class NeverMoreThanAllowed(RuleBasedStateMachine):
    """Runs that ask, store, lose answers, conflict and end, with a watch that comes late."""

    NAMESPACE, CLUSTER = 3, 4

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(self.NAMESPACE, self.CLUSTER)
        self.stored = {key: Stored() for key in KEYS}
        self.ended: set[int] = set()
        self.pods = 0

    @rule(key=key_of, wish=st.integers(0, 6))
    def plans(self, key: Key, wish: int) -> None:
        it = self.stored[key]
        if it.put is not None:
            return
        live = it.versions[it.known] - self.ended
        asked = Ask(key, Place(late=True, since=0), it.known, len(live), wish)
        starts = min(self.slots.offer(asked).slots, wish)
        self.slots.take(asked, starts, wish - starts)
        new = frozenset(range(self.pods, self.pods + starts))
        self.pods += starts
        if live | new == it.versions[it.known]:
            self.slots.settle(key, it.known, len(live))
        else:
            it.put, it.landed = (asked, live | new), None

    @rule(key=key_of)
    def lands(self, key: Key) -> None:
        it = self.stored[key]
        if it.put is not None and it.landed is None:
            asked, rows = it.put
            if asked.version == len(it.versions) - 1:
                it.versions.append(rows)
                it.landed = len(it.versions) - 1

    @rule(key=key_of)
    def is_answered(self, key: Key) -> None:
        it = self.stored[key]
        if it.put is None:
            return
        if it.landed is not None:
            it.known = max(it.known, it.landed)
            self.slots.settle(key, it.landed, len(it.versions[it.landed]))
        elif it.put[0].version == len(it.versions) - 1:
            return  # nobody has answered yet
        else:
            self.slots.drop(key, doubtful=True)
        it.put = None

    @rule(key=key_of)
    def gets_no_answer(self, key: Key) -> None:
        it = self.stored[key]
        if it.put is not None:
            if it.landed is None:
                it.late.append((it.put[0].version, it.put[1]))
            self.slots.drop(key, doubtful=True)
            it.put = None

    @rule(key=key_of)
    def lands_late(self, key: Key) -> None:
        it = self.stored[key]
        if it.late and it.put is None:
            version, rows = it.late.pop()
            if version == len(it.versions) - 1:
                it.versions.append(rows)

    @rule(key=key_of)
    def is_edited(self, key: Key) -> None:
        self.stored[key].versions.append(self.stored[key].running)

    @rule(key=key_of)
    def is_watched(self, key: Key) -> None:
        it = self.stored[key]
        it.known = len(it.versions) - 1
        self.slots.recorded(key, it.known, len(it.running))

    @rule(key=key_of)
    @precondition(lambda self: any(it.running for it in self.stored.values()))
    def has_a_pod_that_ends(self, key: Key) -> None:
        if running := sorted(self.stored[key].running - self.ended):
            self.ended.add(running[0])

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        active = {key: len(it.running - self.ended) for key, it in self.stored.items()}
        assert sum(active.values()) <= self.CLUSTER
        for name in "abc":
            assert sum(n for key, n in active.items() if key.namespace == name) <= self.NAMESPACE


TestNeverMoreThanAllowed = NeverMoreThanAllowed.TestCase
TestNeverMoreThanAllowed.settings = settings(max_examples=200, stateful_step_count=60)


@pytest.mark.parametrize("runs", [5000])
def test_thousands_that_wait_cost_little_and_one_more_tenant_is_next(runs: int) -> None:
    slots = Slots(None, 10)
    for number in range(runs):
        grab(slots, ask(Key("hog", f"r{number:05}"), 1, since=number))
    grab(slots, ask(SMALL, 1, since=runs))
    assert slots.next_up() == ()
    slots.recorded(Key("hog", "r00000"), 3, 0)
    assert slots.next_up() == (SMALL,)
