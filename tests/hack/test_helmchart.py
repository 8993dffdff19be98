"""How objects become templates. What Helm makes of them: tests/integration/test_chart.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from helmchart import cli, tokens
from helmchart.chart import STATIC, chart
from helmchart.groups import condition, group_of
from helmchart.variants import merged

NAMES = "app.kubernetes.io/name"
WEBHOOK = "and $.Values.webhook.enabled (not $.Values.rbac.namespaced)"
SELECTOR = {"control-plane": "controller-manager", NAMES: "observatory-operator"}


def document(kind: str, name: str, **more: Any) -> tokens.Object:  # noqa: ANN401
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


def deployment(*arguments: str) -> tokens.Object:
    path = STATIC.parents[2] / "manifests/manager/manager.yaml"
    made: tokens.Object = yaml.safe_load(path.read_text())
    made["metadata"]["name"] = "observatory-operator-controller-manager"
    made["spec"]["template"]["spec"]["containers"][0]["args"].extend(arguments)
    return made


def files(*more: tokens.Object, if_wanted: tuple[tokens.Object, ...] = ()) -> dict[str, str]:
    return chart([deployment(), *more], if_wanted, "1.2.3")


def test_an_expression_is_quoted_where_it_stands_alone() -> None:
    text = tokens.to_yaml({"a": tokens.value("$.x"), "b": f"{tokens.value('$.x')}-y"})
    assert text == "a: {{ $.x | quote }}\nb: {{ $.x }}-y\n"


def test_what_is_for_prometheus_is_not_for_helm() -> None:
    text = tokens.to_yaml({"a": "{{ $value }}"})
    assert '{{ "{{" }} $value }}' in text


def test_items_and_fields_can_be_there_under_a_condition() -> None:
    text = tokens.to_yaml(
        {
            "first": 1,
            **tokens.fields_when("$.x", {"second": 2}),
            "list": ["a", *tokens.when("$.y", [{"b": 1, "c": 2}]), tokens.more("$.z")],
        }
    )
    assert text == (
        "first: 1\n{{- if $.x }}\nsecond: 2\n{{- end }}\nlist:\n  - a\n"
        "{{- if $.y }}\n  - b: 1\n    c: 2\n{{- end }}\n"
        "{{- with $.z }}\n{{- toYaml . | nindent 2 }}\n{{- end }}\n"
    )


@pytest.mark.parametrize(
    ("kind", "name", "folder", "when"),
    [
        ("CustomResourceDefinition", "x", "crd", "$.Values.crd.enabled"),
        ("ServiceAccount", "x", "rbac", None),
        ("ClusterRole", "x-manager-role", "rbac", "not $.Values.rbac.namespaced"),
        ("Role", "x-webhook-role", "webhook", WEBHOOK),
        ("Service", "x-webhook-service", "webhook", WEBHOOK),
        (
            "ValidatingAdmissionPolicyBinding",
            "x",
            "admission",
            "and $.Values.admissionPolicies.enabled (not $.Values.rbac.namespaced)",
        ),
        (
            "ClusterRole",
            "x-observatory-viewer-role",
            "rbac",
            "and $.Values.rbac.userRoles (not $.Values.rbac.namespaced)",
        ),
        (
            "ServiceMonitor",
            "x",
            "prometheus",
            "and $.Values.prometheus.enabled $.Values.metrics.enabled",
        ),
    ],
)
def test_an_object_is_turned_on_by_the_value_of_its_group(
    kind: str, name: str, folder: str, when: str | None
) -> None:
    made = document(kind, name)
    assert (group_of(made).folder, condition(made)) == (folder, when)


def test_names_namespaces_and_labels_are_those_of_the_release() -> None:
    service = document(
        "Service",
        "observatory-operator-metrics",
        spec={
            "selector": SELECTOR,
            "who": "system:serviceaccount:observatory-operator-system:observatory-operator-x",
        },
    )
    text = files(service)["templates/metrics/metrics-service.yaml"]
    assert 'name: {{ include "observatory-operator.fullname" $ }}-metrics\n' in text
    assert (
        "who: system:serviceaccount:{{ $.Release.Namespace }}:"
        '{{ include "observatory-operator.fullname" $ }}-x\n'
    ) in text
    assert f"    {NAMES}: observatory-operator\n" in text
    assert text.count("app.kubernetes.io/instance: {{ $.Release.Name | quote }}\n") == 2


def test_a_value_is_there_only_if_it_turns_something_on() -> None:
    bare = files()
    assert "webhook" not in yaml.safe_load(bare["values.yaml"])
    assert "webhook" not in json.loads(bare["values.schema.json"])["properties"]
    service = document("Service", "observatory-operator-webhook-service")
    for made, default in ((files(service), True), (files(if_wanted=(service,)), False)):
        assert yaml.safe_load(made["values.yaml"])["webhook"] == {"enabled": default}
        assert "webhook" in json.loads(made["values.schema.json"])["properties"]


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    made = files()
    values, schema = yaml.safe_load(made["values.yaml"]), json.loads(made["values.schema.json"])
    assert values.keys() == schema["properties"].keys() - {"global"}


def test_defaults_are_those_of_the_manifest() -> None:
    values = yaml.safe_load(files()["values.yaml"])
    spec = deployment()["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert values["replicas"] == spec["replicas"]
    assert values["resources"] == container["resources"]
    assert values["image"]["repository"] == "observatory-operator"
    assert yaml.safe_load(files()["Chart.yaml"])["appVersion"] == "1.2.3"


def test_what_a_webhook_needs_of_the_deployment_goes_with_it() -> None:
    made = chart([deployment("--webhook-port=9443")], [], "1")
    text = made["templates/manager/controller-manager-deployment.yaml"]
    begin = f"{{{{- if {WEBHOOK} }}}}\n            - --webhook-port=9443\n"
    other = '{{- if ne (include "observatory-operator.fullname" $) "observatory-operator" }}\n'
    name = '{{ include "observatory-operator.fullname" $ }}-validating-webhook-configuration'
    flag = f"            - --webhook-configuration={name}\n"
    assert f"{begin}{other}{flag}{{{{- end }}}}\n{{{{- end }}}}" in text


def test_what_a_component_changes_is_a_condition() -> None:
    def side(args: list[str], **metadata: object) -> tokens.Object:
        made = document("Thing", "a", spec={"containers": [{"name": "c", "args": args}]})
        return made | {"metadata": {"name": "a", **metadata}}

    base = [side(["--x", "--old"]), document("ClusterRole", "gone")]
    other = [side(["--x", "--new"], annotations={"b": "1"}), document("Issuer", "new")]
    documents, conditions = merged(base, other, "$.c")
    assert conditions == {("ClusterRole", "gone"): "not $.c", ("Issuer", "new"): "$.c"}
    (changed,) = (each for each in documents if each["kind"] == "Thing")
    assert tokens.to_yaml(changed) == (
        "apiVersion: v1\nkind: Thing\nmetadata:\n  name: a\n"
        "{{- if $.c }}\n  annotations:\n    b: '1'\n{{- end }}\n"
        "spec:\n  containers:\n    - name: c\n      args:\n        - --x\n"
        "{{- if not $.c }}\n        - --old\n{{- end }}\n"
        "{{- if $.c }}\n        - --new\n{{- end }}\n"
    )
    made = chart([deployment(), *documents[1:]], [], "1", conditions)
    assert yaml.safe_load(made["values.yaml"])["certManager"] == {"enabled": False}


def test_a_value_that_a_component_replaces_is_no_condition() -> None:
    with pytest.raises(ValueError, match="only what is added or left out"):
        merged([document("A", "a", x=1)], [document("A", "a", x=2)], "$.c")


def test_the_namespace_is_left_to_helm() -> None:
    assert files() == files(document("Namespace", "observatory-operator-system"))


def test_the_version_is_that_of_the_package() -> None:
    namespace: dict[str, str] = {}
    exec((cli.ROOT / "observatory/__init__.py").read_text(), namespace)  # noqa: S102 -- our own
    assert cli.version() == namespace["__version__"]
