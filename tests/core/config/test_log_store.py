"""Where runtime logs go: what may be said, who wins, and that it is honoured."""

from __future__ import annotations

from pathlib import Path

import pytest

from kitaru import KitaruClient, checkpoint, flow
from kitaru.config import (
    ResolvedLogStore,
    active_stack_log_store,
    reset_global_log_store,
    resolve_log_store,
    set_global_log_store,
)
from kitaru.errors import KitaruConfigError, KitaruPluginError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.stack import assembly

DEFAULT = ResolvedLogStore("artifact-store", None, None, "default")


def test_default_setting_and_resetting(own_store: Path) -> None:
    assert resolve_log_store() == reset_global_log_store() == DEFAULT
    assert not own_store.exists()
    chosen = set_global_log_store(" OTEL ", endpoint=" https://logs.example.org/ ", api_key=" hidden ")
    assert chosen == ResolvedLogStore("otel", "https://logs.example.org", "hidden", "global user config")
    assert "hidden" not in repr(chosen)
    assert resolve_log_store() == chosen
    assert set_global_log_store("otel", endpoint="http://other").api_key is None
    assert reset_global_log_store() == DEFAULT


def test_the_environment_replaces_the_whole_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    set_global_log_store("otel", endpoint="https://file", api_key="hidden")
    monkeypatch.setenv("KITARU_LOG_STORE_BACKEND", "Datadog")
    monkeypatch.setenv("KITARU_LOG_STORE_ENDPOINT", "https://env/")
    assert resolve_log_store() == ResolvedLogStore("datadog", "https://env", None, "environment")
    assert set_global_log_store("otel", endpoint="https://file").source == "environment", "the override shows at once"
    monkeypatch.delenv("KITARU_LOG_STORE_ENDPOINT")
    monkeypatch.setenv("KITARU_LOG_STORE_BACKEND", "artifact-store")
    assert resolve_log_store() == ResolvedLogStore("artifact-store", None, None, "environment")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ENDPOINT": "http://h"}, "ENDPOINT is set without"),
        ({"API_KEY": "hidden"}, "API_KEY is set without"),
        ({"BACKEND": "otel"}, "needs KITARU_LOG_STORE_ENDPOINT"),
        ({"BACKEND": "artifact-store", "ENDPOINT": "http://h"}, "takes neither"),
        ({"BACKEND": "artifact-store", "API_KEY": "hidden"}, "takes neither"),
        ({"BACKEND": "o tel", "ENDPOINT": "http://h"}, "not the name of a log store"),
        ({"BACKEND": "otel", "ENDPOINT": "nowhere", "API_KEY": "hidden"}, "KITARU_LOG_STORE_ENDPOINT"),
    ],
)
def test_variables_that_do_not_go_together(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"KITARU_LOG_STORE_{name}", value)
    for use in (resolve_log_store, KitaruClient):
        with pytest.raises(KitaruUsageError, match=words) as raised:
            use()
        assert "hidden" not in str(raised.value)


def test_what_cannot_be_set(own_store: Path) -> None:
    with pytest.raises(KitaruUsageError, match="reset_global_log_store"):
        set_global_log_store("artifact-store", endpoint="http://h")
    with pytest.raises(KitaruUsageError, match="endpoint"):
        set_global_log_store("otel", endpoint="")
    with pytest.raises(KitaruUsageError, match="api_key"):
        set_global_log_store("otel", endpoint="http://h", api_key=" ")
    assert not own_store.exists()


def test_a_bad_section_is_explained_and_can_be_set_anew(own_store: Path) -> None:
    own_store.mkdir()
    file = own_store / "kitaru.yaml"
    file.write_text("log_store: {backend: otel, endpoint: nowhere, api_key: hidden}\nother: 1\n")
    with pytest.raises(KitaruConfigError, match="set it anew") as raised:
        resolve_log_store()
    assert str(file) in str(raised.value) and "hidden" not in str(raised.value)
    assert reset_global_log_store() == DEFAULT
    assert "other: 1" in file.read_text()


def test_what_the_stack_has_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    found = active_stack_log_store()
    assert found is not None and (found.backend, found.stack_name) == ("local", "default")
    monkeypatch.setenv("KITARU_STACK", "nowhere")
    assert active_stack_log_store() is None


@checkpoint
def speak() -> None:
    print("said aloud")


@flow
def speaking() -> None:
    speak()


def test_a_preference_nobody_can_fulfil_stops_the_start(own_store: Path) -> None:
    set_global_log_store("nobody-has-this", endpoint="http://h", api_key="hidden")
    with pytest.raises(KitaruPluginError, match=r"`nobody-has-this`.*global user config") as raised:
        speaking.run()
    assert "hidden" not in str(raised.value)
    assert KitaruClient().executions.list() == [], "and nothing was created"
    reset_global_log_store()
    speaking.run().wait()


class Elsewhere:
    """A log store that a plugin could supply."""

    kept: list[LogRecord] = []  # noqa: RUF012
    settings: dict[str, str] = {}  # noqa: RUF012

    def append(self, exec_id: str, records: list[LogRecord]) -> None:
        self.kept.extend(records)


def test_logs_go_where_the_user_wants_them(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kitaru.plugins.declarations import Flavor
    from kitaru.plugins.manager import PluginManager

    def flavor(self: PluginManager, kind: str, name: str) -> object:
        return made if (kind, name) == ("log_store", "elsewhere") else original(self, kind, name)

    class Made(Flavor):
        def build(self, settings: object) -> Elsewhere:
            Elsewhere.settings = dict(settings)  # type: ignore[call-overload]
            return Elsewhere()

    made = Made("log_store", "elsewhere", "", None, None, None)  # type: ignore[arg-type]
    original = PluginManager.flavor
    monkeypatch.setattr(PluginManager, "flavor", flavor)
    speaking.run().wait()
    assert Elsewhere.kept == []
    set_global_log_store("elsewhere", endpoint="http://h", api_key="hidden")
    speaking.run().wait()
    assembly.reset()  # flushes
    assert [record.message for record in Elsewhere.kept] == ["said aloud"]
    assert Elsewhere.settings == {"endpoint": "http://h", "api_key": "hidden"}
