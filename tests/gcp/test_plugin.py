"""What kitaru-gcp declares, and what reading that loads."""

from __future__ import annotations

from kitaru.plugins.manager import plugin_manager


def test_what_it_supplies() -> None:
    (info,) = [one for one in plugin_manager().plugins() if one.distribution == "kitaru-gcp"]
    assert (info.name, info.status, info.reason) == ("gcp", "available", None)
    assert {(one.kind, one.name) for one in info.supplies} == {
        ("artifact_store", "gcs"),
        ("container_registry", "gar"),
        ("log_store", "cloud-logging"),
        ("secret_store", "gcp-secret-manager"),
        ("orchestrator", "gke"),
        ("orchestrator", "vertex"),
        ("stack_type", "kubernetes"),
        ("stack_type", "vertex"),
        ("uri_scheme", "gs://"),
    }
    assert plugin_manager().provider_of("gs://bucket/folder") == "gcp"
