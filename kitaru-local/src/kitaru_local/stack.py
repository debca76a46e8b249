"""The local stack: everything under this installation's directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kitaru.stack.components import Component, Place


def components(fields: Mapping[str, Any], place: Place) -> list[Component]:
    """The components of a local stack; it has no fields."""
    del fields
    uri = f"file://{quote(str(place.directory / 'artifacts'))}"
    return [
        Component("artifact_store", "local", {"uri": uri, "sync": place.durability == "full"}),
        Component("log_store", "local", {"path": str(place.directory / "logs")}),
        Component("secret_store", "local", {"path": str(secrets_directory(place))}),
        Component("orchestrator", "local"),
    ]


def secrets_directory(place: Place) -> Path:
    """Where the secrets of an installation are."""
    return place.directory / "secrets"
