"""Who is recorded as the requester, to and from annotations, and the policies that record it."""

from hypothesis import given
from hypothesis import strategies as st

from observatory.api.requester import RECORDED, STARTING, Requester, requester_manifests

NAMES = st.text(min_size=1, alphabet=st.characters(blacklist_characters="\n"))


@given(NAMES, st.text(), st.lists(NAMES, max_size=5))
def test_a_requester_comes_back_from_its_annotations(
    name: str, uid: str, groups: list[str]
) -> None:
    requester = Requester(name, uid, tuple(groups))
    assert Requester.of(requester.annotations()) == requester


def test_without_a_name_nobody_is_recorded() -> None:
    assert Requester.of({}) is None
    assert Requester.of(dict.fromkeys(RECORDED, "")) is None


def test_what_records_and_what_checks_decide_by_the_same_expressions() -> None:
    manifests = requester_manifests()
    record = manifests["requester_record.yaml"]["spec"]
    check = manifests["requester_check.yaml"]["spec"]
    for field in ("variables", "matchConstraints", "failurePolicy"):
        assert record[field] == check[field]
    assert record["failurePolicy"] == "Fail"
    assert record["reinvocationPolicy"] == "IfNeeded"


def test_each_request_that_begins_runs_makes_its_writer_the_requester() -> None:
    (changed,) = (
        each["expression"]
        for each in requester_manifests()["requester_record.yaml"]["spec"]["variables"]
        if each["name"] == "changed"
    )
    assert all(f"'{name}'" in changed for name in STARTING)
