from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from localcluster import cluster
from localcluster.cluster import Wish
from localcluster.errors import ClusterError
from localcluster.lock import locked

HACK = Path(__file__).resolve().parents[2] / "hack"
COUNT = """
import sys
from pathlib import Path
from localcluster.lock import locked

counter = Path(sys.argv[1])
for _ in range(200):
    with locked("counter"):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_those_who_wait_for_a_lock_that_comes_and_goes_take_turns(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", COUNT, str(counter)]
    environment = {**os.environ, "PYTHONPATH": str(HACK)}
    counting = [
        subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(4)
    ]
    assert [process.wait() for process in counting] == [0, 0, 0, 0]
    assert counter.read_text() == "800"


def test_a_lock_is_a_file_only_while_it_is_held(cache_home: Path) -> None:
    locks = cache_home / "locks"
    with locked("one"):
        assert [path.name for path in locks.iterdir()] == ["one.lock"]
    assert not list(locks.iterdir())


def test_no_lock_is_left_of_what_went_wrong(cache_home: Path) -> None:
    with pytest.raises(ClusterError, match="there is no kubeconfig"):
        cluster.up(Wish("one", kubeconfig=Path("/nowhere")))
    assert not list((cache_home / "locks").iterdir())


def test_no_lock_is_left_of_a_cluster_that_never_was(cache_home: Path) -> None:
    assert not cluster.down("one")
    assert not list((cache_home / "locks").iterdir())
