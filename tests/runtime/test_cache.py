from __future__ import annotations

from dataclasses import replace

import pytest

from observatory.api.names import OBSERVATORIES, PODS, Key
from observatory.runtime.cache import Cache, Scope, owner_key, trim
from tests.core.builders import CHAIN, KEY, manifest, pod_of


def test_what_only_other_clients_need_is_not_cached() -> None:
    obj = manifest({"a": []})
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    obj["metadata"] |= {"managedFields": [{}], "annotations": {applied: "{}", "kept": "yes"}}

    trimmed = trim(obj)

    assert "managedFields" not in trimmed["metadata"]
    assert trimmed["metadata"]["annotations"] == {"kept": "yes"}
    assert trimmed["spec"] is obj["spec"]
    assert applied in obj["metadata"]["annotations"]  # what was given is as it was


@pytest.mark.parametrize(
    ("field", "value"),
    [("generation", "x"), ("finalizers", "orphan"), ("uid", 5), ("name", ["a"]), ("namespace", {})],
)
def test_what_no_api_server_sends_is_not_cached(field: str, value: object) -> None:
    obj = manifest({"a": []})
    obj["metadata"][field] = value

    with pytest.raises(TypeError, match="metadata has a value of another type"):
        trim(obj)


def test_pods_are_found_by_the_observatory_that_they_name() -> None:
    scope = Scope(None)
    mine = pod_of(CHAIN, "a")
    scope.pods.upsert(mine)
    scope.pods.upsert(replace(pod_of(CHAIN, "b"), owner="other"))
    elsewhere = pod_of(CHAIN, "c")
    scope.pods.upsert(replace(elsewhere, key=Key("far", elsewhere.key.name)))

    assert scope.pods_of(KEY) == (mine,)
    assert owner_key(mine) == KEY


def test_each_cache_says_how_much_it_has_seen() -> None:
    scope = Scope(None)
    scope.pods.bookmark(7)

    assert scope.seen() == {OBSERVATORIES: 0, PODS: 7}


def test_one_scope_sees_everything() -> None:
    cache = Cache([])

    assert cache.scope("a") is cache.scope("b")


def test_each_namespace_has_a_scope_of_its_own() -> None:
    cache = Cache(["a", "b"])

    assert (cache.scope("a").namespace, cache.scope("b").namespace) == ("a", "b")
    with pytest.raises(KeyError):
        cache.scope("c")
