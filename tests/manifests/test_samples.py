"""Every sample is valid, and the first one is the README's."""

from pathlib import Path

import pytest

from observatory.cli.documents import read_documents
from observatory.core.validation import validate

SAMPLES = sorted((Path(__file__).parents[2] / "manifests/samples").glob("*.yaml"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_valid(sample: Path) -> None:
    documents = list(read_documents(sample.read_text()))
    assert documents
    for document in documents:
        assert [str(error) for error in validate(document.value)] == []


def test_there_is_a_sample_for_each_way_to_drive_a_run() -> None:
    assert [sample.stem for sample in SAMPLES] == [
        "diamond",
        "environment",
        "failures",
        "fan-out",
        "finally",
        "scheduled",
        "suspended",
        "workflow_v1alpha1_observatory",
    ]


def test_the_quick_start_is_the_workflow_of_three_steps() -> None:
    (document,) = read_documents(SAMPLES[-1].read_text())
    assert document.value == {
        "apiVersion": "workflow.seventh-horizon.io/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": "my-workflow"},
        "spec": {
            "podRetention": "All",
            "tasks": [
                {
                    "name": "setup",
                    "image": "busybox:1.36",
                    "command": ["sh", "-c"],
                    "args": ["echo 'Setup complete'"],
                },
                {
                    "name": "process",
                    "image": "busybox:1.36",
                    "command": ["sh", "-c"],
                    "args": ["echo 'Processing data'"],
                    "dependencies": ["setup"],
                },
                {
                    "name": "finalize",
                    "image": "busybox:1.36",
                    "command": ["sh", "-c"],
                    "args": ["echo 'Workflow complete'"],
                    "dependencies": ["process"],
                },
            ],
        },
    }
