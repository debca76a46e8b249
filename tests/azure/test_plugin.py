"""What kitaru-azure declares, and what reading that loads."""

from __future__ import annotations

from kitaru.plugins.manager import plugin_manager


def test_what_it_supplies() -> None:
    (info,) = [one for one in plugin_manager().plugins() if one.distribution == "kitaru-azure"]
    assert (info.name, info.status, info.reason) == ("azure", "available", None)
    assert {(one.kind, one.name) for one in info.supplies} == {
        ("artifact_store", "azure-blob"),
        ("container_registry", "acr"),
        ("log_store", "azure-monitor"),
        ("secret_store", "azure-key-vault"),
        ("orchestrator", "azureml"),
        ("stack_type", "azureml"),
        ("uri_scheme", "az://"),
        ("uri_scheme", "abfs://"),
        ("uri_scheme", "abfss://"),
    }
    for scheme in ("az://", "abfs://", "abfss://"):
        assert plugin_manager().provider_of(f"{scheme}box/folder") == "azure"
