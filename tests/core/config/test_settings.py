"""Which setting wins, what a bad one says, and that reading them again is cheap."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import kitaru
from kitaru.config import KitaruConfig, configure, reset_configuration, resolve
from kitaru.errors import KitaruUsageError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    reset_configuration()


def project(folder: Path, text: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(text)
    return file


def test_built_in_settings(own_store: Path) -> None:
    settings = resolve()
    assert settings.config_directory == own_store
    assert settings.journal_url == f"sqlite:///{own_store}/kitaru.db"
    assert (settings.durability, settings.plugins, settings.lease_seconds) == ("full", None, 30.0)
    assert (settings.max_concurrency, settings.allow_pickle, settings.log_capture) == (16, True, True)
    assert (settings.stack, settings.image, settings.cache, settings.retries) == (None, None, None, None)


def test_reading_settings_makes_nothing(own_store: Path) -> None:
    resolve()
    assert not own_store.exists()


@pytest.mark.parametrize(
    ("name", "from_file", "from_environment", "from_configure"),
    [
        ("stack", ('"file"', "file"), ("env", "env"), "set"),
        ("cache", ("false", False), ("yes", True), False),
        ("retries", ("1", 1), ("2", 2), 3),
        ("project", ('"file"', "file"), ("env", "env"), "set"),
    ],
)
def test_precedence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    from_file: tuple[str, object],
    from_environment: tuple[str, object],
    from_configure: object,
) -> None:
    assert getattr(resolve(), name) is None
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    project(tmp_path, f"[tool.kitaru]\n{name} = {from_file[0]}\n")
    monkeypatch.chdir(below)
    assert getattr(resolve(), name) == from_file[1]
    monkeypatch.setenv(f"KITARU_{name.upper()}", from_environment[0])
    assert getattr(resolve(), name) == from_environment[1]
    configure(**{name: from_configure})  # type: ignore[arg-type]
    assert getattr(resolve(), name) == from_configure
    configure(**{name: None})  # type: ignore[arg-type]
    assert getattr(resolve(), name) == from_environment[1]


def test_the_nearest_project_file_wins_even_if_it_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, '[tool.kitaru]\nstack = "far"\n')
    near = tmp_path / "near"
    near.mkdir()
    project(near, "[project]\nname = 'x'\n")
    monkeypatch.chdir(near)
    assert resolve().stack is None


def test_an_edited_project_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = project(tmp_path, "[tool.kitaru]\nretries = 1\n")
    nested = tmp_path / "nested"
    nested.mkdir()
    monkeypatch.chdir(nested)
    assert resolve().retries == 1
    file.write_text("[tool.kitaru]\nretries = 22\n")
    assert resolve().retries == 22


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.kitaru\n", "not valid TOML"),
        ("[tool]\nkitaru = 3\n", "[tool.kitaru] is not a table"),
        ("tool = 3\n", "[tool] is not a table"),
        ('[tool.kitaru]\nrunner = "x"\n', "renamed to `stack`"),
        ("[tool.kitaru]\nretries = -1\n", "retries = -1"),
        ("[tool.kitaru]\nretries = true\n", "retries = True"),
        ('[tool.kitaru]\ncache = "yes"\n', "cache = 'yes'"),
        ('[tool.kitaru]\nstack = " "\n', "stack = ' '"),
        ("[tool.kitaru.image]\nbase = 1\n", "unknown image settings base"),
    ],
)
def test_a_project_file_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    file = project(folder, text)
    monkeypatch.chdir(folder)
    with pytest.raises(KitaruUsageError) as raised:
        resolve()
    assert str(file) in str(raised.value) and words in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KITARU_CACHE", "maybe"),
        ("KITARU_CACHE", " "),
        ("KITARU_RETRIES", "two"),
        ("KITARU_RETRIES", "-1"),
        ("KITARU_STACK", " "),
        ("KITARU_IMAGE", ""),
        ("KITARU_IMAGE", '{"base": "x"}'),
        ("KITARU_DURABILITY", "none"),
        ("KITARU_LEASE_SECONDS", "0"),
        ("KITARU_LEASE_SECONDS", "soon"),
        ("KITARU_LEASE_SECONDS", "nan"),
        ("KITARU_LOG_CAPTURE", "sometimes"),
        ("KITARU_JOURNAL_URL", "mysql://host/db"),
        ("KITARU_JOURNAL_URL", "/tmp/kitaru.db"),
        ("KITARU_RUNNER", "x"),
    ],
)
def test_a_bad_variable_is_named_by_the_call_that_needs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(KitaruUsageError) as raised:
        resolve()
    assert name in str(raised.value) or "journal" in str(raised.value)

    @kitaru.flow
    def flow() -> None: ...

    with pytest.raises(KitaruUsageError):
        flow.run()


@pytest.mark.parametrize("value", ["1", "TRUE", "t", "Yes", "y", "on"])
def test_ways_to_say_yes(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("KITARU_CACHE", value)
    assert resolve().cache is True


@pytest.mark.parametrize("value", ["0", "False", "f", "NO", "n", "off"])
def test_ways_to_say_no(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("KITARU_CACHE", value)
    assert resolve().cache is False


@pytest.mark.parametrize("name", ["KITARU_JOURNAL_URL", "KITARU_PLUGINS", "KITARU_PROJECT", "KITARU_CONFIG_PATH"])
def test_blank_counts_as_unset(monkeypatch: pytest.MonkeyPatch, own_store: Path, tmp_path: Path, name: str) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv(name, "  ")
    settings = resolve()
    directory = tmp_path / "xdg" / "kitaru" if name == "KITARU_CONFIG_PATH" and sys.platform != "darwin" else own_store
    if sys.platform != "darwin":
        assert settings.config_directory == directory
        assert settings.journal_url == f"sqlite:///{directory}/kitaru.db"
    assert (settings.plugins, settings.project) == (None, None)


def test_the_configuration_directory_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KITARU_CONFIG_PATH", str(tmp_path / "file"))
    with pytest.raises(KitaruUsageError, match="KITARU_CONFIG_PATH"):
        resolve()


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ("sqlite:////data/k.db", "sqlite:////data/k.db"),
        ("sqlite:///sub/../k.db", "sqlite:///{cwd}/k.db"),
        ("sqlite:///~/k.db", "sqlite:///{home}/k.db"),
        (" memory: ", "memory:"),
        ("memory://", "memory:"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("https://kitaru.example", "https://kitaru.example"),
    ],
)
def test_equal_journals_have_equal_addresses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, resolved: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KITARU_JOURNAL_URL", given)
    assert resolve().journal_url == resolved.format(cwd=tmp_path, home=tmp_path / "home")
    configure(journal="memory:")
    assert resolve().journal_url == "memory:"


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:///", "sqlite://host/x", "memory:///x", "", "ftp://u:hunter2@h/d"])
def test_an_address_that_names_no_journal(url: str) -> None:
    from kitaru.config.journal_url import normalise_journal_url

    with pytest.raises(KitaruUsageError) as raised:
        normalise_journal_url(url)
    assert "hunter2" not in str(raised.value)


def test_images_merge_field_by_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(
        tmp_path,
        '[tool.kitaru.image]\nparent_image = "base"\nrequirements = [" a "]\nenvironment = {A = 1, B = "file"}\n',
    )
    nested = tmp_path / "nested"
    nested.mkdir()
    monkeypatch.chdir(nested)
    monkeypatch.setenv("KITARU_IMAGE", '{"requirements": ["b"], "environment": {"B": "env", "C": "env"}}')
    configure(image={"environment": {"C": "set"}})
    assert resolve().image == {
        "base_image": "base",
        "requirements": ["b"],
        "environment": {"A": "1", "B": "env", "C": "set"},
    }
    monkeypatch.setenv("KITARU_IMAGE", "python:3.13")
    configure(image=None)
    image = resolve().image
    assert image is not None and image["base_image"] == "python:3.13"


def test_configure_gives_its_layer_and_applies_all_or_nothing() -> None:
    assert configure(stack=" one ", retries=2, project="p") == KitaruConfig(stack="one", retries=2)
    with pytest.raises(KitaruUsageError, match="retries must be"):
        configure(stack="two", retries=-1)
    assert configure() == KitaruConfig(stack="one", retries=2)
    assert configure(stack=None) == KitaruConfig(retries=2)
    assert resolve().project == "p"


@pytest.mark.parametrize(
    "values",
    [
        {"stack": " "},
        {"cache": "yes"},
        {"retries": True},
        {"durability": "none"},
        {"max_concurrency": 0},
        {"allow_pickle": 1},
        {"image": 3},
        {"image": " "},
        {"image": {"requirements": "one"}},
        {"journal": ""},
    ],
)
def test_configure_refuses_bad_values(values: dict[str, object]) -> None:
    before = configure()
    with pytest.raises(KitaruUsageError, match=next(iter(values))):
        configure(**values)  # type: ignore[arg-type]
    assert configure() == before


def test_nothing_is_raised_by_import_and_decoration(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kitaru\n")
    code = "import kitaru, kitaru.config\n@kitaru.flow\ndef f(): ...\n@kitaru.checkpoint\ndef c(): ..."
    environment = {**os.environ, "KITARU_CACHE": "maybe", "KITARU_RUNNER": "x", "KITARU_DURABILITY": "none"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


def test_settings_are_the_same_object_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve()
    assert resolve() is first
    monkeypatch.setenv("KITARU_RETRIES", "1")
    second = resolve()
    assert second is not first
    configure(cache=True)
    assert resolve() is not second


def test_a_deleted_working_directory_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert resolve().stack is None


def test_reading_unchanged_settings_is_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path, "[tool.kitaru]\nretries = 1\n")
    nested = tmp_path / "nested"
    nested.mkdir()
    monkeypatch.chdir(nested)
    resolve()
    best = 1.0
    for _ in range(20):
        before = time.perf_counter()
        for _ in range(50):
            resolve()
        best = min(best, (time.perf_counter() - before) / 50)
    assert best < 100e-6  # about 15 microseconds on a quiet machine
