"""The configuration that users see: images, layers, and what resolving them gives."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from kitaru import ImageSettings, KitaruConfig
from kitaru.config import (
    build_frozen_execution_spec,
    configure,
    read_frozen_execution_spec,
    reset_configuration,
    resolve_connection_config,
    resolve_execution_config,
)
from kitaru.errors import KitaruUsageError


@pytest.fixture(autouse=True)
def fresh() -> Any:
    yield
    reset_configuration()


def test_importing_configuration_and_configuring_load_nothing_heavy() -> None:
    code = (
        "import sys, kitaru.config\nkitaru.config.configure(cache=True)\n"
        "assert not {'pydantic', 'yaml', 'tomllib', 'urllib.request'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_exported_name_is_there() -> None:
    import kitaru.config as config

    for name in config.__all__:
        assert getattr(config, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        config.nothing
    with pytest.raises(AttributeError, match="KITARU_NOTHING_ENV"):
        config.KITARU_NOTHING_ENV


def test_images() -> None:
    image = ImageSettings(
        base_image=" python:3.12 ", requirements=[" a ", "b"], environment={" A ": 1}, apt_packages=("git",)
    )
    assert (image.base_image, image.requirements, image.environment) == ("python:3.12", ["a", "b"], {"A": "1"})
    assert image.apt_packages == ["git"]
    assert not image.is_empty() and ImageSettings().is_empty()
    assert ImageSettings(parent_image="x") == ImageSettings.model_validate("x") == ImageSettings(base_image="x")
    assert ImageSettings.model_validate(image) == image
    with pytest.raises(Exception, match="frozen"):
        image.base_image = "y"


@pytest.mark.parametrize(
    "values",
    [
        {"base": "x"},
        {"base_image": " "},
        {"base_image": 3},
        {"dockerfile": ""},
        {"requirements": ["a", " "]},
        {"requirements": "a"},
        {"requirements": 3},
        {"requirements": {"a": 1}},
        {"apt_packages": [3]},
        {"environment": {" ": "x"}},
        {"environment": ["A"]},
        {"replicate_local_python_environment": "yes"},
    ],
)
def test_bad_images(values: dict[str, Any]) -> None:
    for use in (lambda: ImageSettings(**values), lambda: ImageSettings.model_validate(values)):
        with pytest.raises(KitaruUsageError, match=next(iter(values))):
            use()


def test_layers() -> None:
    layer = KitaruConfig.of_mapping({"stack": " s ", "server_url": "https://h/", "auth_token": "hidden", "other": 1})
    assert (layer.stack, layer.server_url) == ("s", "https://h")
    assert "hidden" not in repr(layer)
    for bad in ({"stack": " "}, {"retries": -1}, {"cache": "yes"}, {"server_url": "h"}, {"project": ""}, {"image": 3}):
        with pytest.raises(KitaruUsageError, match=next(iter(bad))):
            KitaruConfig(**bad)  # type: ignore[arg-type]
    returned = configure(image={"requirements": ["a"]}, project="p")
    assert isinstance(returned.image, ImageSettings) and returned.project is None


def test_resolving_an_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    built_in = resolve_execution_config()
    assert (built_in.stack, built_in.image, built_in.cache, built_in.retries) == (None, None, False, 0)
    monkeypatch.setenv("KITARU_RETRIES", "1")
    monkeypatch.setenv("KITARU_IMAGE", '{"environment": {"A": "env", "B": "env"}, "requirements": ["env"]}')
    configure(retries=2, stack="set")
    flow = KitaruConfig(retries=3, cache=True, image=ImageSettings(environment={"B": "flow", "C": "flow"}))
    resolved = resolve_execution_config(retries=4, image={"environment": {"C": "run"}}, flow_defaults=flow)
    assert (resolved.stack, resolved.cache, resolved.retries) == ("set", True, 4)
    assert resolved.image == ImageSettings(requirements=["env"], environment={"A": "env", "B": "flow", "C": "run"})
    assert resolve_execution_config(flow_defaults=flow).retries == 3
    assert resolve_execution_config().retries == 2
    for bad in ({"stack": " "}, {"retries": -1}, {"cache": 1}, {"image": ""}):
        with pytest.raises(KitaruUsageError):
            resolve_execution_config(**bad)  # type: ignore[arg-type]


def test_a_frozen_spec_has_no_token_and_is_read_back() -> None:
    document = build_frozen_execution_spec(
        resolved_execution=resolve_execution_config(stack="s", image="python:3.12"),
        flow_defaults=KitaruConfig(auth_token="hidden", image=ImageSettings(environment={"TOKEN": "hidden"})),
        connection=resolve_connection_config(server_url="https://h", auth_token="hidden", project="p"),
        model_registry={"aliases": {}},
    )
    assert "hidden" not in str(document)
    assert document == {
        "version": 1,
        "resolved_execution": {"stack": "s", "image": {"base_image": "python:3.12"}, "cache": False, "retries": 0},
        "flow_defaults": {"image": {"environment": {"TOKEN": "***"}}},
        "connection": {"server_url": "https://h", "project": "p"},
        "model_registry": {"aliases": {}},
    }
    spec = read_frozen_execution_spec(document)
    assert spec is not None and spec.resolved_execution["stack"] == "s"
    former = read_frozen_execution_spec({"version": 1, "resolved_execution": {"runner": "old"}})
    assert former is not None and former.resolved_execution == {"stack": "old"}
    for unreadable in (None, "x", {}, {"version": 2}, {"version": 1, "connection": 3}):
        assert read_frozen_execution_spec(unreadable) is None


def test_image_settings_get_the_names_of_the_engine() -> None:
    from kitaru.config import ImageSettings, image_settings_to_docker_settings

    settings = ImageSettings(base_image="python:3.12", requirements=["a"], environment={"A": "1"})
    expected = {"parent_image": "python:3.12", "requirements": ["a"], "environment": {"A": "1"}}
    assert image_settings_to_docker_settings(settings) == expected
    assert image_settings_to_docker_settings("python:3.12") == {"parent_image": "python:3.12"}
    assert image_settings_to_docker_settings(None) == {}
    with pytest.raises(KitaruUsageError, match="unknown image settings"):
        image_settings_to_docker_settings({"nothing": 1})
