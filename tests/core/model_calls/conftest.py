"""A model provider for the tests here, and no credentials but the ones they set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.emulators.models import ModelServer

KEY = "sk-canary-1234567890"
MODEL = "openai/gpt-4o-mini"


def result_of(exec_id: str) -> Any:
    """The result of an execution that somebody else continues, once it has one."""
    from kitaru import KitaruClient, KitaruStateError

    deadline = time.monotonic() + 30
    while True:
        try:
            return KitaruClient().executions.result(exec_id)
        except KitaruStateError:
            assert time.monotonic() < deadline, "it never ended"
            time.sleep(0.01)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """The provider that ``openai/...`` is reached at, with a key in the environment."""
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    made = ModelServer()
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    monkeypatch.setenv("OPENAI_API_BASE", made.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield made
    made.close()
