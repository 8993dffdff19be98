"""What people are told of a valid Observatory. It is advice: it never refuses."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.advice import ADVICE_LENGTH
from observatory.api.image import is_floating
from observatory.api.types import JsonObject
from observatory.core.advice import MOST_ADVICE, advise, outline, plan_line
from observatory.core.validation import validate
from tests.fuzz.mutations import mutated

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def task(name: str, *dependencies: str, **fields: object) -> JsonObject:
    return {"name": name, "image": "busybox:1.36", "dependencies": list(dependencies), **fields}


def observatory(*tasks: JsonObject, **spec: object) -> JsonObject:
    return {
        "apiVersion": "workflow.seventh-horizon.io/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"tasks": list(tasks) or [task("a")], **spec},
    }


def advice(*tasks: JsonObject, **spec: object) -> list[str]:
    obj = observatory(*tasks, **spec)
    assert validate(obj) == []
    return [str(each) for each in advise(obj, NOW)]


DIAMOND = (task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"))


def test_the_plan_says_how_many_how_deep_and_how_wide() -> None:
    assert outline(observatory(task("a"))) == "1 task"
    assert outline(observatory(*DIAMOND)) == "4 tasks, 3 levels, widest 2"
    assert (
        outline(observatory(task("a"), task("b"), **{"finally": [task("z")]}))
        == "2 tasks, 1 level, widest 2, then 1 task of finally"
    )


def test_the_plan_of_a_schedule_says_when_it_begins() -> None:
    assert plan_line(observatory(*DIAMOND), NOW) == "plan: 4 tasks, 3 levels, widest 2"
    text = plan_line(observatory(schedule="30 6 * * *", timeZone="Europe/Berlin"), NOW)
    assert text == "plan: 1 task; first run 2026-06-02T04:30Z"


def test_a_plain_workflow_needs_no_advice() -> None:
    assert advice(*DIAMOND) == []
    assert advice(schedule="H 3 * * *") == []
    assert advice(schedule="@hourly") == []
    assert advice(schedule="*/15 8-18 * * 1-5", timeZone="Europe/Berlin") == []


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"schedule": "* * * * *"}, "fires every minute: runs that take longer pile up"),
        (
            {"schedule": "* * * * *", "concurrencyPolicy": "Forbid"},
            "fires every minute: it skips while a run is on (concurrencyPolicy Forbid)",
        ),
        (
            {"schedule": "*/1 * * * *", "concurrencyPolicy": "Replace"},
            "fires every minute: no run gets longer than that (concurrencyPolicy Replace)",
        ),
        ({"schedule": "* 3 * * *"}, 'fires at every minute of its hours; for one run an hour: "0'),
        ({"schedule": "*/40 * * * *"}, "*/40 is not every 40 minutes: it begins anew each hour"),
        ({"schedule": "0 */5 * * *"}, "*/5 is not every 5 hours: it begins anew each day"),
        ({"schedule": "0 0 13 * 5"}, "fires on its days of month and on its weekdays: cron takes"),
        ({"schedule": "0 0 31 * *"}, "leaves out months without a day 31; L is the last day of"),
        ({"schedule": "0 0 29 2 *"}, "fires on 2028-02-29 at the earliest, more than a year"),
        (
            {"schedule": "30 2 * * *", "timeZone": "Europe/Berlin"},
            "clocks of Europe/Berlin skip this time on 2027-03-28: it runs at 03:00",
        ),
        (
            {
                "schedule": "30 2 * * *",
                "timeZone": "Europe/Berlin",
                "daylightSaving": {"skippedTimes": "Skip"},
            },
            "clocks of Europe/Berlin skip this time on 2027-03-28: that run is left out",
        ),
        (
            {
                "schedule": "0 6 1 * *",
                "blackouts": [
                    {"name": "b", "schedule": "0 0 1 * *", "durationSeconds": 86400},
                ],
            },
            "its next 10 times are all within blackouts: it runs at none of them",
        ),
    ],
)
def test_a_schedule_that_is_probably_not_meant_is_told(spec: JsonObject, text: str) -> None:
    (said,) = advice(**spec)
    assert said.startswith(f"spec.schedule: {text}")


@pytest.mark.parametrize(
    ("schedule", "zone"),
    [
        ("30 2 * * *", "UTC"),
        ("30 4 * * *", "Europe/Berlin"),
        ("15 * * * *", "Europe/Berlin"),  # the hour after has one as well
        ("0 2 * * *", "Asia/Tokyo"),
        ("*/5 * * * *", "America/New_York"),
        ("0 0 */2 * 1", "UTC"),  # cron takes both where one begins with a star
        ("0 0 31 1,3 *", "UTC"),
    ],
)
def test_a_schedule_without_a_trap_is_not_told(schedule: str, zone: str) -> None:
    assert advice(schedule=schedule, timeZone=zone) == []


def test_each_of_several_schedules_is_told_at_its_place() -> None:
    items = [{"name": "a", "schedule": "0 1 * * *"}, {"name": "b", "schedule": "* 1 * * *"}]
    (said,) = advice(schedules=items)
    assert said.startswith("spec.schedules[1].schedule: ")


def test_images_that_float_are_told_once() -> None:
    images = ["busybox:1", "busybox", "reg:5000/a/b:latest", f"a@sha256:{'0' * 64}"]
    (said,) = advice(*(task(f"t{i}", image=image) for i, image in enumerate(images)))
    assert said == (
        'spec.tasks[1].image: "busybox" is whatever is latest; pin a tag or a digest (and 1 more)'
    )


@pytest.mark.parametrize(
    ("image", "floats"),
    [
        ("a", True),
        ("a:latest", True),
        ("r:5000/a", True),
        ("r:5000/a:1", False),
        ("a:latest@sha256:x", False),
    ],
)
def test_an_image_floats_unless_it_has_a_tag_or_a_digest(image: str, *, floats: bool) -> None:
    assert is_floating(image) == floats


def test_a_secret_in_plain_text_is_told_without_its_value() -> None:
    env = [
        {"name": "PASSWORD_FILE", "value": "/x"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
        {"name": "dbPassword", "value": "h"},
        {"name": "DB_PASSWORD", "value": "hunter2"},
    ]
    (said,) = advice(task("a", env=env))
    assert said.startswith("spec.tasks[0].env[3].value: a secret that all may read?")
    assert "hunter2" not in said


def test_fields_that_do_nothing_are_told() -> None:
    assert advice(suspend=True) == ["spec.suspend: nothing of it starts until this is false"]
    assert advice(timeZone="UTC", jitterSeconds=5) == [
        "spec.jitterSeconds: has no effect without spec.schedule",
        "spec.timeZone: has no effect without spec.schedule",
    ]
    assert advice(timeZone="UTC", schedule="0 1 * * *") == []


def test_advice_is_bounded() -> None:
    bad = [{"name": f"n{i}", "schedule": "* 3 13 * 5"} for i in range(20)]
    found = advice(task("a", image="x/" * 100 + "y"), schedules=bad)
    assert len(found) == MOST_ADVICE
    (long,) = advice(task("a", image="x/" * 100 + "y"))
    assert len(long) <= ADVICE_LENGTH


@given(st.data())
def test_whatever_is_valid_gets_short_printable_advice(data: st.DataObject) -> None:
    seed = observatory(
        *DIAMOND,
        task("e", env=[{"name": "TOKEN", "value": "x"}], image="busybox"),
        schedule="30 2 * * *",
        timeZone="Europe/Berlin",
        **{"finally": [task("z")]},
    )
    obj = data.draw(mutated([seed]))
    if validate(obj):
        return
    texts = [plan_line(obj, NOW), *map(str, advise(obj, NOW))]
    assert all(len(text) <= ADVICE_LENGTH and text.isprintable() for text in texts)


def test_advice_takes_no_longer_for_schedules_that_are_hard_to_look_through() -> None:
    hard = "0 0 29 2 1#5"
    schedules = [
        {"name": f"s{i}", "schedule": hard, "timeZone": "America/New_York"} for i in range(20)
    ]
    blackouts = [
        {"name": f"b{i}", "schedule": hard, "durationSeconds": 31_536_000} for i in range(50)
    ]
    obj = observatory(schedules=schedules, blackouts=blackouts)
    begun = time.process_time()
    assert len(advise(obj, NOW)) == MOST_ADVICE
    assert time.process_time() - begun < 3
