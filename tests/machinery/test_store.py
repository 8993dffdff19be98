from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.names import Key
from observatory.machinery.store import Change, Identity, Store


@dataclass(frozen=True, slots=True)
class Star:
    name: str
    version: int
    uid: str = "uid-1"
    owners: tuple[str, ...] = ()


def identify(star: Star) -> Identity:
    return Identity(Key("night", star.name), star.uid, star.version)


def owners(star: Star) -> Iterable[str]:
    if "poison" in star.owners:
        raise ValueError(star.name)
    return star.owners


def store_of(*stars: Star) -> Store[Star]:
    store = Store(identify, {"owner": owners})
    for star in stars:
        store.upsert(star)
    return store


def key(name: str) -> Key:
    return Key("night", name)


def test_an_object_is_added_updated_and_deleted() -> None:
    store = store_of()
    first, second = Star("vega", 1), Star("vega", 2)

    assert store.upsert(first) == (Change(None, first),)
    assert store.upsert(second) == (Change(first, second),)
    assert store.get(key("vega")) is second
    assert store.delete(identify(Star("vega", 3))) == (Change(second, None),)
    assert store.get(key("vega")) is None
    assert store.delete(identify(Star("vega", 3))) == ()


def test_an_equal_or_older_version_changes_nothing() -> None:
    store = store_of(Star("vega", 9))

    assert store.upsert(Star("vega", 9)) == ()
    assert store.upsert(Star("vega", 8)) == ()
    assert store.upsert(Star("vega", 8, uid="uid-of-a-predecessor")) == ()
    assert store.delete(identify(Star("vega", 8))) == ()
    assert store.get(key("vega")) == Star("vega", 9)


def test_versions_compare_as_numbers() -> None:
    store = store_of(Star("vega", 999))

    changes = store.upsert(Star("vega", 1000))

    assert changes == (Change(Star("vega", 999), Star("vega", 1000)),)


def test_a_namesake_is_a_delete_and_an_add() -> None:
    old = Star("vega", 1, uid="old", owners=("lyra",))
    new = Star("vega", 5, uid="new", owners=("lyra",))
    store = store_of(old)

    assert store.upsert(new) == (Change(old, None), Change(None, new))
    assert store.by_index("owner", "lyra") == (new,)


def test_a_namesake_in_a_listing_is_a_delete_and_an_add() -> None:
    old, new = Star("vega", 1, uid="old"), Star("vega", 5, uid="new")
    store = store_of(old)

    assert store.replace([new], 6) == (Change(old, None), Change(None, new))


def test_a_listing_deletes_what_it_lacks_first_and_each_once_then_follows_its_order() -> None:
    store = store_of(Star("vega", 1), Star("deneb", 2), Star("altair", 3))

    changes = store.replace([Star("sirius", 7), Star("deneb", 2), Star("altair", 8)], 10)

    assert changes == (
        Change(Star("vega", 1), None),
        Change(None, Star("sirius", 7)),
        Change(Star("altair", 3), Star("altair", 8)),
    )
    assert sorted(star.name for star in store.values()) == ["altair", "deneb", "sirius"]


def test_the_store_is_complete_before_a_listing_reports_its_changes() -> None:
    store = store_of(Star("vega", 1, owners=("lyra",)))

    changes = store.replace([Star("deneb", 2, owners=("cygnus",))], 3)

    assert [store.get(key(star.name)) for change in changes if (star := change.new)] == [
        Star("deneb", 2, owners=("cygnus",))
    ]
    assert store.get(key("vega")) is None
    assert store.by_index("owner", "lyra") == ()


def test_a_listing_does_not_delete_what_is_newer_than_itself() -> None:
    store = store_of(Star("vega", 12))

    assert store.replace([], 11) == ()
    assert store.replace([Star("vega", 10)], 11) == ()
    assert store.get(key("vega")) == Star("vega", 12)
    assert store.replace([], 12) == (Change(Star("vega", 12), None),)


def test_the_store_is_synced_by_a_listing_and_by_nothing_else() -> None:
    store = store_of(Star("vega", 1))
    store.bookmark(5)
    assert not store.synced

    store.replace([], 6)

    assert store.synced


