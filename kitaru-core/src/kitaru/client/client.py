"""``KitaruClient``: executions of one journal, from outside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.client.artifacts import Artifacts
from kitaru.client.executions import Executions
from kitaru.client.recovery import Recovery, recover, recover_one, recoverable
from kitaru.errors import KitaruFeatureNotAvailableError
from kitaru.runtime.kernel import OWNERS_LOST_MAX

if TYPE_CHECKING:
    from kitaru.client.diagnosis import Diagnosis


class KitaruClient:
    """Reads and steers executions. Cheap to make; thread-safe; clients of one journal share its connection.

    Args:
        journal: address of the journal, ``sqlite:///path``; default: the configured one.

    Raises:
        KitaruUsageError: bad settings.
        KitaruJournalError: the journal cannot be opened; the text says why.
        KitaruFeatureNotAvailableError: ``server_url``, ``auth_token`` or ``project`` was given.
    """

    def __init__(
        self,
        *,
        server_url: str | None = None,
        auth_token: str | None = None,
        project: str | None = None,
        journal: str | None = None,
    ) -> None:
        given = {"auth_token": auth_token, "project": project, "server_url": server_url}
        refused = [name for name, value in given.items() if value is not None]
        if refused:
            raise KitaruFeatureNotAvailableError(
                f"KitaruClient does not take {', '.join(refused)}: a client works on one journal. Pass its address as "
                "journal=, or set KITARU_JOURNAL_URL."
            )
        from kitaru.stack import assembly  # settings, plugins and stores are read on use, not on import

        self._kernel = assembly.open_kernel(journal_url=journal)
        self.executions = Executions(self._kernel)
        self.artifacts = Artifacts(self.executions)

    @property
    def journal_url(self) -> str:
        """The address that opens this client's journal again, without secrets."""
        return self._kernel.journal.url

    def recover(self, *, owners_lost_max: int = OWNERS_LOST_MAX) -> Recovery:
        """Continue, in this process, every execution whose owner is gone and every one whose timer is due.

        Returns once they have been started; they run on threads of their own, and a normal end of the interpreter
        waits for them. What another process takes first is skipped. An execution that has lost ``owners_lost_max``
        owners is parked: it becomes ``failed`` with origin ``runtime``, and ``retry`` continues it.
        """
        return recover(self._kernel, owners_lost_max=owners_lost_max)

    def recoverable(self) -> list[str]:
        """Ids of the executions that :meth:`recover` would continue (or park) now, oldest first."""
        return recoverable(self._kernel)

    def recover_one(self, exec_id: str, *, owners_lost_max: int = OWNERS_LOST_MAX) -> Recovery:
        """:meth:`recover` for one execution."""
        recovery = Recovery()
        recover_one(self._kernel, exec_id, recovery, owners_lost_max=owners_lost_max)
        return recovery

    def interrupt(self) -> list[str]:
        """Let go of every execution that this process drives, before its next checkpoint; gives their ids.

        They read ``interrupted`` once their running checkpoints have ended, and can be resumed.
        """
        return self._kernel.interrupt_all()

    def doctor(self) -> Diagnosis:
        """How this client's journal and its surroundings are doing. Changes nothing."""
        from kitaru.client.diagnosis import examine

        return examine(self._kernel)

    def __repr__(self) -> str:
        return f"<KitaruClient {self.journal_url}>"
