from __future__ import annotations

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
