"""What kitaru-gcp declares so far."""

from __future__ import annotations

from kitaru.plugins.manager import plugin_manager


def test_it_owns_its_uri_schemes() -> None:
    (info,) = [one for one in plugin_manager().plugins() if one.distribution == "kitaru-gcp"]
    assert (info.name, info.status, info.reason) == ("gcp", "available", None)
    schemes = {one.name for one in info.supplies if one.kind == "uri_scheme"}
    assert schemes == {"gs://"}
    assert {plugin_manager().provider_of(f"{scheme}bucket/folder") for scheme in schemes} == {"gcp"}
