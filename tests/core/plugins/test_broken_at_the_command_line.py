"""With every kind of broken plugin installed at once: each is listed with its reason, and everything else works."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.plugins.sites import ACME, Site

from kitaru.plugins.guarded import why_it_failed

MARKER = "from kitaru.plugins import hookimpl\n@hookimpl\n"
SAME = MARKER + "def kitaru_register(register): register.component('log_store', 'same', implementation='a:B')"
#: distribution -> its plugin module, its requirements, and what its reason says
BROKEN = {
    "raises": ("raise RuntimeError('no driver')", (), "importing it failed: RuntimeError: no driver"),
    "exits": ("import sys; sys.exit(3)", (), "importing it failed: SystemExit: 3"),
    "blocks": (
        "import threading; threading.Event().wait()",
        (),
        "importing it failed: it was not done after 5 seconds",
    ),
    "from-tomorrow": (
        MARKER + "def kitaru_register(register): ...",
        ["kitaru-core>=99,<100"],
        "needs kitaru-core >=99",
    ),
    "second": (SAME, (), "first and second both supply the log_store `same`. Uninstall one"),
}
COMMAND = "import sys; from kitaru.cli.main import main; main({!r})"
FLOW = """
    import kitaru

    @kitaru.checkpoint
    def double(number):
        return 2 * number

    @kitaru.flow
    def work():
        return double(double(1))

    print(work.run().wait())
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "site")
    for name, (code, requires, _) in BROKEN.items():
        site.add(name, code, requires=requires)
    site.add("first", SAME)
    site.add("slow", "import time; time.sleep(0.3)\n" + MARKER + "def kitaru_register(register): ...")
    site.add_project(ACME)
    return site


def test_each_is_listed_with_its_reason_and_the_rest_works(site: Site) -> None:
    commands = (["plugins", "list"], ["plugins", "list", "--output", "json"], ["acme", "--name", "you"])
    with ThreadPoolExecutor() as pool:
        printed = [pool.submit(site.python, COMMAND.format(command)) for command in commands]
        printed.append(pool.submit(site.python, FLOW))
        text, told, hello, result = (one.result() for one in printed)
    rows = {row["distribution"]: row for row in json.loads(told)["items"]}
    lines = {line.split()[1]: line for line in text.splitlines() if line.strip()}
    for name, (_, _, reason) in BROKEN.items():
        assert (rows[name]["status"], rows[name]["supplies"]) == ("unavailable", [])
        assert reason in rows[name]["reason"]
        assert "unavailable" in lines[name] and reason in lines[name]
    for name in ("first", "slow", "acme-kitaru", "kitaru-core", "kitaru-local", "kitaru-aws"):
        assert (rows[name]["status"], rows[name]["reason"]) == ("available", None)
    assert "log_store same" in lines["first"] and "artifact_store acme" in lines["acme-kitaru"]
    assert hello == "hello you\n"
    assert result == "4\n"


def test_a_command_of_a_broken_plugin_says_what_is_wrong(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.add("tool", "raise RuntimeError('no driver')")
    site.add("other", "raise RuntimeError('no battery')")
    assert "tool importing it failed: RuntimeError: no driver" in " ".join(
        site.python(COMMAND.format(["--help"])).split("Plugins that are not available:")[1].split()
    )

    def ended(arguments: list[str], **environment: str) -> tuple[int, str]:
        """Exit code, and all that was printed."""
        command = COMMAND.format(arguments).removeprefix("import sys; ")
        code = (
            f"import sys; sys.stderr = sys.stdout\ntry:\n    {command}\nexcept SystemExit as end:\n    print(end.code)"
        )
        printed, _, number = site.python(code, **environment).rstrip().rpartition("\n")
        return int(number), printed

    for command, told in (("tool", ["no driver"]), ("third", ["no driver", "no battery"])):
        number, printed = ended([command])
        assert number == 2 and f"No such command '{command}'. Plugin `" in printed
        assert [one for one in ("no driver", "no battery") if one in printed] == told
    for options in ([], ["--output", "json"]):
        assert ended(["plugins", "list", "--strict", *options])[0] == 1
        assert ended(["plugins", "list", *options])[0] == 0
        assert ended(["plugins", "list", "--strict", *options], KITARU_PLUGINS="local")[0] == 0


def test_whoever_hangs_is_given_up() -> None:
    released = threading.Event()
    reason, returned = why_it_failed(released.wait, 0.05)
    released.set()
    assert reason is not None and "0.05 seconds" in reason and returned is None


def test_what_is_no_failure_of_a_plugin_is_raised() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        why_it_failed(interrupted)
    assert why_it_failed(lambda: None) == (None, None)
