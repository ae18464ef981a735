"""Types in DR: definitions with their resources in one run, definitions that fail, versions that are not served."""

from __future__ import annotations

from drsyncer.errors import ExitCode
from importer.plan import Action
from tests.cluster.control_plane import ControlPlane
from tests.integration.recovery import Recovery, actions, configmap, namespace, problems
from tests.integration.written import custom, custom_type, result_of, write

SHORT = {"timeouts": {"crds": "1s"}}


def test_definitions_and_their_resources_go_in_together(clean_dr: ControlPlane, recovery: Recovery) -> None:
    definitions = [custom_type(f"kind{number}s", kind=f"Kind{number}") for number in range(12)]
    resources = [custom("shop", f"one-{number}", kind=f"Kind{number}") for number in range(12)]
    wide = custom_type("planets", scope="Cluster", versions=("v1beta1", "v1"))
    write(
        recovery,
        namespace("shop"),
        *definitions,
        *resources,
        wide,
        custom("", "earth", kind="Planet", version="v1"),
        custom("", "mars", kind="Planet", version="v1beta1"),
    )

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.DONE
    assert outcome.summary == {"create": 1 + 12 + 12 + 3}
    for number in range(12):
        there = clean_dr.get(f"/apis/example.com/v1/namespaces/shop/kind{number}s/one-{number}")
        assert there["spec"] == {"size": 1, "nothing": None}
    assert actions(recovery.import_into(clean_dr)) == {}


def test_a_definition_that_is_never_established_blocks_its_resources_and_nothing_else(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    # Both want the list kind WidgetList of example.com: the second is accepted, and never served.
    clean_dr.apply([custom_type("widgets")])
    clean_dr.kubectl("wait", "--for=condition=Established", "crd/widgets.example.com")
    clashing = custom_type("gadgets")
    clashing["spec"]["names"]["listKind"] = "WidgetList"
    write(
        recovery,
        namespace("shop"),
        clashing,
        custom("shop", "one", kind="Gadget"),
        custom_type("gears"),
        custom("shop", "two", kind="Gear"),
        configmap("shop", "app", a="b"),
    )

    outcome = recovery.import_into(clean_dr, config=SHORT)

    assert outcome.exit_code is ExitCode.PARTIAL
    reason = problems(outcome)["shop/gadgets.example.com/one"]
    assert "CustomResourceDefinition" in reason
    assert "1 s" in reason  # that it was waited for
    assert problems(outcome).keys() <= {
        "shop/gadgets.example.com/one",
        "customresourcedefinitions.apiextensions.k8s.io/gadgets.example.com",
    }
    assert actions(outcome)["shop/gears.example.com/two"] is Action.CREATE
    assert actions(outcome)["shop/configmaps/app"] is Action.CREATE

    # The name becomes free: the next import brings what was missing.
    clean_dr.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com")
    clean_dr.kubectl("wait", "--for=condition=Established", "crd/gadgets.example.com")
    assert actions(recovery.import_into(clean_dr)).items() >= {"shop/gadgets.example.com/one": Action.CREATE}.items()


def test_a_definition_that_dr_refuses_blocks_its_resources_and_nothing_else(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    invalid = custom_type("gadgets")
    invalid["spec"]["versions"][0]["storage"] = False
    write(recovery, namespace("shop"), invalid, custom("shop", "one", kind="Gadget"), configmap("shop", "app", a="b"))

    outcome = recovery.import_into(clean_dr, config=SHORT)

    assert problems(outcome).keys() == {
        "shop/gadgets.example.com/one",
        "customresourcedefinitions.apiextensions.k8s.io/gadgets.example.com",
    }
    assert "gadgets.example.com" in problems(outcome)["shop/gadgets.example.com/one"]
    assert actions(outcome)["shop/configmaps/app"] is Action.CREATE


def test_a_type_that_dr_lacks_blocks_only_itself_until_it_comes(clean_dr: ControlPlane, recovery: Recovery) -> None:
    write(recovery, namespace("shop"), custom("shop", "one", kind="Gadget"), configmap("shop", "app", a="b"))

    outcome = recovery.import_into(clean_dr)

    assert outcome.exit_code is ExitCode.PARTIAL
    assert "DR does not serve gadgets.example.com" in problems(outcome)["shop/gadgets.example.com/one"]
    assert actions(outcome)["shop/configmaps/app"] is Action.CREATE
    clean_dr.apply([custom_type("gadgets")])
    clean_dr.kubectl("wait", "--for=condition=Established", "crd/gadgets.example.com")
    assert actions(recovery.import_into(clean_dr)) == {"shop/gadgets.example.com/one": Action.CREATE}


def test_a_resource_in_a_version_that_dr_does_not_serve_is_written_in_one_that_it_does(
    clean_dr: ControlPlane, recovery: Recovery
) -> None:
    loose = custom_type("gadgets", versions=("v1",))
    strict = custom_type("gears", versions=("v1",))
    strict["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    clean_dr.apply([loose, strict])
    for name in ("gadgets", "gears"):
        clean_dr.kubectl("wait", "--for=condition=Established", f"crd/{name}.example.com")
    fits = custom("shop", "fits", kind="Gadget", version="v1beta1")
    loses = custom("shop", "loses", kind="Gear", version="v1beta1")
    loses["spec"] = {"size": 1, "onlyInBeta": "x"}
    write(recovery, namespace("shop"), fits, loses)

    outcome = recovery.import_into(clean_dr)

    result = result_of(outcome, "shop/gadgets.example.com/fits")
    assert result.action is Action.CREATE
    assert result.notes == ("Git has version v1beta1, which DR does not serve; written in v1",)
    # A field that the served version does not know would be dropped in silence.
    assert problems(outcome).keys() == {"shop/gears.example.com/loses"}
    assert "onlyInBeta" in problems(outcome)["shop/gears.example.com/loses"]
    assert not clean_dr.exists("/apis/example.com/v1/namespaces/shop/gears/loses")
    assert actions(recovery.import_into(clean_dr)).keys() == {"shop/gears.example.com/loses"}
