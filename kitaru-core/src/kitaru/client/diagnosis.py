"""What ``kitaru doctor`` looks at. Reads only; a journal that cannot be opened is a finding, not a crash."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kitaru.client.version import resolve_installed_version
from kitaru.errors import KitaruError, KitaruUsageError
from kitaru.journal.records import ExecutionQuery

if TYPE_CHECKING:
    from kitaru.journal.salvage import SalvageReport
    from kitaru.runtime.kernel import Kernel


@dataclass(slots=True)
class Diagnosis:
    """Findings. ``problems`` are sentences about what is wrong (none: all is well), ``notes`` about what to know.

    ``store`` is what the journal says of itself (see ``Journal.info``), or ``{"error": ...}``. ``plugins`` holds one
    object per plugin. ``overdue_timers`` and ``interrupted`` are ids of executions that wait for ``kitaru recover``.
    """

    kitaru: str
    python: str
    platform: str
    store: dict[str, Any] = field(default_factory=dict)
    overdue_timers: list[str] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)
    plugins: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.problems


_LISTED_MAX = 100


def diagnose(journal_url: str | None = None) -> Diagnosis:
    """Open the journal and examine it; what prevents that is the first problem of the answer."""
    from kitaru.stack import assembly

    try:
        kernel = assembly.open_kernel(journal_url=journal_url)
    except KitaruError as error:
        diagnosis = _start()
        diagnosis.store = {"error": str(error), "sound": False}
        diagnosis.problems.append(str(error))
        _add_plugins(diagnosis)
        return diagnosis
    return examine(kernel)


def examine(kernel: Kernel) -> Diagnosis:
    """Examine an open journal and its surroundings."""
    diagnosis = _start()
    try:
        info = kernel.journal.info()
        diagnosis.store = {key: value for key, value in info.items() if key != "notes"}
        notes = list(info.get("notes", ()))
        (diagnosis.notes if info.get("sound", True) else diagnosis.problems).extend(notes)
        if not info.get("sound", True) and not notes:
            diagnosis.problems.append("the journal says that it is not sound")
        _add_executions(diagnosis, kernel)
    except KitaruError as error:
        diagnosis.store = {**diagnosis.store, "error": str(error), "sound": False}
        diagnosis.problems.append(str(error))
    _add_plugins(diagnosis)
    return diagnosis


def salvage_journal(target: str) -> SalvageReport:
    """Copy what can be read of the configured journal file into the new file ``target``. The journal is not touched.

    Raises KitaruUsageError when the journal is no SQLite file, and KitaruJournalError when ``target`` exists, there
    is no journal file, or nothing in it can be read.
    """
    import os

    from kitaru.config import settings
    from kitaru.journal.salvage import salvage

    url = settings.resolve().journal_url
    if not url.startswith("sqlite:///"):
        raise KitaruUsageError("only journals in SQLite files can be salvaged, and the configured one is none.")
    return salvage(url.removeprefix("sqlite:///"), os.path.abspath(os.path.expanduser(target)))


def _start() -> Diagnosis:
    return Diagnosis(
        kitaru=resolve_installed_version(), python=sys.version.split()[0], platform=platform.platform(terse=True)
    )


def _add_executions(diagnosis: Diagnosis, kernel: Kernel) -> None:
    now = kernel.clock.now()
    for record in kernel.journal.recoverable(now, kernel.alive):
        if record.status == "waiting" and len(diagnosis.overdue_timers) < _LISTED_MAX:
            diagnosis.overdue_timers.append(record.exec_id)
    query = ExecutionQuery(statuses=("interrupted",), limit=_LISTED_MAX)
    diagnosis.interrupted = [record.exec_id for record in kernel.journal.list(query, kernel.alive)]
    if diagnosis.overdue_timers:
        diagnosis.notes.append(_to_recover(diagnosis.overdue_timers, "waiting for a timer that is due"))
    if diagnosis.interrupted:
        diagnosis.notes.append(_to_recover(diagnosis.interrupted, "interrupted"))


def _to_recover(exec_ids: list[str], how: str) -> str:
    count = f"{len(exec_ids)} or more" if len(exec_ids) == _LISTED_MAX else str(len(exec_ids))
    subject = "execution is" if count == "1" else "executions are"
    return f"{count} {subject} {how}: `kitaru recover` continues what nobody drives"


def _add_plugins(diagnosis: Diagnosis) -> None:
    from kitaru.client.plugins import list_plugins

    diagnosis.plugins = list_plugins()
    for plugin in diagnosis.plugins:
        if plugin["status"] == "unavailable":
            diagnosis.notes.append(f"plugin {plugin['name']} is unavailable: {plugin['reason']}")
