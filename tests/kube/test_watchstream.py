from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.kube.watchstream import LineSplitter, LineTooLongError

TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))


@given(st.lists(TEXT), st.lists(st.integers(0, 200)))
def test_the_chunks_of_a_stream_do_not_matter(lines: list[str], cuts: list[int]) -> None:
    stream = "".join(f"{line}\n" for line in lines).encode()
    splitter = LineSplitter()
    seen: list[bytes] = []
    at = 0
    for end in [*sorted(cuts), len(stream)]:
        seen += splitter.feed(stream[at:end])
        at = max(at, end)
    assert seen == [line.encode() for line in lines if line]
    assert not splitter.truncated


def test_a_line_without_end_is_truncated() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"whole\nhalf") == [b"whole"]
    assert splitter.truncated


def test_a_line_has_a_limit() -> None:
    splitter = LineSplitter(max_line=10)
    assert splitter.feed(b"0123456789") == []
    with pytest.raises(LineTooLongError, match="10 bytes"):
        splitter.feed(b"x")
