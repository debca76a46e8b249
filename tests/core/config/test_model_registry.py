"""Model aliases: registering, choosing, and what a remote process is told of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kitaru import flow
from kitaru.config import (
    KitaruConfig,
    ModelAliasEntry,
    ResolvedModelSelection,
    configure,
    delete_model_alias,
    list_model_aliases,
    register_model_alias,
    reset_configuration,
    resolve_model_selection,
    set_default_model_alias,
)
from kitaru.errors import KitaruConfigError, KitaruUsageError
from kitaru.runtime.kernel import Kernel


def test_the_first_alias_is_the_default_and_an_alias_is_replaced_whole() -> None:
    first = register_model_alias(" Fast ", model=" openai/gpt-5-mini ", secret="openai")
    assert first == ModelAliasEntry("fast", "openai/gpt-5-mini", "openai", True)
    assert not register_model_alias("deep", model="anthropic/claude").is_default
    assert register_model_alias("fast", model="other") == ModelAliasEntry("fast", "other", None, True)
    assert [entry.alias for entry in list_model_aliases()] == ["deep", "fast"]


def test_default_and_deleting() -> None:
    register_model_alias("a", model="ma")
    register_model_alias("b", model="mb")
    register_model_alias("c", model="mc")
    assert set_default_model_alias("B").is_default
    assert resolve_model_selection().resolved_model == "mb"
    delete_model_alias("b")
    with pytest.raises(KitaruUsageError, match=r"a, c.*no default"):
        resolve_model_selection()
    delete_model_alias("a")
    assert resolve_model_selection().alias == "c", "the only one there is"
    for use in (delete_model_alias, set_default_model_alias):
        with pytest.raises(KitaruUsageError, match=r"no model alias `zz`.*Yours: c"):
            use("zz")


@pytest.mark.parametrize("alias", ["", " ", "a/b", "-a", "a b", "ä", 3, None])
def test_bad_aliases(alias: Any) -> None:
    with pytest.raises(KitaruUsageError, match="not a model alias"):
        register_model_alias(alias, model="m")


def test_blank_models_and_secrets_are_refused(own_store: Path) -> None:
    for values in ({"model": " "}, {"model": "m", "secret": " "}, {"model": None}):
        with pytest.raises(KitaruUsageError, match=r"model|secret"):
            register_model_alias("a", **values)  # type: ignore[arg-type]
    assert not own_store.exists()


def test_what_a_model_means(monkeypatch: pytest.MonkeyPatch) -> None:
    register_model_alias("fast", model="openai/gpt-5-mini", secret="openai")
    assert resolve_model_selection("FAST") == ResolvedModelSelection("FAST", "fast", "openai/gpt-5-mini", "openai")
    assert resolve_model_selection(" x/y ") == ResolvedModelSelection("x/y", None, "x/y", None)
    assert resolve_model_selection() == ResolvedModelSelection(None, "fast", "openai/gpt-5-mini", "openai")
    monkeypatch.setenv("KITARU_DEFAULT_MODEL", "raw")
    assert resolve_model_selection() == ResolvedModelSelection("raw", None, "raw", None)
    assert resolve_model_selection("fast").alias == "fast"
    monkeypatch.setenv("KITARU_DEFAULT_MODEL", " ")
    with pytest.raises(KitaruUsageError, match="KITARU_DEFAULT_MODEL is set but blank"):
        resolve_model_selection()
    with pytest.raises(KitaruUsageError, match="model must be"):
        resolve_model_selection(" ")


def test_nothing_to_choose_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KitaruUsageError, match="there is no model alias"):
        resolve_model_selection()
    monkeypatch.setenv("KITARU_MODEL_REGISTRY", '{"aliases": {}}')
    with pytest.raises(KitaruUsageError, match="Register one where you start it"):
        resolve_model_selection()


def test_a_transported_registry_lies_over_the_local_one(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_model_alias("fast", model="local")
    register_model_alias("mine", model="mine")
    sent = {"aliases": {"fast": {"model": "sent"}, "far": {"model": "far", "secret": None}}, "default": "far"}
    monkeypatch.setenv("KITARU_MODEL_REGISTRY", json.dumps(sent))
    assert [(one.alias, one.model) for one in list_model_aliases()] == [
        ("far", "far"),
        ("fast", "sent"),
        ("mine", "mine"),
    ]
    assert resolve_model_selection().alias == "far"
    (own_store / "kitaru.yaml").write_text("[broken")
    assert [one.alias for one in list_model_aliases()] == ["far", "fast"], "the file does not matter then"
    monkeypatch.setenv("KITARU_MODEL_REGISTRY", " ")
    with pytest.raises(KitaruConfigError):
        list_model_aliases()


@pytest.mark.parametrize(
    "value", ["{", "3", '{"aliases": 3}', '{"aliases": {"a": "m"}}', '{"aliases": {"a": {}}}', '{"default": "a"}']
)
def test_a_bad_registry_names_where_it_is(own_store: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("KITARU_MODEL_REGISTRY", value)
    with pytest.raises(KitaruUsageError, match="KITARU_MODEL_REGISTRY"):
        list_model_aliases()
    monkeypatch.delenv("KITARU_MODEL_REGISTRY")
    if value != "{":
        own_store.mkdir()
        (own_store / "kitaru.yaml").write_text(f"model_registry: {value}")
        with pytest.raises(KitaruConfigError, match=r"kitaru\.yaml"):
            list_model_aliases()


@flow
def nothing() -> None: ...


def test_a_start_takes_the_registry_with_it(kernel: Kernel) -> None:
    def spec_of(**options: Any) -> dict[str, Any]:
        handle = nothing.run(**options)
        handle.wait()
        return kernel.journal.get(handle.exec_id).spec

    assert "model_registry" not in spec_of() and "image" not in spec_of()["resolved_execution"]
    register_model_alias("fast", model="m", secret="openai")
    spec = spec_of()
    document = {"aliases": {"fast": {"model": "m", "secret": "openai"}}, "default": "fast"}
    assert spec["model_registry"] == document
    assert json.loads(spec["resolved_execution"]["image"]["environment"]["KITARU_MODEL_REGISTRY"]) == document
    own = '{"aliases": {}}'
    kept = spec_of(image={"environment": {"KITARU_MODEL_REGISTRY": own}})
    assert kept["resolved_execution"]["image"]["environment"]["KITARU_MODEL_REGISTRY"] == own
    with pytest.raises(KitaruUsageError, match="image environment"):
        nothing.run(image={"environment": {"KITARU_MODEL_REGISTRY": "{"}})
    try:
        assert configure(image="python:3.12") == KitaruConfig(image={"base_image": "python:3.12"})  # type: ignore[arg-type]
        assert spec_of()["resolved_execution"]["image"]["base_image"] == "python:3.12"
    finally:
        reset_configuration()


def test_every_start_sees_the_registry_as_it_is_then(
    kernel: Kernel, own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def aliases() -> dict[str, Any]:
        handle = nothing.run()
        handle.wait()
        return (kernel.journal.get(handle.exec_id).spec.get("model_registry") or {}).get("aliases", {})

    assert aliases() == {}
    for model in ("m1", "m2"):  # the variable, changed in place
        monkeypatch.setenv("KITARU_MODEL_REGISTRY", json.dumps({"aliases": {"sent": {"model": model}}}))
        assert aliases() == {"sent": {"model": model}}
    monkeypatch.delenv("KITARU_MODEL_REGISTRY")
    assert aliases() == {}
    for model in ("f1", "f22"):  # the file, as an editor or another process writes it
        (own_store / "kitaru.yaml").write_text(f"model_registry: {{aliases: {{mine: {{model: {model}}}}}}}\n")
        assert aliases() == {"mine": {"model": model}}
    (own_store / "kitaru.yaml").unlink()
    assert aliases() == {}
