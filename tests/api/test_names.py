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
