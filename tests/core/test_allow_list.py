"""What a workflow cannot ask for reaches no Pod, whoever wrote it and wherever."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.securityschema import security_context
from observatory.api.specschema import SPEC
from observatory.api.taskschema import TASK
from observatory.api.types import RESOURCES, SECURITY, JsonObject
from observatory.core.model import Identity
from observatory.core.pods import pod_manifest
from observatory.core.revision import program_of, revision_manifest, stored_program
from observatory.core.validation import validate
from tests.core.builders import CHAIN, KEY, UID, manifest, wanted

CANARY = "canary"
IDENTITY = Identity(1, "hash", "a", 1)


def words(*lines: str) -> list[str]:
    return " ".join(lines).split()


# Of core/v1's PodSpec, Container and SecurityContext: all that an Observatory has no field for.
POD = words(
    "affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks",
    "ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname",
    "imagePullSecrets initContainers nodeName nodeSelector os overhead preemptionPolicy",
    "priority priorityClassName readinessGates resourceClaims restartPolicy runtimeClassName",
    "schedulerName schedulingGates serviceAccount serviceAccountName setHostnameAsFQDN",
    "shareProcessNamespace subdomain tolerations topologySpreadConstraints volumes podSpecPatch",
    "podTemplate",
)
CONTAINER = words(
    "envFrom imagePullPolicy lifecycle livenessProbe ports readinessProbe resizePolicy",
    "restartPolicyRules startupProbe stdin stdinOnce terminationMessagePath",
    "terminationMessagePolicy tty volumeDevices volumeMounts workingDir",
)
SECURITY_CONTEXT = words(
    "allowPrivilegeEscalation appArmorProfile capabilities fsGroup fsGroupChangePolicy",
    "privileged procMount seLinuxOptions seccompProfile supplementalGroups sysctls",
    "windowsOptions",
)
VALUES = st.sampled_from([CANARY, [CANARY], {"name": CANARY}, [{"name": CANARY, "x": [CANARY]}]])
FIELDS = st.sampled_from([*POD, *CONTAINER, *SECURITY_CONTEXT, "claims"])
PLACES: tuple[tuple[str | int, ...], ...] = (
    (),
    ("securityContext",),
    ("tasks", 0),
    ("tasks", 0, "securityContext"),
    ("tasks", 0, "resources"),
    ("finally", 0),
)


def spec_with(place: tuple[str | int, ...], field: str, value: object) -> JsonObject:
    """A valid spec but for one field that there is not."""
    item = {"name": "a", "image": "busybox:1.36", "resources": {}, "securityContext": {}}
    last = {"name": "z", "image": "busybox:1.36"}
    spec = {"tasks": [deepcopy(item)], "finally": [last], "securityContext": {"runAsUser": 1}}
    where: JsonObject = spec
    for step in place:
        where = where[step]  # type: ignore[index]
    where[field] = value
    return spec


@given(st.sampled_from(PLACES), FIELDS, VALUES)
def test_a_field_that_there_is_not_is_an_error(
    place: tuple[str | int, ...], field: str, value: object
) -> None:
    observatory = manifest({}) | {"spec": spec_with(place, field, value)}
    assert any(error.path.endswith(field) for error in validate(observatory))


@given(st.sampled_from(PLACES), FIELDS, VALUES)
def test_a_field_that_somebody_put_into_a_revision_reaches_no_pod(
    place: tuple[str | int, ...], field: str, value: object
) -> None:
    spec = spec_with(place, field, value)
    revision = revision_manifest(CHAIN, program_of(KEY, UID, spec), 1)
    program = stored_program(json.loads(json.dumps(revision)))
    for task in program.tasks:
        assert CANARY not in json.dumps(pod_manifest(CHAIN, task, IDENTITY))


def test_the_lists_are_those_of_the_schema() -> None:
    assert set(SECURITY) == security_context("")["properties"].keys()
    assert set(RESOURCES) == TASK["properties"]["resources"]["properties"].keys()


@pytest.mark.parametrize(
    ("workflow", "own", "merged"),
    [
        ({"runAsUser": 1, "runAsNonRoot": True}, None, {"runAsUser": 1, "runAsNonRoot": True}),
        ({"runAsUser": 1, "runAsGroup": 2}, {"runAsUser": 3}, {"runAsUser": 3, "runAsGroup": 2}),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, {"runAsNonRoot": False}),
        (None, {"readOnlyRootFilesystem": True}, {"readOnlyRootFilesystem": True}),
        ({}, {}, {}),
    ],
)
def test_whom_a_container_runs_as_is_the_tasks_word_and_then_the_workflows(
    workflow: JsonObject | None, own: JsonObject | None, merged: JsonObject
) -> None:
    item = {"name": "a", "image": "busybox:1.36"} | ({"securityContext": own} if own else {})
    program = program_of(KEY, UID, {"tasks": [item], "securityContext": workflow})
    (container,) = pod_manifest(CHAIN, program.tasks[0], IDENTITY)["spec"]["containers"]
    assert container["securityContext"] == merged | {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_whom_containers_run_as_is_part_of_the_revision() -> None:
    plain, other = wanted({"a": []}), wanted({"a": []}, securityContext={"runAsUser": 1})
    assert plain.program
    assert other.program
    assert plain.program.revision != other.program.revision


def fields_of(schema: JsonObject) -> set[str]:
    """The names of all fields of a schema, at any depth."""
    inner = [*schema.get("properties", {}).values(), schema.get("items")]
    inner.append(schema.get("additionalProperties"))
    below = (fields_of(each) for each in inner if isinstance(each, dict))
    return set(schema.get("properties", ())).union(*below)


def test_no_reference_names_a_namespace() -> None:
    fields = fields_of(SPEC)
    assert "secretKeyRef" in fields  # references are among them
    assert not {field for field in fields if "namespace" in field.lower()}
