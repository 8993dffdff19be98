from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.names import (
    EVENTS,
    PODS,
    Key,
    pod_name,
    revision_hash,
    revision_name,
    run_name,
    short_hash,
)

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=6).map(".".join)


def name(observatory: str = "night", **parts: object) -> str:
    given_parts = {"uid": "u", "run": 1, "revision": "r", "task": "build", "attempt": 1} | parts
    return pod_name(observatory, **given_parts)  # type: ignore[arg-type]


def test_the_name_of_a_pod_can_be_read() -> None:
    assert re.fullmatch(r"night-build-1-[a-z0-9]{8}", name())


@given(names, labels)
def test_whatever_is_cut_the_name_of_a_pod_is_valid_and_its_own(
    observatory: str, task: str
) -> None:
    made = name(observatory, task=task)

    assert len(made) <= 63
    assert SUBDOMAIN.match(made)
    assert made != name(observatory, task=f"{task}x")


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from("a.-"), st.integers(0, 2**31))
def test_names_of_any_length_give_valid_names(
    length: int, task_length: int, joint: str, number: int
) -> None:
    # What an API server takes begins and ends with a letter; an empty name comes from nobody.
    long = f"n{joint}{'x' * length}"[:253].rstrip(".-")
    task = "t" * min(task_length, 62) + "t"
    made = name(long, task=task, run=number, attempt=number)

    assert len(made) <= 63
    assert SUBDOMAIN.match(made)
    assert made.endswith(short_hash("u", str(number), "r", task, str(number)))
    assert len(revision_name(long, short_hash(long))) <= 63
    assert SUBDOMAIN.match(revision_name(long, short_hash(long)))


@given(st.integers(40, 62), st.integers(0, 300))
def test_tasks_that_are_cut_to_the_same_have_pods_of_their_own(common: int, length: int) -> None:
    first, second = ("t" * common + end for end in ("a", "b"))
    made = {name("n" * (length + 17), task=task) for task in (first, second)}

    assert len(made) == 2
    assert len({it.rpartition("-")[0] for it in made}) == 1


@pytest.mark.parametrize(
    "other", [{"uid": "v"}, {"run": 2}, {"revision": "s"}, {"task": "builx"}, {"attempt": 2}]
)
def test_every_part_makes_another_name(other: dict[str, object]) -> None:
    long = "n" * 80

    assert name(long, **other) != name(long)


@given(names)
def test_the_name_of_a_revision_ends_with_its_hash(observatory: str) -> None:
    made = revision_name(observatory, "bcdfghjk")

    assert len(made) <= 63
    assert SUBDOMAIN.match(made)
    assert revision_hash(made) == "bcdfghjk"


def test_parts_do_not_run_into_each_other() -> None:
    assert short_hash("ab", "c") != short_hash("a", "bc")
    assert LABEL.match(short_hash("ab"))


def test_paths_are_those_of_the_api_server() -> None:
    assert PODS.path("ns", "p", "status") == "/api/v1/namespaces/ns/pods/p/status"
    assert EVENTS.path() == "/apis/events.k8s.io/v1/events"
    assert (PODS.qualified, EVENTS.qualified) == ("pods", "events.events.k8s.io")


def test_a_key_reads_as_people_write_it() -> None:
    assert [str(Key("ns", "n")), str(Key("", "n"))] == ["ns/n", "n"]


def test_the_name_of_a_run_fits_and_is_of_no_other_run() -> None:
    run = (1, "default", "2026-03-29T01:30:00Z", "Schedule")
    others = [
        (2, *run[1:]),
        (1, "other", *run[2:]),
        (*run[:2], "2026-03-29T01:30:01Z", "Schedule"),
        (*run[:3], "Backfill"),
    ]
    for parent in ("n", "nightly", "n" * 63, f"{'n' * 40}-x", "a.b"):
        names = {run_name(parent, uid, *each) for each in (run, *others) for uid in ("u", "v")}
        assert len(names) == 10
        for name in names:
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name)
            assert len(name) <= 63
    assert run_name("nightly", "u", *run).startswith("nightly-202603290130-")
