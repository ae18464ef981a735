"""The image registry map."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsyncer.manifest import ObjectRef
from transforms.images import image_in_dr, map_images
from transforms.pods import POD_SPECS
from transforms.settings import Settings, Subject, TransformFailed

DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("entries", "image", "expected"),
    [
        ({"reg.prod.org/": "reg.dr.org/"}, "reg.prod.org/a/b:1", "reg.dr.org/a/b:1"),
        ({"reg.prod.org": "reg.dr.org"}, "reg.prod.org/a", "reg.dr.org/a"),
        ({"reg.io": "dr.io"}, "reg.io:5000/a", "reg.io:5000/a"),
        ({"reg.io:5000/": "dr.io/"}, "reg.io:5000/a", "dr.io/a"),
        ({"reg.io": "dr.io"}, "reg.io.evil/a", "reg.io.evil/a"),
        ({"reg.io/app": "dr.io/app"}, "reg.io/apple:1", "reg.io/apple:1"),
        ({"reg.io/app": "dr.io/other"}, "reg.io/app:1", "dr.io/other:1"),
        ({"reg.io/app": "dr.io/other"}, "reg.io/app" + DIGEST, "dr.io/other" + DIGEST),
        ({"reg.io/app": "dr.io/other"}, "reg.io/app", "dr.io/other"),
        ({"reg.io/": "dr.io/", "reg.io/team/": "team.io/"}, "reg.io/team/app", "team.io/app"),
        ({"a.io/": "b.io/", "b.io/": "c.io/"}, "a.io/x", "b.io/x"),
        ({"docker.io/": "mirror.io/"}, "nginx:1", "mirror.io/library/nginx:1"),
        ({"docker.io/": "mirror.io/"}, "team/app:1", "mirror.io/team/app:1"),
        ({"docker.io": "mirror.io"}, "index.docker.io/team/app", "mirror.io/team/app"),
        ({"docker.io/library": "mirror.io/hub"}, "nginx" + DIGEST, "mirror.io/hub/nginx" + DIGEST),
        ({"docker.io/library/": "mirror.io/hub/"}, "team/app", "team/app"),
        ({"team/": "mirror.io/team/"}, "team/app:1", "mirror.io/team/app:1"),
        ({"docker.io/team/": "mirror.io/team/"}, "team/app:1", "mirror.io/team/app:1"),
        ({"docker.io/team": "mirror.io/team"}, "team/app:1", "mirror.io/team/app:1"),
        ({"docker.io/nginx": "mirror.io/web"}, "nginx:1", "mirror.io/web:1"),
        ({"nginx": "mirror.io/web"}, "docker.io/library/nginx:1", "mirror.io/web:1"),
        ({"nginx": "mirror.io/web"}, "nginx-extra:1", "nginx-extra:1"),
        ({"reg.io/": "dr.io/"}, "nginx:1", "nginx:1"),
    ],
)  # fmt: skip
def test_the_longest_prefix_at_a_boundary_wins_once(entries, image, expected):
    assert image_in_dr(image, Settings(images=entries)) == expected


def pod(image):
    return {
        "containers": [{"name": "a", "image": image}, {"name": "b", "image": "other.io/b"}],
        "initContainers": [{"name": "c", "image": image}],
        "ephemeralContainers": [{"name": "d", "image": image}],
        "volumes": [{"name": "e", "image": {"reference": image}}, {"name": "f", "emptyDir": {}}],
    }


def nested(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


def run(type_key, manifest):
    return map_images(manifest, Subject(ObjectRef(type_key, "shop", "x"), Settings(images={"reg.io/": "dr.io/"})))


@pytest.mark.parametrize("type_key", POD_SPECS)
def test_every_image_of_every_pod_template_is_mapped(type_key):
    path = POD_SPECS[type_key]

    result = run(type_key, nested(path, pod("reg.io/a:1")))

    assert result.manifest == nested(path, pod("dr.io/a:1"))
    assert len(result.applied) == 4


def test_images_elsewhere_stay():
    manifest = {"spec": {"containers": [{"image": "reg.io/a"}]}}

    assert run("widgets.example.com", manifest).manifest is manifest


def test_a_container_without_image_is_left_to_the_server():
    manifest = {"spec": {"containers": [{"name": "a"}], "initContainers": None}}

    assert run("pods", manifest).manifest is manifest


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"containers": "web"}, "/spec/containers: found a string, expected a list"),
        ({"containers": ["web"]}, "/spec/containers/0: found a string, expected a mapping"),
        ({"containers": [{"image": 7}]}, "/spec/containers/0/image: found a number, expected a string"),
        ("web", "/spec: found a string, expected a mapping"),
    ],
)
def test_a_malformed_pod_blocks_the_object(spec, path):
    with pytest.raises(TransformFailed) as caught:
        run("pods", {"spec": spec})
    assert path in str(caught.value)


@given(st.from_regex(r"[a-z0-9][a-z0-9./:@-]{0,40}", fullmatch=True))
def test_an_image_of_another_registry_is_left_as_written(image):
    assert image_in_dr(image, Settings(images={"no-such-registry.example.com/": "x.io/"})) == image
