"""The log store that this user prefers, as interfaces show it."""

from __future__ import annotations

from typing import Any

from kitaru.config.log_store import ResolvedLogStore, resolve_log_store
from kitaru.errors import KitaruPluginError


def serialize_resolved_log_store(preferred: ResolvedLogStore) -> dict[str, Any]:
    """A preference as plain data, beside what the active stack has by itself. Never the key."""
    from kitaru.stack.active import active_stack_log_store

    active = active_stack_log_store()
    return {
        "backend": preferred.backend,
        "endpoint": preferred.endpoint,
        "api_key_configured": preferred.api_key is not None,
        "source": preferred.source,
        "active_stack_backend": active.backend if active is not None else None,
        "active_stack_name": active.stack_name if active is not None else None,
        "warning": log_store_warning(preferred),
    }


def log_store_warning(preferred: ResolvedLogStore | None = None) -> str | None:
    """Why no flow can start with this preference (default: the one in force); None when nothing is in the way."""
    from kitaru.plugins.manager import plugin_manager

    preferred = preferred or resolve_log_store()
    if preferred.is_default:
        return None
    try:
        plugin_manager().flavor("log_store", preferred.backend)
    except KitaruPluginError as error:
        return f"Flows will not start with this log store: {error}"
    return None
