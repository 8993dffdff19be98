import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from observatory.cli.main import main
from observatory.cli.validate import MAX_BYTES

GOOD = """\
apiVersion: workflow.seventh-horizon.io/v1alpha1
kind: Observatory
metadata:
  name: good
  namespace: default
spec:
  tasks:
    - name: build
      image: busybox:1.36
"""
BAD = (
    GOOD.replace("good", "bad")
    + """\
    - name: test
      image: busybox:1.36
      dependencies:
        - build
        - bild
"""
)
NOT_FOUND = 'spec.tasks[1].dependencies[1]: Not found: "bild" (did you mean "build"?)'
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"

Output = pytest.CaptureFixture[str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_good_file_is_one_quiet_line(write: Path, capsys: Output) -> None:
    (write / "a.yaml").write_text(GOOD)
    assert main(["validate", "a.yaml"]) == 0
    assert capsys.readouterr() == ("a.yaml: Observatory default/good: valid (1 task)\n", "")


def test_each_error_has_its_line_in_the_file(write: Path, capsys: Output) -> None:
    (write / "a.yaml").write_text(BAD)
    assert main(["validate", "a.yaml"]) == 1
    assert capsys.readouterr().out == (
        f"a.yaml: Observatory default/bad: 1 error\n  a.yaml:14: {NOT_FOUND}\n"
    )


def test_what_is_valid_and_probably_not_meant_is_a_warning_with_its_line(
    write: Path, capsys: Output
) -> None:
    text = GOOD.replace("busybox:1.36", "busybox") + '  schedule: "* * * * *"\n'
    (write / "a.yaml").write_text(text)
    every = "fires every minute: runs that take longer pile up (concurrencyPolicy Allow)"
    floats = '"busybox" is whatever is latest; pin a tag or a digest'
    warnings = [
        f"a.yaml:9: warning: spec.tasks[0].image: {floats}",
        f"a.yaml:10: warning: spec.schedule: {every}",
    ]
    assert main(["validate", "a.yaml"]) == 0
    assert (
        capsys.readouterr().out
        == "\n  ".join(["a.yaml: Observatory default/good: valid (1 task)", *warnings]) + "\n"
    )
    assert main(["validate", "--quiet", "a.yaml"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["validate", "--output", "json", "a.yaml"]) == 0
    (document,) = json.loads(capsys.readouterr().out)["files"][0]["documents"]
    assert document["plan"] == "1 task"
    assert [(each["line"], each["path"]) for each in document["warnings"]] == [
        (9, "spec.tasks[0].image"),
        (10, "spec.schedule"),
    ]


def test_each_document_of_a_file_is_judged(write: Path, capsys: Output) -> None:
    (write / "a.yaml").write_text(f"{GOOD}---\n{OTHER}---\n{BAD}")
    assert main(["validate", "a.yaml"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "a.yaml: Observatory default/good: valid (1 task)",
        "a.yaml: ConfigMap x: skipped, it is not an Observatory",
        "a.yaml: Observatory default/bad: 1 error",
        f"  a.yaml:28: {NOT_FOUND}",
    ]


def test_quiet_prints_only_what_is_wrong(write: Path, capsys: Output) -> None:
    (write / "a.yaml").write_text(f"{GOOD}---\n{OTHER}")
    assert main(["validate", "--quiet", "a.yaml"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_list_as_kubectl_gives_it_is_judged_item_by_item(write: Path, capsys: Output) -> None:
    items = "".join(f"- {text.replace(chr(10), chr(10) + '  ').rstrip()}\n" for text in (GOOD, BAD))
    (write / "a.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n{items}")
    assert main(["validate", "a.yaml"]) == 1
    out = capsys.readouterr().out
    assert "default/good: valid" in out
    assert f"a.yaml:26: {NOT_FOUND}" in out


def test_json_and_standard_input_are_read() -> None:
    obj = {
        "apiVersion": "workflow.seventh-horizon.io/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": "x"},
        "spec": {"tasks": []},
    }
    command = [sys.executable, "-m", "observatory", "validate", "-"]
    done = subprocess.run(command, input=json.dumps(obj).encode(), capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout.decode() == (
        "-: Observatory x: 1 error\n  spec.tasks: Required value: must have at least 1 item\n"
    )


def test_a_json_file_is_not_read_as_yaml(write: Path, capsys: Output) -> None:
    text = '{"kind": "Pod", # a comment\n "apiVersion": "v1"}'
    (write / "a.json").write_text(text)
    (write / "a.yaml").write_text(text)
    assert main(["validate", "a.yaml"]) == 0
    capsys.readouterr()
    assert main(["validate", "a.json"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: a.json:1: not JSON: column 17: expecting property name")
    assert err.count("\n") == 1


def test_the_report_can_be_json(write: Path, capsys: Output) -> None:
    (write / "a.yaml").write_text(f"{BAD}---\n{OTHER}")
    assert main(["validate", "--output", "json", "a.yaml"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["valid"] is False
    (file,) = report["files"]
    bad, other = file["documents"]
    assert (file["file"], bad["kind"], bad["namespace"], bad["name"]) == (
        "a.yaml",
        "Observatory",
        "default",
        "bad",
    )
    assert bad["errors"] == [
        {
            "path": "spec.tasks[1].dependencies[1]",
            "type": "Not found",
            "value": '"bild"',
            "detail": "",
            "hint": 'did you mean "build"?',
            "message": NOT_FOUND,
            "line": 14,
        }
    ]
    assert (bad["skipped"], other["skipped"]) == (False, True)


def test_a_directory_is_searched(write: Path, capsys: Output) -> None:
    (write / "d" / "e").mkdir(parents=True)
    (write / "d" / "e" / "b.yml").write_text(GOOD)
    (write / "d" / "a.yaml").write_text(GOOD)
    (write / "d" / "notes.txt").write_text("not looked at")
    assert main(["validate", "d"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "d/a.yaml",
        "d/e/b.yml",
    ]


def test_a_directory_without_files_is_an_error(write: Path, capsys: Output) -> None:
    (write / "d").mkdir()
    assert main(["validate", "d"]) == 2
    assert capsys.readouterr().err == (
        "error: d: directory has no file that ends in .yaml, .yml, .json\n"
    )


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this machine has no /proc")
def test_a_directory_that_cannot_be_searched_is_one_line(write: Path, capsys: Output) -> None:
    # Of a process that has ended while it is still a child, some directories cannot be listed.
    done = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert done.stdout is not None
    done.stdout.read()
    os.waitid(os.P_PID, done.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert main(["validate", f"/proc/{done.pid}"]) == 2
    finally:
        done.stdout.close()
        done.wait()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: /proc/{done.pid}: cannot search /proc/{done.pid}/")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, 2, "a.yaml: no such file or directory"),
        (b"\x7fELF\xff\xfe", 2, "a.yaml: not UTF-8 text (byte 5)"),
        (b"a\x00b", 2, "a.yaml: not text: it has zero bytes"),
        (b" " * (MAX_BYTES + 1), 2, "a.yaml: larger than 32 MiB"),
        (b"a: 1\na: 2", 1, 'a.yaml:2: key "a" is given twice in one object'),
        (b"a: [", 1, "a.yaml:1: not YAML: did not find expected node content"),
    ],
    ids=["missing", "binary", "zero", "large", "duplicate", "syntax"],
)
def test_a_file_that_cannot_be_read_is_one_line_on_standard_error(
    write: Path, capsys: Output, content: bytes | None, code: int, message: str
) -> None:
    if content is not None:
        (write / "a.yaml").write_bytes(content)
    assert main(["validate", "a.yaml"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert re.sub(r":\d+: not YAML", ":1: not YAML", err) == f"error: {message}\n"


def test_one_unreadable_file_does_not_hide_the_others(write: Path, capsys: Output) -> None:
    (write / "a.yaml").write_text(BAD)
    assert main(["validate", "nope.yaml", "a.yaml"]) == 2
    out, err = capsys.readouterr()
    assert NOT_FOUND in out
    assert "nope.yaml" in err


def test_what_came_before_a_broken_document_is_still_judged(write: Path, capsys: Output) -> None:
    (write / "a.yaml").write_text(f"{GOOD}---\na: [")
    assert main(["validate", "a.yaml"]) == 1
    assert "default/good: valid" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1", "kind: Required value: such as Observatory: this is not a Kubernetes object"),
        ("- 1", "kind: Required value: such as Observatory: this is not a Kubernetes object"),
        (
            GOOD.replace("apiVersion: workflow.seventh-horizon.io/v1alpha1\n", ""),
            "apiVersion: Required value",
        ),
        (
            GOOD.replace("kind: Observatory", "kind: Observatry"),
            'kind: Unsupported value: "Observatry": supported values: "Observatory"',
        ),
        (
            GOOD.replace("horizon.io/v1alpha1", "horizon/v1"),
            (
                'apiVersion: Unsupported value: "workflow.seventh-horizon/v1": supported values: '
                '"workflow.seventh-horizon.io/v1alpha1"'
            ),
        ),
    ],
)
def test_an_object_that_was_meant_to_be_one_is_not_skipped(
    write: Path, capsys: Output, text: str, error: str
) -> None:
    (write / "a.yaml").write_text(text)
    assert main(["validate", "a.yaml"]) == 1
    assert error in capsys.readouterr().out


def test_what_is_missing_is_reported_where_the_document_begins(write: Path, capsys: Output) -> None:
    head = GOOD[: GOOD.index("spec:")]
    (write / "a.yaml").write_text(f"# about\n{head}---\n# kind is not there\napiVersion: v1\n")
    assert main(["validate", "a.yaml"]) == 1
    out = capsys.readouterr().out
    assert "\n  a.yaml:2: spec: Required value" in out
    assert "\n  a.yaml:9: kind: Required value" in out


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n---\n"])
def test_an_empty_file_is_named(write: Path, capsys: Output, text: str) -> None:
    (write / "a.yaml").write_text(text)
    (write / "b.yaml").write_text(GOOD)
    assert main(["validate", "a.yaml", "b.yaml"]) == 0
    assert capsys.readouterr().err == "a.yaml: empty, there is no object in it\n"
    assert main(["validate", "--quiet", "a.yaml"]) == 0
    assert capsys.readouterr().err == ""


def test_finding_no_observatory_is_said(write: Path, capsys: Output) -> None:
    (write / "a.yaml").write_text(OTHER)
    assert main(["validate", "a.yaml"]) == 0
    assert capsys.readouterr().err == "no Observatory found\n"


def test_names_cannot_play_tricks_with_the_terminal(write: Path, capsys: Output) -> None:
    (write / "a.yaml").write_text(GOOD.replace("name: good", 'name: "\\e[2Jevil"'))
    assert main(["validate", "a.yaml"]) == 1
    assert "\x1b" not in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_names_of_files_cannot_play_tricks_either(tmp_path: Path, capsys: Output) -> None:
    for name in ("a\nb.yaml", "\udcff.yaml"):
        (tmp_path / name).write_text("kind: Observatory")

    assert main(["validate", str(tmp_path)]) == 1

    out = capsys.readouterr().out
    assert rf"{tmp_path}/a\nb.yaml: Observatory: " in out
    assert rf"{tmp_path}/\udcff.yaml: Observatory: " in out


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals_that_want_them(
    write: Path, monkeypatch: pytest.MonkeyPatch, no_color: str, *, coloured: bool
) -> None:
    (write / "a.yaml").write_text(BAD)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with redirect_stdout(terminal):
        main(["validate", "a.yaml"])
    assert ("\x1b[" in terminal.getvalue()) is coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).endswith(f"{NOT_FOUND}\n")
