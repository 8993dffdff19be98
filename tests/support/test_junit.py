"""The reports of programs that are no pytest."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from tests.support.junit import write_report


def test_a_report_counts_its_cases_and_says_what_failed(tmp_path: Path) -> None:
    file = tmp_path / "new" / "faults.xml"

    write_report(file, "faults", {"well": [], "badly": ["I1: <twice>", "I5"]})

    suite = ET.parse(file).getroot()  # noqa: S314 - written above
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    texts = {case.get("name"): case.findtext("failure") for case in suite.iter("testcase")}
    assert texts == {"well": None, "badly": "I1: <twice>\nI5"}
