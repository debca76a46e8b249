"""Answering and aborting waits from outside their execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruNotFoundError, KitaruStateError, KitaruUsageError
from kitaru.journal.records import WaitRecord
from kitaru.runtime import outcome, waiting
from kitaru.runtime.kernel import Kernel
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.journal.records import ExecutionRecord


def open_waits(kernel: Kernel, record: ExecutionRecord) -> list[WaitRecord]:
    """The waits of an execution that still want an answer, oldest first: none of one that has ended."""
    if not record.open_waits or ExecutionStatus(record.status).finished:
        return []
    return kernel.journal.waits(record.exec_id, open_only=True)


def select_wait(kernel: Kernel, exec_id: str, wait: str | None) -> WaitRecord:
    """The open wait that ``wait`` names, by name first, then by id; None: the only one.

    Raises:
        KitaruUsageError: ``wait`` is blank.
        KitaruStateError: nothing is open, ``wait`` names none of what is, or several are open and none was named.
    """
    if wait is not None and (not isinstance(wait, str) or not wait.strip()):
        raise KitaruUsageError(f"wait={wait!r} is blank: name a wait, or leave it out when only one is open.")
    record = kernel.journal.get(exec_id)
    found = open_waits(kernel, record)
    if wait is not None:
        wanted = wait.strip()
        named = [one for one in found if one.name == wanted] or [one for one in found if one.wait_id == wanted]
        if named:
            return named[0]
        _refuse_ended(kernel, exec_id, wanted)
    if not found:
        raise KitaruStateError(f"execution {exec_id} has no pending waits: it is {_status(kernel, record)}.")
    names = ", ".join(f"`{one.name}`" for one in found)
    if wait is not None:
        raise KitaruNotFoundError(f"execution {exec_id} has no pending wait {wait!r}. Pending are: {names}.")
    if len(found) > 1:
        raise KitaruStateError(
            f"execution {exec_id} has {len(found)} pending waits: {names}. Say which one: --wait NAME."
        )
    return found[0]


def _refuse_ended(kernel: Kernel, exec_id: str, wanted: str) -> None:
    for one in kernel.journal.waits(exec_id):
        if wanted in (one.name, one.wait_id) and one.status != "open":
            raise KitaruStateError(
                f"wait `{one.name}` of execution {exec_id} is already {one.status}; nothing was changed. See "
                f"`kitaru executions get {exec_id}`."
            )


def answer(kernel: Kernel, exec_id: str, wait: str | None, value: Any, *, resume: bool) -> None:
    """See ``Executions.input``."""
    from kitaru import answers

    answers.accept(kernel, select_wait(kernel, exec_id, wait), value)
    if resume:
        continue_answered(kernel, exec_id)


def abort(kernel: Kernel, exec_id: str, wait: str | None, *, resume: bool) -> None:
    """See ``Executions.abort_wait``."""
    aborted = waiting.resolve(kernel, select_wait(kernel, exec_id, wait), "aborted", None)
    _, status = outcome.looked_at(kernel, kernel.journal.get(exec_id))
    if status is ExecutionStatus.RUNNING or status.finished:
        return  # its owner sees it, and ends it
    try:
        kernel.cancel(exec_id, waiting.aborted_reason(aborted))
    except KitaruStateError:  # it has ended meanwhile
        return
    if resume:
        continue_answered(kernel, exec_id)


def continue_answered(kernel: Kernel, exec_id: str) -> None:
    """Continue an execution whose owner had left when an answer came; with it what is suspended on it.

    Where somebody drives it this does nothing: the answer reaches it. Raises KitaruBackendError when it cannot be
    continued; the answer is recorded all the same.
    """
    record, status = outcome.looked_at(kernel, kernel.journal.get(exec_id))
    while record.parent_exec_id is not None:
        parent, parent_status = outcome.looked_at(kernel, kernel.journal.get(record.parent_exec_id))
        if parent_status not in (ExecutionStatus.WAITING, ExecutionStatus.INTERRUPTED):
            break
        record, status = parent, parent_status  # it continues its children when it comes to them
    if status not in (ExecutionStatus.WAITING, ExecutionStatus.INTERRUPTED):
        return
    from kitaru.stack import assembly

    assembly.continue_execution(kernel, record.exec_id)


def _status(kernel: Kernel, record: ExecutionRecord) -> str:
    return outcome.shown(*outcome.looked_at(kernel, record)).value
