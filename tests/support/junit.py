"""JUnit reports of programs that are no pytest: CI counts cases and shows what failed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_report(file: Path, suite: str, cases: Mapping[str, Sequence[str]]) -> None:
    """Write the cases, each with what is wrong with it; nothing for those that went well."""
    failed = sum(1 for problems in cases.values() if problems)
    root = ET.Element(
        "testsuite", name=suite, tests=str(len(cases)), failures=str(failed), errors="0"
    )
    for name, problems in cases.items():
        case = ET.SubElement(root, "testcase", classname=suite, name=name)
        if problems:
            ET.SubElement(case, "failure", message=problems[0]).text = "\n".join(problems)
    file.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(file, encoding="unicode")
