from __future__ import annotations

import pytest
from localcluster import toolchain


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.9 linux/amd64", (1, 9)),
        ("go version go1.27rc1 linux/arm64", (1, 27)),
        ("gofmt: what?", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_version_is_read(text: str, version: tuple[int, int]) -> None:
    assert toolchain.version(text) == version


def test_versions_are_compared_as_numbers() -> None:
    assert toolchain.version("go version go1.9") < toolchain.MINIMUM
