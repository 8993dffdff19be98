"""What several replicas and a cluster's administrator write into one bundle."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from observatory.runtime.cabundle import COMMON_NAME, MOST_OWN, merged
from observatory.runtime.certificate import own_pair

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def made(name: str = COMMON_NAME, *, days: float = 0, valid: float = 7) -> bytes:
    return own_pair(("x.y.svc",), name, NOW + days * DAY, valid * DAY).certificate


END = b"-----END CERTIFICATE-----\n"


def held(bundle: str) -> list[bytes]:
    return [block + END for block in b64decode(bundle).split(END)[:-1]]


def test_each_replica_adds_its_own_and_leaves_the_others() -> None:
    first, second = made(), made()
    bundle = merged(merged(None, [first], NOW), [second], NOW)
    assert held(bundle) == [first, second]
    assert merged(bundle, [first], NOW) == bundle
    assert merged(bundle, [second], NOW) == bundle


def test_what_an_administrator_has_put_there_stays_until_it_expires() -> None:
    foreign, mine = made("corporate", valid=2), made()
    bundle = merged(b64encode(foreign).decode(), [mine], NOW)
    assert held(bundle) == [foreign, mine]
    assert held(merged(bundle, [mine], NOW + 2 * DAY)) == [mine]


def test_what_has_expired_goes() -> None:
    old, new = made(days=-7), made()
    assert held(merged(merged(None, [old], NOW - DAY), [new], NOW)) == [new]


@pytest.mark.parametrize(
    "broken",
    [
        "Cg==",
        "not base64!",
        "\u00e9",
        b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").decode(),
        b64encode(b"-----BEGIN CERTIFICATE-----\n").decode(),
        "",
    ],
)
def test_what_is_no_certificate_is_replaced(broken: str) -> None:
    mine = made()
    assert held(merged(broken, [mine], NOW)) == [mine]


def test_a_replica_that_begins_again_and_again_does_not_fill_the_object() -> None:
    foreign = made("corporate")
    bundle = merged(b64encode(foreign).decode(), [], NOW)
    steady = made()
    for number in range(MOST_OWN + 8):
        bundle = merged(bundle, [made(days=number / 1000)], NOW)
    assert len(held(bundle)) == MOST_OWN + 1
    bundle = merged(bundle, [steady], NOW)
    assert len(held(bundle)) == MOST_OWN + 1
    assert steady in held(bundle)
    assert foreign in held(bundle)
    newest = x509.load_pem_x509_certificate(held(bundle)[-2])
    assert newest.not_valid_before_utc > NOW - timedelta(hours=1)
