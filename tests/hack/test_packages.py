from __future__ import annotations

import sys
from pathlib import Path

from localcluster import packages, venv


def test_a_program_that_names_a_loader_is_not_static(tmp_path: Path) -> None:
    program = tmp_path / "busybox"
    program.write_bytes(b"\x7fELF" + bytes(600) + b"/lib64/ld-linux-x86-64.so.2\0" + bytes(9000))
    assert not packages.is_static(program)
    program.write_bytes(b"\x7fELF" + bytes(9000))
    assert packages.is_static(program)


def test_a_module_that_is_there_needs_no_environment(cache_home: Path) -> None:
    assert venv.python_with("json", "json") == Path(sys.executable)
    assert not cache_home.exists()
