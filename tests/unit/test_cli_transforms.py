"""`dr-syncer transforms list`, `explain` and `test`, against real files and a real recovery repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from drsyncer.sops.age import recipient
from drsyncer.sops.scope import Scope
from drsyncer.yaml.read import read
from tests.unit.recovery_sandbox import git
from tests.unit.sops_samples import encrypted, key_file

RULES = """\
apiVersion: dr-syncer.io/v1
rules:
  - name: heap
    match: {types: [deploy]}
    steps:
      - set: {path: "spec.template.spec.containers[name=api].image", value: "api:dr"}
      - template: {path: metadata.labels.site, value: "{{ values.site | default('dr') }}"}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop%s}
spec: {replicas: 3, template: {spec: {containers: [{name: api, image: "api:%s"}]}}}
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: shop}\ndata: {a: aHVudGVyMg==}\n"
WIDGET = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\nspec: {size: 3}\n"
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, singular: widget, shortNames: [wdg]}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
      schema: {openAPIV3Schema: {type: object}}
"""
IDENTITY = "apiVersion: dr-syncer.io/v1\nkind: RecoveryRepository\nformat: 1\ncluster: {name: prod, uid: abc}\n"
CONFIG = """\
apiVersion: dr-syncer.io/v1
repository: {url: %s, cacheDir: cache}
importer:
  cluster: dr
  transforms:
    namespaces: {shop: shop-dr}
    rules:
      - name: key
        match: {types: [secrets]}
        steps: [{set: {path: /data/extra, value: aHVudGVyMw==}}]
      - name: wide
        match: {types: [wdg]}
        when: [{path: /spec/size, equals: 3}]
        steps: [{set: {path: /spec/wide, value: true}}]
      - name: broken
        match: {names: [broken]}
        steps: [{set: {path: "/data/x/0", value: 1}}]
