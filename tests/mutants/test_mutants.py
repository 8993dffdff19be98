"""The mutants can be used as they are, and the hunt tells the truth about them."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from difflib import unified_diff
from io import StringIO
from pathlib import Path

import pytest

from tests.mutants.__main__ import ROOT, main
from tests.mutants.hunt import Hunt, Mode, Result, Verdict
from tests.mutants.killers import _failures
from tests.mutants.mutant import PATCHES, PatchError, choose, read, read_all
from tests.mutants.scratch import apply, copy_tree

AT_LEAST = 20
SAFE = "def is_safe(door):\n    return door.closed and door.locked\n"
TEST = """\
from types import SimpleNamespace
from door import is_safe

def test_a_closed_door_has_to_be_locked():
    assert not is_safe(SimpleNamespace(closed=True, locked=False))

def test_a_closed_and_locked_door_is_safe():
    assert is_safe(SimpleNamespace(closed=True, locked=True))
"""
COMMAND = "from door import *; from types import *; is_safe({}) and (print({}), exit(1))".format(
    "SimpleNamespace(closed=True, locked=False)", '"open"'
)
UNLOCKED = "tests/test_door.py::test_a_closed_door_has_to_be_locked"
LOCKED = "tests/test_door.py::test_a_closed_and_locked_door_is_safe"


class Project:
    """A project of two files, with mutants of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.patches = folder / "patches"
        (self.root / "tests").mkdir(parents=True)
        self.patches.mkdir()
        (self.root / "door.py").write_text(SAFE)
        (self.root / "tests" / "test_door.py").write_text(TEST)
        subprocess.run(["git", "init", "--quiet", self.root], check=True)

    def mutant(self, name: str, body: str, *killers: str, of: str = SAFE) -> Path:
        made = SAFE.replace("door.closed and door.locked", body)
        diff = unified_diff(of.splitlines(True), made.splitlines(True), "a/door.py", "b/door.py")  # noqa: FBT003
        header = "Mutant: a door\nPuts-back: thieves\n  of 1999\nBreaks: locks\n"
        named = "".join(f"Killed-by: {killer}\n" for killer in killers)
        path = self.patches / f"{name}.patch"
        path.write_text(f"{header}{named}\n{''.join(diff)}")
        return path

    def files(self) -> dict[str, bytes]:
        paths = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}

    def main(self, *arguments: str) -> int:
        return main(arguments, root=self.root, patches=self.patches)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@dataclass(frozen=True)
class Hunted:
    """What a hunt said, and the files of the project before and after it."""

    code: int
    said: list[str]
    before: dict[str, bytes]
    after: dict[str, bytes]

    def rows(self, name: str) -> list[str]:
        """The lines about a mutant."""
        first = next(index for index, line in enumerate(self.said) if line.startswith(f"{name} "))
        count = next(
            index for index, line in enumerate(self.said[first + 1 :], 1) if line[:1] != " "
        )
        return self.said[first : first + count]


@pytest.fixture(scope="module")
def hunted(tmp_path_factory: pytest.TempPathFactory) -> Hunted:
    """One hunt, since each killer is a process, of mutants that fare differently."""
    project = Project(tmp_path_factory.mktemp("hunted"))
    project.mutant("01-killed", "door.closed", UNLOCKED, f"python -c '{COMMAND}'")
    project.mutant("02-unseen", "door.closed", LOCKED)
    project.mutant("03-half-seen", "door.closed", UNLOCKED, LOCKED)
    project.mutant("04-blind-command", "door.closed", UNLOCKED, "python -c ''")
    project.mutant("05-moved", "door.closed", UNLOCKED, of=SAFE.replace("def is_", "def "))
    project.mutant("06-no-python", "door closed", UNLOCKED)
    before = project.files()
    with redirect_stdout(StringIO()) as said:
        code = project.main()
    return Hunted(code, said.getvalue().splitlines(), before, project.files())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree")
    copy_tree(ROOT, tree)
    return tree


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_there_are_twenty_mutants_and_no_two_with_one_number() -> None:
    numbers = [mutant.name.partition("-")[0] for mutant in read_all(PATCHES)]
    assert numbers == [f"{number:02}" for number in range(1, len(numbers) + 1)]
    assert len(numbers) >= AT_LEAST


@pytest.mark.parametrize("path", sorted(PATCHES.glob("*.patch")), ids=lambda path: path.stem)
def test_a_mutant_applies_to_the_package_and_names_tests_that_exist(path: Path, tree: Path) -> None:
    mutant = read(path)
    apply(mutant, tree)
    for name in mutant.files:
        assert name.startswith("observatory/")
        shutil.copy2(ROOT / name, tree / name)

    for test in mutant.tests:
        file, _, name = test.partition("::")
        function, _, case = name.removesuffix("]").partition("[")
        text = (ROOT / file).read_text()
        assert f"def {function}(" in text
        assert case in text


def test_a_mutant_that_its_killers_notice_is_killed(hunted: Hunted) -> None:
    first, second = hunted.rows("01-killed")
    assert first.split()[1] == "killed"
    assert first.endswith(f" {UNLOCKED}")
    assert second.strip() == f"python -c '{COMMAND}': open"


