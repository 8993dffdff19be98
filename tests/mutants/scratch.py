"""Copies of the tree to put bugs into: nothing here ever changes the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.mutants.mutant import Mutant, PatchError

_REFUSED = re.compile(r"error: patch failed: (\S+):(\d+)")


def copy_tree(root: Path, to: Path) -> None:
    """Copy what git knows of the tree, and what is new in it and not ignored, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        env=environment(root),
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():  # else it was deleted, and git has not been told yet
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)


def apply(mutant: Mutant, tree: Path) -> None:
    """Put the bug into a copy of the tree.

    Raises:
        PatchError: The code has changed since the patch was written.
    """
    done = subprocess.run(
        # One line of context has to be the same still: what is next to a bug changes often.
        ["git", "apply", "-C1", str(mutant.path)],
        cwd=tree,
        env=environment(tree),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PatchError(_explain(mutant, done.stderr))
    for name in mutant.files:
        # Compiled files are told apart by the second: one from before the patch could pass.
        shutil.rmtree((tree / name).parent / "__pycache__", ignore_errors=True)


def environment(tree: Path) -> Mapping[str, str]:
    """The environment for programs in a copy: they see that copy, and no settings of ours."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTEST"))
    }
    # The folder for temporary files may be in a checkout itself.
    return {**kept, "PYTHONPATH": str(tree), "GIT_CEILING_DIRECTORIES": str(tree.parent)}


def _explain(mutant: Mutant, errors: str) -> str:
    moved = [f"{name} near line {line}" for name, line in _REFUSED.findall(errors)]
    where = ", ".join(moved) or errors.strip().splitlines()[-1]
    return (
        f"{mutant.path.name} does not apply: the code has moved on in {where}. Make the same "
        "mistake in it by hand, put `git diff observatory` under the header of the patch, and take "
        "the mistake back"
    )
