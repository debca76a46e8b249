"""Settings and where they come from: the only reader of environment variables and configuration files.

Importing this package reads nothing and loads nothing heavy: every name is loaded on first use. A bad value raises
from the call that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kitaru.config.overrides import UNSET, configure, reset_configuration
from kitaru.config.paths import config_directory
from kitaru.config.settings import Settings, resolve
from kitaru.config.values import KitaruConfig, ResolvedConnectionConfig, ResolvedExecutionConfig

# name -> module that defines it. `active_stack_log_store` needs a stack, which stands above this package.
_EXPORTS = {
    "ActiveEnvironmentVariable": "kitaru.config.active",
    "FrozenExecutionSpec": "kitaru.config.frozen",
    "ImageSettings": "kitaru.config.models",
    "ModelAliasEntry": "kitaru.config.model_registry",
    "ResolvedLogStore": "kitaru.config.log_store",
    "ResolvedModelSelection": "kitaru.config.model_registry",
    "active_stack_log_store": "kitaru.stack.active",
    "build_frozen_execution_spec": "kitaru.config.frozen",
    "connect": "kitaru.config.login",
    "delete_model_alias": "kitaru.config.model_registry",
    "forget_login": "kitaru.config.login",
    "image_settings_to_docker_settings": "kitaru.config.image",
    "list_active_kitaru_environment_variables": "kitaru.config.active",
    "list_model_aliases": "kitaru.config.model_registry",
    "login_to_server": "kitaru.config.login",
    "read_frozen_execution_spec": "kitaru.config.frozen",
    "register_model_alias": "kitaru.config.model_registry",
    "reset_global_log_store": "kitaru.config.log_store",
    "resolve_connection_config": "kitaru.config.connection",
    "resolve_execution_config": "kitaru.config.execution",
    "resolve_log_store": "kitaru.config.log_store",
    "resolve_model_selection": "kitaru.config.model_registry",
    "set_default_model_alias": "kitaru.config.model_registry",
    "set_global_log_store": "kitaru.config.log_store",
}

__all__ = [  # noqa: PLE0604  the table is the list
    "UNSET",
    "KitaruConfig",
    "ResolvedConnectionConfig",
    "ResolvedExecutionConfig",
    "Settings",
    "config_directory",
    "configure",
    "reset_configuration",
    "resolve",
    *_EXPORTS,
]

if TYPE_CHECKING:
    from kitaru.config.active import ActiveEnvironmentVariable as ActiveEnvironmentVariable
    from kitaru.config.active import (
        list_active_kitaru_environment_variables as list_active_kitaru_environment_variables,
    )
    from kitaru.config.connection import resolve_connection_config as resolve_connection_config
    from kitaru.config.execution import resolve_execution_config as resolve_execution_config
    from kitaru.config.frozen import FrozenExecutionSpec as FrozenExecutionSpec
    from kitaru.config.frozen import build_frozen_execution_spec as build_frozen_execution_spec
    from kitaru.config.frozen import read_frozen_execution_spec as read_frozen_execution_spec
    from kitaru.config.image import image_settings_to_docker_settings as image_settings_to_docker_settings
    from kitaru.config.log_store import ResolvedLogStore as ResolvedLogStore
    from kitaru.config.log_store import reset_global_log_store as reset_global_log_store
    from kitaru.config.log_store import resolve_log_store as resolve_log_store
    from kitaru.config.log_store import set_global_log_store as set_global_log_store
    from kitaru.config.login import connect as connect
    from kitaru.config.login import forget_login as forget_login
    from kitaru.config.login import login_to_server as login_to_server
    from kitaru.config.model_registry import ModelAliasEntry as ModelAliasEntry
    from kitaru.config.model_registry import ResolvedModelSelection as ResolvedModelSelection
    from kitaru.config.model_registry import delete_model_alias as delete_model_alias
    from kitaru.config.model_registry import list_model_aliases as list_model_aliases
    from kitaru.config.model_registry import register_model_alias as register_model_alias
    from kitaru.config.model_registry import resolve_model_selection as resolve_model_selection
    from kitaru.config.model_registry import set_default_model_alias as set_default_model_alias
    from kitaru.config.models import ImageSettings as ImageSettings


def __getattr__(name: str) -> Any:
    from importlib import import_module

    module = _EXPORTS.get(name)
    if module is not None:
        value = getattr(import_module(module), name)
    elif name.startswith("KITARU_") and name.endswith("_ENV"):
        value = getattr(import_module("kitaru.config.environment"), name)
    else:
        raise AttributeError(f"module 'kitaru.config' has no attribute {name!r}")
    globals()[name] = value
    return value
