from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from observatory.machinery.instant import Instant
from observatory.machinery.workqueue import Priority, Taken, WorkQueue

START = Instant(100.0)
HIGH = Priority.NORMAL + 100


def at(seconds: float) -> Instant:
    return Instant(START + seconds)


def take(queue: WorkQueue[str], now: Instant = START) -> str | None:
    taken = queue.get(now)
    return taken.key if taken else None


def take_all(queue: WorkQueue[str], now: Instant = START) -> list[str]:
    keys = []
    while (key := take(queue, now)) is not None:
        keys.append(key)
        queue.done(key)
    return keys


def test_keys_come_out_in_the_order_in_which_they_went_in_and_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a", "c", "b"):
        queue.add(key, START)

    assert take_all(queue) == ["a", "b", "c"]
    assert queue.adds == 3


def test_a_key_that_gets_dirty_while_it_is_worked_on_comes_back_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", START)
    held = take(queue)

    queue.add("a", START)
    queue.add("a", START)
    in_the_meantime = take(queue)
    queue.done("a")

    assert (held, in_the_meantime) == ("a", None)
    assert take_all(queue) == ["a"]


def test_a_key_that_nobody_took_cannot_be_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", START)

    with pytest.raises(KeyError, match="a"):
        queue.done("a")


def test_a_delayed_key_is_handed_out_when_it_falls_due_and_not_before() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_at("a", at(5))

    assert queue.next_deadline() == at(5)
    assert queue.get(at(4.9)) is None
    assert queue.get(at(6)) == Taken("a", Priority.NORMAL, waited_seconds=1.0)
    assert queue.next_deadline() is None


def test_of_two_delays_the_earlier_wins_and_fires_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_at("later first", at(9))
    queue.add_at("later first", at(5))
    queue.add_at("later last", at(5))
    queue.add_at("later last", at(9))

    assert take_all(queue, at(4)) == []
    assert sorted(take_all(queue, at(5))) == ["later first", "later last"]
    assert take_all(queue, at(99)) == []


def test_a_run_before_its_time_takes_the_delayed_entry_along() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_at("a", at(5))

    queue.add("a", START)

    assert queue.next_deadline() is None
    assert take_all(queue) == ["a"]
    assert take_all(queue, at(99)) == []


def test_a_key_that_waits_for_a_worker_needs_no_delayed_entry() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", START)

    queue.add_at("a", at(5))

    assert take_all(queue) == ["a"]
    assert take_all(queue, at(99)) == []


def test_a_worker_can_ask_for_a_later_run_before_it_is_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", START)
    take(queue)

    queue.add_at("a", at(5))
    due_in_hand = queue.get(at(6))
    queue.done("a")

    assert due_in_hand is None
    assert take_all(queue, at(6)) == ["a"]


def test_keys_that_fall_due_together_come_out_in_the_order_of_their_times() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key, due in (("c", 3), ("a", 1), ("b", 2)):
        queue.add_at(key, at(due))

    assert take_all(queue, at(9)) == ["a", "b", "c"]


def test_the_higher_priority_goes_first() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("low", START, priority=Priority.LOW)
    queue.add("normal", START)
    queue.add("high", START, priority=HIGH)

    assert take_all(queue) == ["high", "normal", "low"]


def test_a_key_keeps_its_highest_priority_and_a_raise_sends_it_to_the_back() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("raised", START, priority=Priority.LOW)
    queue.add("first", START)
    queue.add("raised", at(1))
    queue.add("last", at(1))
    queue.add("first", at(1), priority=Priority.LOW)

    taken = [queue.get(at(2)), queue.get(at(2)), queue.get(at(2))]

    assert taken == [
        Taken("first", Priority.NORMAL, 2.0),
        Taken("raised", Priority.NORMAL, 2.0),
        Taken("last", Priority.NORMAL, 1.0),
    ]


def test_the_priority_of_a_delayed_key_is_kept_when_it_is_added_or_delayed_again() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_at("added", at(5), priority=HIGH)
    queue.add("added", START, priority=Priority.LOW)
    queue.add_at("due", at(5), priority=HIGH)
    queue.add_at("due", at(9), priority=Priority.LOW)

    assert queue.get(START) == Taken("added", HIGH, 0.0)
    assert queue.get(at(5)) == Taken("due", HIGH, 0.0)


