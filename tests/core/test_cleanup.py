"""Which Pods stay after a run, and when the Observatory itself goes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.core.story import Story, failed, task


def left(story: Story) -> set[str]:
    return {
        f"{pod.identity.task}-{pod.identity.attempt}" for pod in story.pods.values() if pod.identity
    }


def told(retention: str) -> Story:
    story = Story(
        task("a"),
        task("b", retry={"limit": 1}),
        task("c"),
        podRetention=retention,
    )
    story.end("a")
    story.end("b", failed(3))
    story.step(60)
    story.end("b")
    return story


def test_no_pod_goes_before_the_end_of_its_run_is_stored() -> None:
    for retention in ("None", "Failed", "All"):
        story = told(retention)
        assert left(story) == {"a-1", "b-1", "b-2", "c-1"}
        assert story.status.active


@pytest.mark.parametrize(
    ("retention", "stay"),
    [
        ("All", {"a-1", "b-1", "b-2", "c-1"}),
        ("Failed", {"b-1", "c-1"}),
        ("None", set()),
    ],
)
def test_what_stays_is_what_the_retention_says(retention: str, stay: set[str]) -> None:
    story = told(retention)
    story.end("c", failed(3))
    assert left(story) == stay


def test_by_default_the_pods_of_what_failed_stay() -> None:
    story = told("All")
    story.end("c", failed(3))
    del story.manifest["spec"]["podRetention"]
    story.step()
    assert left(story) == {"b-1", "c-1"}


def test_the_pods_of_earlier_runs_go_with_those_of_the_last() -> None:
    story = told("Failed")
    story.end("c", failed(3))
    story.request("retry", "n1")
    story.end("c")
    assert left(story) == {"b-1", "c-1"}
    story.edit(podRetention="None")
    assert left(story) == set()


def test_an_observatory_goes_when_its_time_after_the_end_is_over() -> None:
    story = Story(task("a"), ttlSecondsAfterFinished=100)
    story.end("a")
    assert story.plan().requeue_at == story.now + timedelta(seconds=100)
    story.step(99)
    assert not story.gone
    story.step(1)
    assert story.gone


def test_a_retry_or_an_edit_comes_before_the_end_of_its_time() -> None:
    story = Story(task("a"), ttlSecondsAfterFinished=100)
    story.end("a", failed(3))
    story.now += timedelta(seconds=1000)
    story.request("retry", "n1")
    assert (story.gone, story.status.run) == (False, 2)


def test_without_a_time_it_stays() -> None:
    story = Story(task("a"))
    story.end("a")
    story.step(10**7)
    assert (story.gone, story.plan().requeue_at) == (False, None)