"""
Said = pytest.CaptureFixture[str]


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def case(given: str, expected: str = "", *, more: str = "") -> str:
    outcome = f"expected:\n{indented(expected)}" if expected else ""
    return f"input:\n{indented(given)}{outcome}{more}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DR_SYNCER_CONFIG", raising=False)
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def explain(folder: Path, capsys: Said) -> Callable[..., tuple[int, str, str]]:
    """Run `transforms explain` on a recovery repository with these objects."""
    work = folder / "work"
    objects = {
        "deployments.apps/web": DEPLOYMENT % ("", 1),
        "secrets/key": SECRET,
        "widgets.example.com/w": WIDGET,
        "configmaps/broken": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: broken, namespace: shop}\n",
        "configmaps/plain": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: shop}\n",
        "configmaps/mine": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: mine\n  namespace: shop\n"
        "  labels: {dr-syncer.io/ignore: 'true'}\n",
    }
    files = {f"namespaces/shop/{name}.yaml": text for name, text in objects.items()}
    definition = "cluster/customresourcedefinitions.apiextensions.k8s.io/widgets.example.com.yaml"
    write(work, files | {definition: CRD, "dr-syncer.yaml": IDENTITY, "transforms/heap.yaml": RULES})
    git("init", "-q", "--bare", "-b", "main", folder / "recovery.git", cwd=folder)
    git("init", "-q", "-b", "main", cwd=work)
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", "x", cwd=work)
    git("push", "-q", folder / "recovery.git", "main", cwd=work)
    (folder / "dr-syncer.yaml").write_text(CONFIG % (folder / "recovery.git"))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["transforms", "explain", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def data_of(explain: Callable[..., tuple[int, str, str]], name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(explain(name, "-o", "json")[1])
    return found


def test_an_object_is_followed_step_by_step(explain: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = explain("shop/deployments.apps/web")

    assert (code, err) == (0, "")
    assert "in DR: shop-dr/deployments.apps/web" in out
    assert "rules about it: heap (transforms/heap.yaml)" in out
    steps = [line for line in out.splitlines() if line in ("namespaces", "standby") or line.startswith("rule ")]
    assert steps == ["namespaces", "rule heap, step 1 (set)", "rule heap, step 2 (template)", "standby"]
    assert "-      - image: api:1" in out.replace('"', "")
    assert "+      - image: api:dr" in out.replace('"', "")
    assert "+    site: dr" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    "name", ["shop/deploy/web", "shop/deployment/web", "shop/deployments/web", "shop/Deployment/web"]
)
def test_an_object_may_be_named_as_for_kubectl(explain: Callable[..., tuple[int, str, str]], name: str) -> None:
    assert data_of(explain, name)["object"] == "shop/deployments.apps/web"


def test_a_link_in_the_repository_is_no_object(explain: Callable[..., tuple[int, str, str]], folder: Path) -> None:
    work = folder / "work"
    (work / "namespaces/shop/widgets.example.com/link.yaml").symlink_to("w.yaml")
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", "y", cwd=work)
    git("push", "-q", folder / "recovery.git", "main", cwd=work)

    code, _, err = explain("shop/widgets.example.com/link")

    assert code == 1
    assert "is a symbolic link; expected a file with one object" in err


def test_an_object_that_a_person_encrypted_down_to_its_kind_is_explained_with_the_key_and_not_without(
    explain: Callable[..., tuple[int, str, str]], folder: Path
) -> None:
    _, public = key_file(folder / "age.key")
    whole = Scope("unencrypted_suffix", "_unencrypted")
    manifest = read((DEPLOYMENT % ("", 1)).replace("name: web", "name: hand").encode(), file="f")
    file = folder / "work/namespaces/shop/deployments.apps/hand.yaml"
    file.write_bytes(encrypted(manifest, recipient(public), scope=whole))
    git("add", "-A", cwd=folder / "work")
    git("commit", "-q", "-m", "y", cwd=folder / "work")
    git("push", "-q", folder / "recovery.git", "main", cwd=folder / "work")

    code, out, err = explain("shop/deployments.apps/hand")
    assert code == 1
    assert "there is no key here" in err

    config = folder / "dr-syncer.yaml"
    config.write_text(config.read_text().replace("importer:\n", "importer:\n  secrets: {ageKeyFile: age.key}\n"))
    code, out, err = explain("shop/deployments.apps/hand")
    assert (code, err) == (0, "")
    assert "rule heap, step 1 (set)" in out
    assert "api:" not in out.replace("api:dr", "")


def test_the_values_of_a_secret_are_never_shown(explain: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = explain("shop/secrets/key")

    assert code == 0
    assert "+  extra:" in out
    assert "aHVud" not in out


def test_a_custom_resource_is_known_from_its_definition_in_git(explain: Callable[..., tuple[int, str, str]]) -> None:
    found = data_of(explain, "shop/widgets.example.com/w")

    assert [rule["name"] for rule in found["rules"]] == ["wide"]
    assert [change["step"] for change in found["changes"]] == ["namespaces", "rule wide, step 1 (set)", "standby"]


def test_a_blocked_object_says_why_and_exits_with_3(explain: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = explain("shop/cm/broken")

    assert code == 3
    assert "blocked: rule broken, step 1 (set): /data/x: found nothing, expected a list with" in out


def test_an_object_that_is_left_out_says_so(explain: Callable[..., tuple[int, str, str]]) -> None:
    found = data_of(explain, "shop/cm/mine")

    assert (found["included"], found["leftOutBy"]) == (False, "ignore")
    assert data_of(explain, "shop/cm/plain")["included"] is True


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("web", "'web' names no object"),
        ("shop/deployments.apps/weeb", "did you mean shop/deployments.apps/web?"),
        ("shop/nothing/web", "the recovery point holds no shop/nothing/web"),
    ],
)
def test_an_object_that_is_not_there_is_wrong_usage(
    explain: Callable[..., tuple[int, str, str]], name: str, message: str
) -> None:
    code, out, err = explain(name)

    assert (code, out) == (2, "")
    assert message in err


# test ----------------------------------------------------------------------------------------------


def test_golden_cases_pass_or_show_how_they_fail(folder: Path, capsys: Said) -> None:
    good = DEPLOYMENT % (", labels: {site: dr}", "dr")
    write(
        folder,
        {
            "transforms/heap.yaml": RULES,
            "transforms/tests/good.yaml": case(DEPLOYMENT % ("", 1), good)
            + "---\n"
            + case(DEPLOYMENT % ("", 1), good.replace("site: dr", "site: x"), more="values: {site: x}\n"),
            "transforms/tests/deep/blocked.yaml": case(
                DEPLOYMENT.replace("name: api,", "name: other,") % ("", 1), more="blocked: whose name is api\n"
            ),
        },
    )

    assert run(["transforms", "test"]) == 0
    assert capsys.readouterr() == ("3 passed, 0 failed\n", "")

    bad = "name: the image\n" + case(DEPLOYMENT % ("", 1), good.replace("api:dr", "api:2"))
    write(folder, {"transforms/tests/bad.yaml": bad})

    assert run(["transforms", "test"]) == 1
    out = capsys.readouterr().out
    assert "transforms/tests/bad.yaml:1: the image" in out
    assert '-      - image: "api:2"' in out or "-      - image: api:2" in out
    assert '+      - image: "api:dr"' in out or "+      - image: api:dr" in out
    assert out.endswith("3 passed, 1 failed\n")

    assert run(["transforms", "test", "transforms/tests/bad.yaml", "-o", "json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["version"], result["passed"], result["failed"]) == (1, 0, 1)
    assert result["cases"][0]["problem"] == "the object arrives otherwise"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("blocked: nothing like it\n", "blocked for another reason: rule heap, step 1"),
        (f"expected:\n{indented(SECRET)}", "the object is blocked: rule heap, step 1"),
    ],
)
def test_the_wrong_outcome_is_a_failure(folder: Path, capsys: Said, more: str, problem: str) -> None:
    given = DEPLOYMENT.replace("name: api,", "name: other,") % ("", 1)
    write(folder, {"transforms/heap.yaml": RULES, "transforms/tests/a.yaml": case(given, more=more)})

    assert run(["transforms", "test"]) == 1
    assert problem in capsys.readouterr().out.replace("\n  ", " ")


def test_what_git_has_encrypted_is_hidden_in_a_test_as_in_an_import(folder: Path, capsys: Said) -> None:
    rules = (
        "apiVersion: dr-syncer.io/v1\nrules:\n  - name: r\n    match: {types: [configmaps]}\n"
        "    steps: [{template: {path: /metadata/labels/x, value: '{{ object.data.a }}'}}]\n"
    )
    given = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {}}\ndata: {a: hunter2}\n"
    seen = given.replace("{}", "{x: hunter2}")
    blocked = case(given, more="blocked: no `data`\nencrypted: [data]\n")
    shown = case(given, more="blocked: elsewhere\nencrypted: [data]\n")
    files = {"transforms/r.yaml": rules, "transforms/tests/a.yaml": f"{case(given, seen)}---\n{blocked}---\n{shown}"}
    write(folder, files)

    assert run(["transforms", "test"]) == 1

    out = capsys.readouterr().out
    assert out.endswith("2 passed, 1 failed\n")
    assert "blocked for another reason" in out
    assert "hunter2" not in out


def test_an_object_that_should_be_blocked_and_is_not_is_a_failure(folder: Path, capsys: Said) -> None:
    write(folder, {"transforms/tests/a.yaml": case(SECRET, more="blocked: x\n")})

    assert run(["transforms", "test"]) == 1
    assert "the object is not blocked" in capsys.readouterr().out


def test_with_a_configuration_its_transforms_apply_too(folder: Path, capsys: Said) -> None:
    moved = SECRET.replace("shop", "shop-dr").replace("\ndata: {", "\ndata: {extra: aHVudGVyMw==, ")
    write(folder, {"dr.yaml": CONFIG % "/srv/x", "transforms/tests/a.yaml": case(SECRET, moved)})

    assert run(["transforms", "test", "-c", "dr.yaml"]) == 0
    capsys.readouterr()
    assert run(["transforms", "test"]) == 1
    assert "aHVud" not in capsys.readouterr().out


def test_standby_is_tested_when_asked_for(folder: Path) -> None:
    parked = (DEPLOYMENT % (', annotations: {dr-syncer.io/replicas: "3"}', 1)).replace("replicas: 3,", "replicas: 0,")
    write(folder, {"transforms/tests/a.yaml": case(DEPLOYMENT % ("", 1), parked, more="standby: true\n")})

    assert run(["transforms", "test"]) == 0


def test_in_a_checkout_of_the_recovery_repository_no_configuration_is_needed(folder: Path) -> None:
    write(folder, {"dr-syncer.yaml": IDENTITY, "transforms/tests/a.yaml": case(SECRET, SECRET)})

    assert run(["transforms", "test"]) == 0


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"transforms/a.yaml": RULES}, "no cases in transforms"),
        (
            {"transforms/tests/a.yaml": "input: {}\nexpected: {}\n"},
            "input: expected an object with apiVersion",
        ),
        ({"transforms/tests/a.yaml": case(SECRET)}, "expected exactly one of expected and blocked"),
        ({"transforms/tests/a.yaml": case(SECRET, SECRET, more="inptu: {}\n")}, "unknown key; did you mean `input`?"),
        ({"transforms/tests/a.yaml": case(SECRET, SECRET) + "a: &b c\n"}, "anchors and aliases are not allowed"),
        ({"transforms/tests/a.yaml": case(SECRET, SECRET), "transforms/a.yaml": "x: 1\n"}, "transforms/a.yaml:1: x"),
        ({}, "transforms: there is no such file or folder"),
    ],
)
def test_a_run_that_would_prove_nothing_is_wrong_usage(
    folder: Path, capsys: Said, files: dict[str, str], message: str
) -> None:
    write(folder, files)

    assert run(["transforms", "test"]) == 2
    assert message in capsys.readouterr().err


def test_the_example_of_the_how_to_passes(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-rule.md").read_text()
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    rules = next(block for block in blocks if block.startswith("apiVersion") and "repository:" not in block)
    cases = next(block for block in blocks if block.startswith("name:"))
    write(folder, {"transforms/10-heap.yaml": rules, "transforms/tests/heap.yaml": cases})

    assert run(["transforms", "test"]) == 0


# list ----------------------------------------------------------------------------------------------


def test_the_list_ends_with_the_rules_of_a_configuration(folder: Path, capsys: Said) -> None:
    assert run(["transforms", "list"]) == 0
    assert "Changed by your rules" not in capsys.readouterr().out

    (folder / "dr-syncer.yaml").write_text(CONFIG % "/srv/x")
    assert run(["transforms", "list"]) == 0
    out = capsys.readouterr().out
    assert "Changed by your rules" in out
    assert "types wdg, /spec/size equals 3" in out

    assert run(["transforms", "list", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["userRules"]
    assert found[1] == {
        "name": "wide",
        "origin": "configuration",
        "appliesTo": "types wdg",
        "when": ["/spec/size equals 3"],
        "steps": [{"step": "set", "at": "/spec/wide"}],
    }