@pytest.mark.parametrize(
    ("name", "blind"),
    [("02-unseen", LOCKED), ("03-half-seen", LOCKED), ("04-blind-command", "python -c ''")],
)
def test_a_mutant_that_a_named_killer_does_not_notice_has_survived(
    name: str, blind: str, hunted: Hunted
) -> None:
    (row,) = hunted.rows(name)
    assert row.split()[1] == "survived"
    assert row.endswith(f" not noticed by {blind}")


def test_a_patch_that_does_not_apply_is_an_error_that_says_where(hunted: Hunted) -> None:
    (row,) = hunted.rows("05-moved")
    assert row.split()[1] == "error"
    assert "05-moved.patch does not apply: the code has moved on in door.py near line 1." in row


def test_a_mutant_that_cannot_be_imported_is_not_killed(hunted: Hunted) -> None:
    (row,) = hunted.rows("06-no-python")
    assert row.split()[1] == "error"
    assert "SyntaxError" in row


def test_the_last_line_has_the_figures_and_a_survivor_is_a_failure(hunted: Hunted) -> None:
    assert hunted.said[-1].startswith("mutants: 1 of 6 killed, 3 survived, 2 in error, ")
    assert hunted.code == 1


def test_the_checkout_stays_as_it_is(hunted: Hunted) -> None:
    assert hunted.after == hunted.before


def test_of_a_mutant_by_name_only_that_one_is_hunted_and_quickly_without_commands(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.mutant("01-open", "door.closed", LOCKED)
    project.mutant("02-ajar", "door.closed", UNLOCKED, "python -c ''")

    assert project.main("ajar", "--quick") == 0
    assert last_line(capsys).startswith("mutants: 1 of 1 killed, 0 survived, ")


def test_all_tests_find_what_no_killer_is_named_for(project: Project) -> None:
    path = project.mutant("01-open", "door.closed", LOCKED)
    hunt = Hunt(project.root, Mode.ALL, processes=1)

    async def hunted() -> Result:
        async with hunt.begun():
            return await hunt.hunt(read(path))

    result = asyncio.run(hunted())

    assert (result.verdict, result.by) == (Verdict.KILLED, (UNLOCKED,))


def test_a_test_that_a_library_runs_goes_by_its_class(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    case = '<testcase classname="tests.a.TestB" name="runTest" file="../lib/stateful.py">'
    report.write_text(f"<testsuite>{case}<failure/></testcase></testsuite>")

    assert _failures(report) == ["tests.a.TestB::runTest"]


@pytest.mark.parametrize(
    "killer", ["tests/test_door.py::test_that_is_not_there", "python -c 'exit(2)'", "python -c x"]
)
def test_a_killer_that_cannot_be_run_is_an_error(
    killer: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.mutant("01-open", "door.closed", killer)

    assert project.main() == 1
    assert last_line(capsys).startswith("error: without any mutant, ")


def test_a_killer_that_fails_without_a_mutant_proves_nothing(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.mutant("01-open", "door.closed", UNLOCKED)
    (project.root / "door.py").write_text(SAFE.replace(" and", " or"))

    assert project.main() == 1
    assert last_line(capsys) == f"  {UNLOCKED}"


def test_told_to_end_it_leaves_neither_copies_nor_processes(
    project: Project, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    hang = f'import os; open("{pid}", "w").write(str(os.getpid())); os.read(os.mkfifo("p") or '
    hang += 'os.open("p", os.O_RDWR), 1)'
    project.mutant("01-open", "door.closed", f"python -c '{hang}'")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = "import sys; from pathlib import Path; from tests.mutants.__main__ import main; "
    program += "sys.exit(main([], Path(sys.argv[1]), Path(sys.argv[2])))"
    with subprocess.Popen(
        [sys.executable, "-c", program, project.root, project.patches],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)},
    ) as process:
        while not (pid.exists() and pid.read_text()):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) != 0

    assert list(scratch.iterdir()) == []
    assert not Path("/proc", pid.read_text()).exists()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Breaks: locks\n", "", "needs one line Breaks"),
        ("Mutant:", "Mutant: one\nMutant:", "needs one line Mutant"),
        ("Killed-by", "Bites", "needs a line Killed-by"),
        (f"Killed-by: {UNLOCKED}", "Killed-by: sh x", "has to be a test"),
        ("Breaks:", "Size: 1\nBreaks:", "no field Size"),
        ("Breaks:", "breaks:", "no field begins with 'breaks: locks'"),
    ],
)
def test_a_header_that_is_not_complete_is_refused(
    old: str, new: str, told: str, project: Project
) -> None:
    path = project.mutant("01-open", "door.closed", UNLOCKED)
    path.write_text(path.read_text().replace(old, new))

    with pytest.raises(PatchError, match=told):
        read(path)


def test_a_field_goes_on_in_lines_that_begin_with_a_space(project: Project) -> None:
    mutant = read(project.mutant("01-open", "door.closed", UNLOCKED))

    assert mutant.puts_back == "thieves of 1999"


def test_a_name_that_no_mutant_has_is_refused(project: Project) -> None:
    project.mutant("01-open", "door.closed", UNLOCKED)
    mutants = read_all(project.patches)

    assert choose(mutants, ["01"]) == choose(mutants, ["open"]) == choose(mutants, []) == mutants
    with pytest.raises(PatchError, match='no mutant "shut"'):
        choose(mutants, ["shut"])