def test_a_key_in_hand_comes_back_with_the_priority_that_it_got_meanwhile() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", START, priority=Priority.LOW)
    take(queue)

    queue.add("a", at(1), priority=Priority.LOW)
    queue.add("a", at(2), priority=HIGH)
    queue.done("a")

    assert queue.get(at(3)) == Taken("a", HIGH, 2.0)


def test_one_pop_of_eight_serves_the_level_below() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for number in range(100):
        queue.add(f"low-{number}", START, priority=Priority.LOW)
    for number in range(100):
        queue.add(f"normal-{number}", START)

    served = [str(take(queue)).split("-")[0] for _ in range(80)]

    assert served == (["normal"] * 7 + ["low"]) * 10


def test_no_level_starves_under_endless_load_on_all_others() -> None:
    queue: WorkQueue[str] = WorkQueue()
    levels = {"high": HIGH, "normal": Priority.NORMAL, "low": Priority.LOW}
    served: Counter[str] = Counter()
    for key, priority in levels.items():
        queue.add(key, START, priority=priority)

    for _ in range(640):
        key = str(take(queue))
        served[key] += 1
        queue.add(key, START, priority=levels[key])
        queue.done(key)

    assert served == {"high": 560, "normal": 70, "low": 10}


def test_namespaces_take_turns_however_many_keys_one_of_them_has() -> None:
    queue: WorkQueue[str] = WorkQueue(group=lambda key: key.split("/")[0])
    for number in range(1000):
        queue.add(f"big/{number}", START)
    queue.add("small/0", START)
    queue.add("small/1", START)
    queue.add("tiny/0", START)

    first = [take(queue) for _ in range(7)]

    assert first == ["big/0", "small/0", "tiny/0", "big/1", "small/1", "big/2", "big/3"]


ADD = st.builds("{}/{}".format, st.sampled_from("abcd"), st.integers(0, 20))


@given(st.lists(st.none() | ADD, max_size=200))
def test_no_namespace_waits_for_two_keys_of_another_and_each_keeps_its_order(
    steps: list[str | None],
) -> None:
    queue: WorkQueue[str] = WorkQueue(group=lambda key: key[0])
    waiting: dict[str, list[str]] = {}
    # Of each namespace that waits: how often others were served since its first key is the first.
    passed: dict[str, Counter[str]] = {}
    for key in [*steps, *[None] * len(steps)]:
        if key is not None:
            queue.add(key, START)
            mine = waiting.setdefault(key[0], [])
            mine += [key] if key not in mine else []
            passed.setdefault(key[0], Counter())
            continue
        taken = queue.get(START)
        assert (taken is None) == (not waiting)
        if taken is None:
            continue
        queue.done(taken.key)
        space = taken.key[0]
        assert taken.key == waiting[space].pop(0)
        del passed[space]
        if waiting[space]:
            passed[space] = Counter()
        else:
            del waiting[space]
        for other in waiting.keys() - {space}:
            passed[other][space] += 1
            assert passed[other][space] == 1


def test_after_shutdown_nothing_goes_in_and_what_is_dirty_comes_out() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("in hand", START)
    queue.add("waiting", START)
    queue.add_at("delayed", at(5))
    take(queue)
    queue.add("in hand", START)

    queue.shut_down()
    queue.add("late", START)
    queue.add_at("late", START)
    queue.done("in hand")

    assert queue.shutting_down
    assert queue.next_deadline() is None
    assert take_all(queue, at(99)) == ["waiting", "in hand"]


def test_ten_thousand_shutdowns_at_any_moment_leave_nobody_waiting() -> None:
    for number in range(10_000):
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a", START)
        queue.add("b", START)
        held = [take(queue) for _ in range(number % 3)]
        queue.shut_down()
        for key in held:
            queue.done(str(key))
        take_all(queue)
        assert queue.depth() == {}
        assert queue.unfinished_work_seconds(at(1)) == 0


def test_depth_counts_keys_that_wait_for_a_worker_by_priority() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("in hand", START, priority=HIGH)
    take(queue)
    queue.add("in hand", START, priority=HIGH)
    queue.add_at("delayed", at(5))
    queue.add("a", START)
    queue.add("b", START, priority=Priority.LOW)
    queue.add("c", START, priority=Priority.LOW)

    assert queue.depth() == {Priority.NORMAL: 1, Priority.LOW: 2}


