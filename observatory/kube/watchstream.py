"""From the bytes of a watch stream to its lines. Pure.

The chunks of a stream know nothing of its lines: a line of two megabytes comes in dozens of chunks
and a chunk can end inside a UTF-8 character. So lines are cut as bytes and never decoded here, and
no byte is copied more than twice: what remains of a line is kept as the list of its chunks.
"""

from __future__ import annotations

MAX_LINE = 64 * 1024 * 1024
"""Bytes. An object of more than etcd's limit cannot be in a stream: it is no watch stream then."""


class LineTooLongError(ValueError):
    """The stream has a line that no API server sends."""


class LineSplitter:
    """Cuts a stream of chunks into lines; empty lines, which servers may send, are dropped."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._rest: list[bytes] = []
        self._length = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk completes, without newline.

        Raises `LineTooLongError` when a line grows beyond the maximum.
        """
        *complete, rest = chunk.split(b"\n")
        lines = []
        for end in complete:
            line = b"".join([*self._rest, end]) if self._rest else end
            self._rest, self._length = [], 0
            if line := line.rstrip(b"\r"):
                lines.append(line)
        if rest:
            self._rest.append(rest)
            self._length += len(rest)
        if self._length > self._max_line:
            raise LineTooLongError(f"a line of the stream is longer than {self._max_line} bytes")
        return lines

    @property
    def truncated(self) -> bool:
        """Whether the stream so far ends inside a line.

        Of a stream that has ended, that line is not to be used: it was cut off.
        """
        return bool(self._rest)
