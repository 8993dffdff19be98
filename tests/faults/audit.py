"""The audit log, split by namespace as it grows: who asked for what, also what was denied."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

_OPERATOR = re.compile(rb'"username":"system:serviceaccount:faults-operators:([^"]+)-operator-')


class AuditTail:
    """Follows an audit log from its present end; keeps the lines of operators."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._file.seek(0, os.SEEK_END)
        self._rest = b""
        self.lines: dict[str, list[bytes]] = defaultdict(list)

    def close(self) -> None:
        """Read no more."""
        self._file.close()

    def read(self) -> None:
        """Take what was written since. The API server rotates the file when it is large."""
        self._take(self._file.read())
        try:
            rotated = os.fstat(self._file.fileno()).st_ino != self._path.stat().st_ino
        except FileNotFoundError:
            return  # in the middle of a rotation
        if rotated:
            self._take(self._file.read())
            self._file.close()
            self._file = self._path.open("rb")
            self._take(self._file.read())

    def save(self, namespace: str, path: Path) -> None:
        """Write the lines of a namespace to a file, and keep them no longer."""
        path.write_bytes(b"".join(line + b"\n" for line in self.lines.pop(namespace, [])))

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if found := _OPERATOR.search(line):
                self.lines[found[1].decode()].append(line)
