"""Which model is meant, and with whose credentials it is called. Nothing here changes ``os.environ``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kitaru.config.model_registry import ResolvedModelSelection
from kitaru.errors import KitaruBackendError, KitaruError, KitaruNotFoundError, KitaruRuntimeError, KitaruUsageError

ENVIRONMENT, SECRET = "environment", "secret"

#: Environment variables with the key of a provider. Other providers' are LiteLLM's business.
KEYS: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "ollama": (),
}
_OLLAMA = "http://localhost:11434"
# What Anthropic's interface asks for and other providers' do without.
_ANTHROPIC_MAX_TOKENS = 4096
# Names of a secret's values, without the provider's name before them, by the argument of LiteLLM that they are.
_OPTIONS = {
    "api_key": "api_key",
    "api_base": "api_base",
    "base_url": "api_base",
    "api_version": "api_version",
    "organization": "organization",
}
_PASSED = ("aws_", "vertex_", "vertexai_", "azure_ad_", "watsonx_", "databricks_", "snowflake_")


@dataclass(frozen=True, slots=True)
class Route:
    """How a model is reached: ``target`` is LiteLLM's name of it, ``options`` go with every call and hold secrets."""

    provider: str
    model: str
    target: str
    credential_source: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def scrubbed(self, text: str) -> str:
        """``text`` without any value that these credentials consist of."""
        for name, value in self.options.items():
            if name not in ("api_base", "max_tokens") and isinstance(value, str) and len(value) >= 4:
                text = text.replace(value, "***")
        return text


def split_model(chosen: ResolvedModelSelection) -> tuple[str, str]:
    """Provider and model of ``provider/model``. Raises KitaruUsageError when one of them is missing."""
    name = chosen.resolved_model
    provider, found, model = name.partition("/")
    provider, model = provider.strip().lower(), model.strip()
    if not found or not provider:
        where = f"The alias `{chosen.alias}` stands for it: register it anew" if chosen.alias else "Write it out"
        raise KitaruUsageError(
            f"the model `{name}` does not say whose it is. {where} with its provider, like `openai/gpt-4o-mini` or "
            "`anthropic/claude-sonnet-4-5`; anything else can be called with its own library in a checkpoint."
        )
    if not model:
        raise KitaruUsageError(f"the model `{name}` has no name behind its provider.")
    return provider, model


def route(chosen: ResolvedModelSelection, open_secret: Any) -> Route:
    """The way to a model: the environment's key first, then the alias's secret.

    Args:
        chosen: the model.
        open_secret: gives the values of a secret by its name.

    Raises:
        KitaruUsageError: the model does not say whose it is.
        KitaruRuntimeError: no key, no such secret, or a secret without what is needed.
        KitaruBackendError: the secret store does not answer.
    """
    provider, model = split_model(chosen)
    keys = KEYS.get(provider, ())
    options: dict[str, Any] = {}
    source = ENVIRONMENT
    in_environment = next((os.environ[key] for key in keys if os.environ.get(key)), None)
    if in_environment is not None:
        options["api_key"] = in_environment
    elif chosen.secret is not None:
        options = _from_secret(provider, chosen, keys, open_secret)
        source = SECRET
    elif keys:
        raise KitaruRuntimeError(
            f"no credentials for `{chosen.resolved_model}`: set {' or '.join(keys)}, or keep the key in a secret "
            f"(`kitaru secrets set NAME {keys[0]}`) and name it in an alias (`kitaru model register ALIAS --model "
            f"{chosen.resolved_model} --secret NAME`)."
        )
    target = f"{provider}/{model}"
    if provider == "ollama":
        host = (os.environ.get("OLLAMA_HOST") or _OLLAMA).rstrip("/")
        target = f"openai/{model}"
        options = {"api_key": "ollama", "api_base": f"{host}/v1", **options}
    if provider == "anthropic":
        options["max_tokens"] = _ANTHROPIC_MAX_TOKENS
    return Route(provider, model, target, source, options)


def _from_secret(
    provider: str, chosen: ResolvedModelSelection, keys: tuple[str, ...], open_secret: Any
) -> dict[str, Any]:
    name = str(chosen.secret)
    try:
        read = open_secret(name)
    except KitaruNotFoundError as error:
        raise KitaruRuntimeError(
            f"the secret `{name}`, which the alias `{chosen.alias}` names, is not there: `kitaru secrets list` shows "
            "those that are."
        ) from error
    except KitaruError:
        raise
    except Exception as error:
        raise KitaruBackendError(f"the secret `{name}` could not be read: {type(error).__name__}.") from None
    values = {str(key).strip(): str(value) for key, value in read.items() if str(key).strip() and value}
    if not values:
        raise KitaruRuntimeError(f"the secret `{name}` holds no values.")
    if keys and not any(key in values for key in keys):
        raise KitaruRuntimeError(
            f"the secret `{name}` has no {' or '.join(keys)}, which `{chosen.resolved_model}` needs: `kitaru secrets "
            f"set {name} {keys[0]}`."
        )
    return options_of(provider, values)


def options_of(provider: str, values: Mapping[str, str]) -> dict[str, str]:
    """LiteLLM's arguments for the values of a secret: ``OPENAI_API_KEY`` is ``api_key``, ``AWS_...`` stay ``aws_...``.

    What no provider's interface takes is left out.
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        name = key.lower()
        own = name.removeprefix(f"{provider}_")
        if own in _OPTIONS:
            found[_OPTIONS[own]] = value
        elif name.startswith(_PASSED):
            found[name] = value
    return found
