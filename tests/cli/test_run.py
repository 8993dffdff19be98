from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from observatory.cli.main import main

Output = pytest.CaptureFixture[str]
NAME = 'must be a name of up to 63 of a-z, 0-9 and "-"'


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--lease-name", ""),
        ("--lease-name", "A"),
        ("--lease-name", "a/b"),
        ("--lease-name", "a..b"),
        ("--lease-namespace", ""),
        ("--lease-namespace", "a/b"),
        ("--lease-namespace", "a.b"),
        ("--namespace", "UPPER_case"),
        ("--namespace", "a" * 64),
        ("--lease-namespace", "a\n"),
    ],
)
def test_a_name_that_no_object_can_have_is_refused(capsys: Output, flag: str, value: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", f"{flag}={value}"])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: argument {flag}: invalid value ")
    assert NAME in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "choices"),
    [
        ("--log-level", ("debug", "info", "warning", "error")),
        ("--log-format", ("auto", "console", "json")),
    ],
)
def test_choices_are_shown_as_they_are_typed(
    capsys: Output, flag: str, choices: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit):
        main(["run", flag, "foo"])
    err = capsys.readouterr().err
    # Without the quotes, which Python has left out since 3.12.
    said = err.partition("(choose from ")[2].partition(")")[0].replace("'", "")
    assert said.split(", ") == list(choices)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workers=0"], 'argument --workers: invalid value "0": must be an integer 1..256'),
        (["--workers=257"], 'argument --workers: invalid value "257": must be an integer 1..256'),
        (["--workers=abc"], 'argument --workers: invalid value "abc": must be an integer 1..256'),
        (
            ["--max-tasks-per-run=0"],
            'argument --max-tasks-per-run: invalid value "0": must be an integer 1..4000',
        ),
        (
            ["--max-tasks-per-run=4001"],
            'argument --max-tasks-per-run: invalid value "4001": must be an integer 1..4000',
        ),
        (
            ["--max-active-pods-per-run=-1"],
            'argument --max-active-pods-per-run: invalid value "-1": must be an integer 0..1000000',
        ),
        (["--workers"], "argument --workers: expected one argument"),
        (["--resync=-1s"], "unrecognized arguments: --resync=-1s"),
        (["extra"], "unrecognized arguments: extra"),
        (
            ["--lease-duration=soon"],
            'argument --lease-duration: invalid value "soon": must be seconds, such as 15 or 15s',
        ),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_2(
    capsys: Output, flags: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", *flags])
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", f"error: {message} (see observatory run --help)\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--lease-duration=10"],
            "--lease-renew-deadline (10s) must be less than --lease-duration (10s)",
        ),
        (
            ["--lease-retry-period=9s"],
            "--lease-retry-period (9s) times 1.2 must be less than --lease-renew-deadline (10s)",
        ),
        (
            ["--lease-duration=1e300"],
            "--lease-duration (1e+300s) must be at most 3600s: so long would nobody work",
        ),
    ],
)
def test_durations_that_contradict_each_other_are_one_line_and_exit_2(
    capsys: Output, flags: list[str], message: str
) -> None:
    assert main(["run", *flags]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


@pytest.mark.parametrize("flag", ["--metrics-bind-address", "--health-probe-bind-address"])
def test_what_is_no_address_is_refused_with_its_flag(capsys: Output, flag: str) -> None:
    assert main(["run", f"{flag}=foo"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f'error: {flag}: "foo" is no address: give HOST:PORT, such as ":8080"')
    assert err.count("\n") == 1


def test_one_address_for_both_servers_is_refused(capsys: Output) -> None:
    assert main(["run", "--metrics-bind-address=:8081"]) == 2
    assert capsys.readouterr().err == (
        "error: --metrics-bind-address and --health-probe-bind-address are both "
        '":8081": give them two ports, or 0 to turn one off\n'
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--webhook-port=8081"],
            (
                "--health-probe-bind-address and --webhook-port have the same port, 8081: give "
                "them two, or 0 to turn one off"
            ),
        ),
        (
            ["--webhook-cert-path=/certs"],
            "--webhook-cert-path needs --webhook-port: nothing else uses it",
        ),
    ],
)
def test_flags_of_the_webhook_that_contradict_others_are_refused(
    capsys: Output, flags: list[str], message: str
) -> None:
    assert main(["run", *flags]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


def refusal(folder: Path, *flags: str) -> str:
    """The last line that a process with a kubeconfig says, which ends with 2."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "x", "user": {}}],
            }
        )
    )
    command = [sys.executable, "-m", "observatory", "run", "--kubeconfig", str(kubeconfig), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("flag", "other"),
    [
        ("--metrics-bind-address", "--health-probe-bind-address"),
        ("--health-probe-bind-address", "--metrics-bind-address"),
    ],
)
def test_a_taken_address_is_told_with_its_flag_and_a_remedy(
    tmp_path: Path, flag: str, other: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert refusal(tmp_path, f"{flag}={address}", f"{other}=0") == (
            f"error: {flag}: cannot listen on {address}: another program listens there "
            "(give another address or port, or 0 to turn it off)"
        )


def test_a_missing_certificate_is_told_with_its_flag(tmp_path: Path) -> None:
    line = refusal(tmp_path, "--metrics-secure", "--metrics-cert-path=/nonexist")
    assert line == "error: --metrics-cert-path: /nonexist/tls.crt: No such file or directory"
