"""Rich objects of what extends an API server: admission, definitions, aggregated APIs."""

from __future__ import annotations

from typing import Any

from tests.cluster.api import Object
from tests.integration.rich_pods import SELECTOR
from tests.integration.rich_workloads import Make

API = "admissionregistration.k8s.io/v1"
CONDITIONS = [{"name": "not-ours", "expression": "request.userInfo.username != 'nobody'"}]


def admission(make: Make, *, bundle: str, rule: dict[str, Any]) -> list[Object]:
    """Return webhooks and policies about a group that nobody has, so that they are never asked."""
    webhook = {
        "name": "rich.example.com",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://rich.example.com/admit", "caBundle": bundle},
        "failurePolicy": "Ignore",
        "matchConditions": CONDITIONS,
        "matchPolicy": "Exact",
        "namespaceSelector": SELECTOR,
        "objectSelector": {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
        "rules": [rule],
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": 3,
    }
    resource_rule = {**rule, "resourceNames": ["one"]}
    constraints = {
        "matchPolicy": "Exact",
        "namespaceSelector": SELECTOR,
        "objectSelector": SELECTOR,
        "resourceRules": [resource_rule],
        "excludeResourceRules": [rule],
    }
    common = {
        "failurePolicy": "Ignore",
        "matchConditions": CONDITIONS,
        "matchConstraints": constraints,
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "variables": [{"name": "size", "expression": "object.metadata.name.size()"}],
    }
    validation = {
        "expression": "variables.size < 100",
        "message": "too long",
        "messageExpression": "'too long: ' + object.metadata.name",
        "reason": "Forbidden",
    }
    mutation = {
        "patchType": "JSONPatch",
        "jsonPatch": {"expression": '[JSONPatch{op: "add", path: "/metadata/labels/a", value: "b"}]'},
    }
    parameters = {"paramRef": {"name": "rich", "namespace": "rich", "parameterNotFoundAction": "Allow"}}
    binding = {"policyName": "rich", "matchResources": constraints, **parameters}
    audit = {"key": "size", "valueExpression": "string(variables.size)"}
    return [
        make(API, "ValidatingWebhookConfiguration", scoped=False, webhooks=[webhook]),
        make(
            API, "MutatingWebhookConfiguration", scoped=False, webhooks=[{**webhook, "reinvocationPolicy": "IfNeeded"}]
        ),
        make(
            API,
            "ValidatingAdmissionPolicy",
            scoped=False,
            spec={**common, "validations": [validation], "auditAnnotations": [audit]},
        ),
        make(
            API,
            "ValidatingAdmissionPolicyBinding",
            scoped=False,
            spec={**binding, "validationActions": ["Warn", "Audit"]},
        ),
        make(
            API,
            "MutatingAdmissionPolicy",
            scoped=False,
            spec={**common, "mutations": [mutation], "reinvocationPolicy": "Never"},
        ),
        make(API, "MutatingAdmissionPolicyBinding", scoped=False, spec=binding),
    ]


def extensions(make: Make, *, bundle: str) -> list[Object]:
    """Return a definition with all that one may say, an object of it, and an aggregated API that nobody serves."""
    schema = {
        "type": "object",
        "required": ["spec"],
        "description": "A widget.",
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {
                    "replicas": {"type": "integer", "default": 1, "minimum": 0, "maximum": 9},
                    "size": {"type": "string", "nullable": True},
                    "ports": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port"],
                        "items": {
                            "type": "object",
                            "required": ["port"],
                            "properties": {"port": {"x-kubernetes-int-or-string": True}},
                        },
                    },
                },
                "x-kubernetes-validations": [{"rule": "self.replicas < 9", "message": "too many"}],
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "deprecated": True,
        "deprecationWarning": "old",
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": "Size", "type": "string", "jsonPath": ".spec.size", "description": "How big", "priority": 1}
        ],
        "selectableFields": [{"jsonPath": ".spec.size"}],
    }
    names = {
        "plural": "richwidgets",
        "singular": "richwidget",
        "kind": "RichWidget",
        "listKind": "RichWidgetList",
        "shortNames": ["rw"],
        "categories": ["all"],
    }
    widget: dict[str, Any] = {
        "replicas": 2,
        "size": None,
        "ports": [{"port": 80}, {"port": "https"}],
        "free": {"nothing": None, "empty": {}, "list": [], "float": 1.5, "deep": [{"a": [None, "x"]}]},
    }
    return [
        make(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "richwidgets.example.com",
            scoped=False,
            spec={"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
        ),
        make("example.com/v1", "RichWidget", spec=widget),
        make(
            "apiregistration.k8s.io/v1",
            "APIService",
            "v1.nobody.example.com",
            scoped=False,
            spec={
                "group": "nobody.example.com",
                "version": "v1",
                "groupPriorityMinimum": 100,
                "versionPriority": 10,
                "service": {"namespace": "rich", "name": "by-hand", "port": 443},
                "caBundle": bundle,
            },
        ),
    ]
