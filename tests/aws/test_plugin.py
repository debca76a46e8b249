"""What kitaru-aws declares so far."""

from __future__ import annotations

from kitaru.plugins.manager import plugin_manager


def test_it_owns_its_uri_schemes() -> None:
    (info,) = [one for one in plugin_manager().plugins() if one.distribution == "kitaru-aws"]
    assert (info.name, info.status, info.reason) == ("aws", "available", None)
    schemes = {one.name for one in info.supplies if one.kind == "uri_scheme"}
    assert schemes == {"s3://"}
    assert {plugin_manager().provider_of(f"{scheme}bucket/folder") for scheme in schemes} == {"aws"}
