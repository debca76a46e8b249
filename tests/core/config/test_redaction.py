"""What is shown and stored of secrets: nothing of a short one, a little of a long one."""

from __future__ import annotations

import json

import pytest

from kitaru import ImageSettings, KitaruClient, flow
from kitaru.config import KITARU_AUTH_TOKEN_ENV, list_active_kitaru_environment_variables
from kitaru.config.redaction import mask, names_a_secret, redact_environment, without_passwords


@pytest.mark.parametrize(
    "name",
    [
        "API_KEY",
        "apiKey",
        "OPENAI_API_KEY",
        "OPENAIAPIKEY",
        "openai-apikey",
        "AUTH_TOKEN",
        "githubToken",
        "DB_PASSWORD",
        "DBPASSWORD",
        "PGPASSWD",
        "CLIENT_SECRET",
        "AWS_SECRET_ACCESS_KEY",
        "SENTRY_DSN",
        "BASIC_AUTH",
        "CREDENTIALS",
        "AZURE_STORAGE_ACCOUNTKEY",
        "SSH_KEYS",
        "MY_PASSPHRASE",
        "HTTPAuthToken",
        "session.cookie",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "MONKEY",
        "AUTHOR",
        "KEYBOARD",
        "TURKEY",
        "AUTHORITY",
        "DONKEY_COUNT",
        "TOKENIZERS_PARALLELISM",
        "PASSENGER",
        "COMPASS",
        "PATH",
        "HOME",
        "SECRETARY",
        "PATTERN",
        "SASS_VERSION",
    ],
)
def test_names_of_no_secrets(name: str) -> None:
    assert not names_a_secret(name)


def test_a_quarter_at_most_is_shown_and_nothing_of_a_short_one() -> None:
    for length in range(80):
        secret = "abcdefgh" * 10
        shown = mask(secret[:length])
        assert shown.endswith("***")
        visible = shown.removesuffix("***")
        assert len(visible) <= min(4, length / 4)
        assert not visible or length >= 16


def test_passwords_inside_values() -> None:
    assert without_passwords("postgres://me:pw@host/db") == "postgres://***@host/db"
    assert without_passwords("https://host/x?api_key=pw&y=1") == "https://host/x?api_key=***&y=1"
    assert without_passwords("host=h password=pw user=me") == "host=h password=*** user=me"
    assert without_passwords("https://host/path@2x.png") == "https://host/path@2x.png"
    redacted = redact_environment({"URL": "redis://:pw@h", "MONKEY": "george", "TOKEN": "pw", "N": 3})
    assert redacted == {"URL": "redis://***@h", "MONKEY": "george", "TOKEN": "***", "N": "3"}


@flow(image={"environment": {"DECORATED_TOKEN": "hidden-1"}})
def nothing() -> None: ...


def test_the_journal_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    image = {
        "base_image": "python:3.12",
        "requirements": ["git+https://me:hidden-2@host/repo"],
        "environment": {"API_KEY": "hidden-3", "MONKEY": "george", "DB": "postgres://me:hidden-4@host/db"},
    }
    handle = nothing.run(image=image)
    handle.wait()
    spec = KitaruClient().executions.get(handle.exec_id).frozen_execution_spec
    assert spec is not None
    text = json.dumps(spec)
    assert "hidden" not in text
    assert spec["version"] == 1
    assert spec["resolved_execution"]["stack"] == "default"
    assert spec["resolved_execution"]["image"]["environment"]["MONKEY"] == "george"
    assert spec["flow_defaults"]["image"]["environment"] == {"DECORATED_TOKEN": "***"}


def test_image_settings_are_printed_without_secrets() -> None:
    shown = repr(ImageSettings(environment={"API_KEY": "hidden", "A": "1"}))
    assert "hidden" not in shown and "'A': '1'" in shown


def test_active_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KITARU_AUTH_TOKEN_ENV == "KITARU_AUTH_TOKEN"
    set_here = {
        "KITARU_RUNNER": "old",
        "KITARU_AUTH_TOKEN": "12345678",
        "KITARU_LOG_STORE_API_KEY": "x" * 40,
        "KITARU_SERVER_URL": "https://me:hidden@host",
        "KITARU_JOURNAL_URL": "postgresql://me:hidden@host/db?password=hidden",
        "KITARU_IMAGE": '{"environment": {"API_KEY": "hidden", "A": "1"}}',
        "KITARU_MODEL_REGISTRY": "{}",
        "KITARU_RETRIES": "bad but shown",
    }
    for name, value in set_here.items():
        monkeypatch.setenv(name, value)
    found = {one.name: one.value for one in list_active_kitaru_environment_variables()}
    assert list(found)[:4] == ["KITARU_SERVER_URL", "KITARU_AUTH_TOKEN", "KITARU_RUNNER", "KITARU_RETRIES"]
    assert found["KITARU_AUTH_TOKEN"] == "***"
    assert found["KITARU_LOG_STORE_API_KEY"] == "xxxx***"
    assert found["KITARU_RETRIES"] == "bad but shown"
    assert "KITARU_MODEL_REGISTRY" not in found
    assert "hidden" not in json.dumps(found)
    assert json.loads(found["KITARU_IMAGE"])["environment"] == {"API_KEY": "***", "A": "1"}
    monkeypatch.setenv("KITARU_IMAGE", '{"environment": "hidden"')
    assert "hidden" not in repr(list_active_kitaru_environment_variables())
