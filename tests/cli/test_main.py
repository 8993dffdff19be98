import os
import subprocess
import sys
from pathlib import Path

import pytest

from observatory import __version__
from observatory.cli.main import COMMANDS, main

Output = pytest.CaptureFixture[str]


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


def test_help_names_every_command_and_shows_examples(capsys: Output) -> None:
    assert exit_code("--help") == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command}" in text
    assert "observatory validate workflow.yaml" in text


def test_the_version_is_printed(capsys: Output) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"observatory {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND (see observatory --help)"),
        (["frob"], "argument COMMAND: invalid choice: 'frob' (choose from "),
        (
            ["validate"],
            "the following arguments are required: FILE (see observatory validate --help)",
        ),
        (
            ["validate", "--outputt", "json", "x"],
            "unrecognized arguments: --outputt (see observatory validate --help)",
        ),
        (["stop", "a/b"], 'argument NAME: invalid value "a/b": no object has such a name (see '),
        (["get", ".."], 'argument NAME: invalid value "..": no object has such a name (see '),
        (
            ["list", "-n", "../x"],
            'argument --namespace/-n: invalid value "../x": no namespace has such a name (see ',
        ),
        (["run", "--foo"], "unrecognized arguments: --foo (see observatory run --help)"),
        (["validate", "--output", "xml", "x"], "argument -o/--output: invalid choice: 'xml'"),
        (["run", "--a\nb"], r"unrecognized arguments: --a\nb (see observatory run --help)"),
        (["run", "--\udcff\u202e"], r"unrecognized arguments: --\udcff\u202e (see "),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_2(
    capsys: Output, arguments: list[str], message: str
) -> None:
    assert exit_code(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_validate_starts_without_the_machinery_of_the_operator() -> None:
    code = (
        "import sys; from observatory.cli.main import main\n"
        "try: main(['validate', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'aiohttp', 'kubernetes', 'structlog', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_a_reader_that_closes_early_gets_no_traceback() -> None:
    python = f"{sys.executable} -m observatory"
    command = f"{python} validate --output json $(yes nope | head -n 5000) | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("{\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no full device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_one_line_and_exit_2(
    tmp_path: Path, unbuffered: str
) -> None:
    (tmp_path / "a.yaml").write_text("a: 1")
    command = f"{sys.executable} -m observatory validate {tmp_path} > /dev/full"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    assert done.stderr == "error: cannot write the output: no space left on device\n"
    assert done.returncode == 2


@pytest.mark.parametrize("flag", ["--lease-duration", "--metrics-bind-address"])
def test_two_dashes_are_no_value(flag: str, capsys: Output) -> None:
    assert exit_code("run", f"{flag}=--") == 2
    assert f"argument {flag}: expected a value" in capsys.readouterr().err
