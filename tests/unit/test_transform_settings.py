"""What the transforms' settings refuse before any object is seen."""

from __future__ import annotations

import pytest

from drsyncer.errors import UsageError
from transforms.settings import Changes, Settings, TransformFailed, full_image


@pytest.mark.parametrize("key", ["dr-syncer.io/replicas", "dr-syncer.io/prune", "applyset.kubernetes.io/part-of"])
def test_keys_of_the_importer_are_neither_added_nor_removed(key):
    with pytest.raises(UsageError, match=key):
        Changes(add={key: "x"})
    with pytest.raises(UsageError, match=key):
        Changes(remove=(key,))


@pytest.mark.parametrize(
    "setting",
    [
        {"namespaces": {"a-*-*": "b"}},
        {"namespaces": {"shop": "dr-*"}},
        {"namespaces": {"shop": "Shop_DR"}},
        {"namespaces": {"shop": ""}},
        {"images": {"reg.io/": ""}},
        {"images": {"/": "mirror/"}},
        {"images": {"docker.io/": "a/", "index.docker.io/": "b/"}},
        {"images": {"team/": "a/", "docker.io/team/": "b/"}},
        {"hosts": {"*.prod.example.com": "one.example.com"}},
        {"hosts": {"one.example.com": "*.dr.example.com"}},
        {"hosts": {"a.*.example.com": "b.example.com"}},
        {"hosts": {"A.example.com": "b.example.com"}},
    ],
)
def test_entries_that_can_not_work_are_refused(setting):
    with pytest.raises(UsageError):
        Settings(**setting)


def test_settings_without_entries_ask_for_nothing():
    assert not Settings().namespace_map
    assert Settings().image_prefixes == ()
    assert Settings() == Settings()


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("team/app", "docker.io/team/app"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("index.docker.io/team/app", "docker.io/team/app"),
        ("localhost/app", "localhost/app"),
        ("reg:5000/app", "reg:5000/app"),
        ("ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00"),
    ],
)
def test_an_image_reference_is_completed_as_docker_does(image, full):
    assert full_image(image) == full


def test_a_failure_says_which_rule_where_and_what_was_expected():
    error = TransformFailed(rule="images", path="/spec/containers", found="a string", expected="a list")

    assert str(error) == "images: /spec/containers: found a string, expected a list"