def test_a_stuck_worker_shows() -> None:
    queue: WorkQueue[str] = WorkQueue()
    idle = (queue.unfinished_work_seconds(START), queue.longest_running_seconds(START))
    queue.add("a", START)
    queue.add("b", START)
    queue.get(at(1))
    queue.get(at(4))

    assert idle == (0.0, 0.0)
    assert queue.unfinished_work_seconds(at(6)) == 7.0
    assert queue.longest_running_seconds(at(6)) == 5.0


def test_keys_that_always_run_before_their_time_do_not_fill_the_memory() -> None:
    queue: WorkQueue[str] = WorkQueue()

    for _ in range(10_000):
        queue.add_at("a", at(3600))
        queue.add("a", START)
        take_all(queue)
    queue.add_at("b", at(60))

    assert len(queue._deadlines) < 100
    assert queue.next_deadline() == at(60)


def test_delayed_keys_keep_their_order_when_void_entries_are_tidied_up() -> None:
    queue: WorkQueue[str] = WorkQueue()
    dues = {f"{number}": at(1 + number * 37 % 1000) for number in range(1000)}  # 37 shuffles them
    for key, due in dues.items():
        queue.add_at(key, due)
    early = list(dues)[::2] + list(dues)[1:900:2]
    for key in early:
        queue.add(key, START)
    take_all(queue)
    queue.add_at("last", at(1001))

    late = sorted(dues.keys() - set(early), key=lambda key: dues[key])
    assert take_all(queue, at(1001)) == [*late, "last"]


KEYS = st.sampled_from(["a/1", "a/2", "a/3", "b/1", "c/1"])
PRIORITIES = st.sampled_from([*Priority, HIGH])


class Model(RuleBasedStateMachine):
    """The queue beside a description of it: for each key, what is known and nothing of order."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: WorkQueue[str] = WorkQueue(group=lambda key: key[0])
        self.now = START
        self.dirty: dict[str, tuple[Instant, int]] = {}
        self.delayed: dict[str, tuple[Instant, int]] = {}
        self.held: set[str] = set()
        self.shut = False

    def mark_dirty(self, key: str, since: Instant, priority: int) -> None:
        _, delayed = self.delayed.pop(key, (None, priority))
        known_since, known = self.dirty.get(key, (since, priority))
        self.dirty[key] = (known_since, max(known, delayed, priority))

    @rule(key=KEYS, priority=PRIORITIES)
    def add(self, key: str, priority: int) -> None:
        self.queue.add(key, self.now, priority=priority)
        if not self.shut:
            self.mark_dirty(key, self.now, priority)

    @rule(key=KEYS, delay=st.integers(-1, 5), priority=PRIORITIES)
    def add_at(self, key: str, delay: int, priority: int) -> None:
        due = Instant(self.now + delay)
        self.queue.add_at(key, due, priority=priority)
        if not self.shut and key not in self.dirty:
            known, known_priority = self.delayed.get(key, (due, priority))
            self.delayed[key] = (min(due, known), max(priority, known_priority))

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.now = Instant(self.now + seconds)

    @rule()
    def get(self) -> None:
        for key, (due, priority) in list(self.delayed.items()):
            if due <= self.now:
                self.mark_dirty(key, due, priority)
        ready = self.dirty.keys() - self.held

        taken = self.queue.get(self.now)

        assert (taken is not None) == bool(ready)
        if taken is not None:
            since, priority = self.dirty.pop(taken.key)
            assert taken == Taken(taken.key, priority, self.now - since)
            assert taken.key in ready
            self.held.add(taken.key)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        self.held.remove(key)
        self.queue.done(key)

    @precondition(lambda self: self.now > at(20))
    @rule()
    def shut_down(self) -> None:
        self.queue.shut_down()
        self.delayed.clear()
        self.shut = True

    @invariant()
    def the_next_deadline_is_the_earliest_delayed_key(self) -> None:
        expected = min((due for due, _ in self.delayed.values()), default=None)
        assert self.queue.next_deadline() == expected

    @invariant()
    def depth_agrees_with_the_model(self) -> None:
        ready = Counter(p for key, (_, p) in self.dirty.items() if key not in self.held)
        assert self.queue.depth() == ready


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