def test_the_version_is_the_newest_seen_of_anything() -> None:
    store = store_of(Star("vega", 3))
    seen = [store.version]

    store.bookmark(7)
    seen.append(store.version)
    store.upsert(Star("deneb", 5))
    seen.append(store.version)
    store.delete(identify(Star("vega", 9)))
    seen.append(store.version)
    store.replace([], 11)
    seen.append(store.version)
    store.bookmark(10)
    seen.append(store.version)

    assert seen == [3, 7, 7, 9, 11, 11]


def test_an_index_follows_its_objects_through_several_values() -> None:
    store = store_of(Star("castor", 1, owners=("gemini", "sextuple")))

    store.upsert(Star("castor", 2, owners=("gemini", "binary")))

    assert store.by_index("owner", "gemini") == (Star("castor", 2, owners=("gemini", "binary")),)
    assert store.by_index("owner", "binary") == store.by_index("owner", "gemini")
    assert store.by_index("owner", "sextuple") == ()


def test_an_index_lists_objects_in_the_order_in_which_they_came() -> None:
    store = store_of(*(Star(name, 1, owners=("lyra",)) for name in ("vega", "sheliak", "sulafat")))

    store.upsert(Star("vega", 2, owners=("lyra",)))

    assert [star.name for star in store.by_index("owner", "lyra")] == ["vega", "sheliak", "sulafat"]


def test_an_index_does_not_keep_values_that_no_object_has() -> None:
    store = store_of()
    for number in range(100):
        store.upsert(Star("vega", number + 1, uid=f"{number}", owners=(f"owner-{number}",)))

    store.delete(identify(Star("vega", 200)))

    assert store._indexes == {"owner": {}}


def test_an_index_that_nobody_defined_is_an_error() -> None:
    with pytest.raises(KeyError, match="constellation"):
        store_of().by_index("constellation", "lyra")


def test_an_object_that_cannot_be_indexed_is_found_out_and_changes_nothing() -> None:
    store = store_of(Star("vega", 1, owners=("lyra",)))
    bad = Star("vega", 2, owners=("poison",))

    with pytest.raises(ValueError, match="vega"):
        store.check(bad)
    with pytest.raises(ValueError, match="vega"):
        store.upsert(bad)

    with pytest.raises(TypeError, match="unhashable"):
        store.check(Star("vega", 2, owners=(["lyra"],)))  # type: ignore[arg-type]

    assert store.check(Star("vega", 2)) == identify(Star("vega", 2))
    assert store.get(key("vega")) == Star("vega", 1, owners=("lyra",))
    assert len(store.by_index("owner", "lyra")) == len(store) == 1


STARS = st.builds(
    Star,
    name=st.sampled_from("abc"),
    version=st.integers(1, 30),
    uid=st.sampled_from(["uid-1", "uid-2"]),
    owners=st.lists(st.sampled_from("xyz"), max_size=3).map(tuple),
)
OPERATIONS = st.one_of(
    st.tuples(st.just("upsert"), STARS),
    st.tuples(st.just("delete"), STARS),
    st.tuples(st.just("replace"), st.lists(STARS, max_size=3, unique_by=lambda star: star.name)),
)


@given(operations=st.lists(OPERATIONS, max_size=30))
def test_changes_replayed_give_the_store_and_indexes_agree_with_a_scan(
    operations: list[tuple[str, Star | list[Star]]],
) -> None:
    store = store_of()
    replayed: dict[Key, Star] = {}
    for name, argument in operations:
        match name, argument:
            case "upsert", Star() as star:
                changes = store.upsert(star)
            case "delete", Star() as star:
                changes = store.delete(identify(star))
            case _, list() as stars:
                changes = store.replace(stars, 30)
            case _:
                raise AssertionError(name)
        for change in changes:
            if change.old is not None:
                assert replayed.pop(identify(change.old).key) == change.old
            if change.new is not None:
                assert change.old is None or change.old.version < change.new.version
                replayed[identify(change.new).key] = change.new

    assert {identify(star).key: star for star in store.values()} == replayed
    for value in "xyz":
        expected = {star for star in store.values() if value in star.owners}
        assert set(store.by_index("owner", value)) == expected
