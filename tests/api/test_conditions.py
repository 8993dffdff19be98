from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.conditions import (
    COMPLETE,
    FALSE,
    MESSAGE_LENGTH,
    SUCCEEDED,
    TRUE,
    TYPES,
    UNKNOWN,
    VALID,
    Condition,
    Reason,
    find_condition,
    set_condition,
)

NOW = datetime(2025, 1, 31, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)

conditions = st.builds(
    Condition,
    type=st.sampled_from(sorted(TYPES)),
    status=st.sampled_from([TRUE, FALSE, UNKNOWN]),
    reason=st.sampled_from([reason.value for reason in Reason]),
    message=st.text(max_size=2 * MESSAGE_LENGTH),
    observed_generation=st.integers(min_value=0, max_value=9),
)


def test_a_new_condition_is_appended_with_the_time_in_whole_seconds() -> None:
    fraction = NOW + timedelta(milliseconds=999)
    valid = set_condition((), Condition(VALID, TRUE, Reason.VALID), fraction)
    both = set_condition(valid, Condition(COMPLETE, FALSE, Reason.RUNNING), fraction)
    assert [condition.type for condition in both] == [VALID, COMPLETE]
    assert [condition.last_transition_time for condition in both] == [NOW, NOW]


def test_the_time_stays_while_the_status_does_though_the_rest_changes() -> None:
    before = set_condition((), Condition(VALID, FALSE, "Invalid", "one", 1), NOW)
    (after,) = set_condition(before, Condition(VALID, FALSE, "Invalid", "two", 2), LATER)
    assert (after.message, after.observed_generation) == ("two", 2)
    assert after.last_transition_time == NOW


def test_the_time_moves_when_the_status_changes() -> None:
    before = set_condition((), Condition(VALID, FALSE, "Invalid"), NOW)
    (after,) = set_condition(before, Condition(VALID, TRUE, "Valid"), LATER)
    assert after.last_transition_time == LATER


def test_a_condition_keeps_its_place() -> None:
    before = set_condition((), Condition(VALID, TRUE, "Valid"), NOW)
    before = set_condition(before, Condition(SUCCEEDED, UNKNOWN, "Running"), NOW)
    after = set_condition(before, Condition(VALID, FALSE, "Invalid"), LATER)
    assert [condition.type for condition in after] == [VALID, SUCCEEDED]


def test_a_long_message_is_cut_and_says_so() -> None:
    (condition,) = set_condition((), Condition(VALID, FALSE, "Invalid", "x" * 5000), NOW)
    assert len(condition.message) == MESSAGE_LENGTH
    assert condition.message.endswith("x…")


@given(st.lists(conditions, max_size=12), conditions)
def test_setting_the_same_twice_returns_the_very_same_tuple(
    earlier: list[Condition], new: Condition
) -> None:
    held: tuple[Condition, ...] = ()
    for condition in earlier:
        held = set_condition(held, condition, NOW)
    once = set_condition(held, new, NOW)
    assert set_condition(once, new, LATER) is once
    assert len({condition.type for condition in once}) == len(once)


@given(conditions)
def test_the_wire_gives_back_what_was_put_on_it(new: Condition) -> None:
    (condition,) = set_condition((), new, NOW)
    assert Condition.from_wire(condition.to_wire()) == condition


def test_the_wire_form_is_that_of_a_metav1_condition() -> None:
    (condition,) = set_condition((), Condition(VALID, TRUE, Reason.VALID, "", 3), NOW)
    assert condition.to_wire() == {
        "type": "Valid",
        "status": "True",
        "observedGeneration": 3,
        "lastTransitionTime": "2025-01-31T12:00:00Z",
        "reason": "Valid",
        "message": "",
    }


def test_a_condition_that_was_never_set_has_no_wire_form() -> None:
    with pytest.raises(ValueError, match="condition Valid was not set"):
        Condition(VALID, TRUE, "Valid").to_wire()


def test_conditions_are_found_by_type() -> None:
    held = set_condition((), Condition(VALID, TRUE, "Valid"), NOW)
    held = set_condition(held, Condition(COMPLETE, FALSE, "Running"), NOW)
    assert find_condition(held, COMPLETE) == held[1]
    assert find_condition(held, SUCCEEDED) is None


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_one_word_with_a_sentence(reason: Reason) -> None:
    assert reason.value.isalpha()
    assert reason.value[0].isupper()
    assert str(reason) == reason.value
    assert reason.explanation.endswith(".")


def test_a_generation_that_is_null_is_none_at_all() -> None:
    wire = {"type": "Valid", "status": "True", "reason": "Valid", "observedGeneration": None}
    wire["lastTransitionTime"] = "2026-01-01T12:00:00Z"
    assert Condition.from_wire(wire).observed_generation == 0
