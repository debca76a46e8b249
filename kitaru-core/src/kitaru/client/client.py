"""``KitaruClient``: executions of one journal, from outside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.client.arguments import parse_duration
from kitaru.client.artifacts import Artifacts
from kitaru.client.executions import Executions, parse_status
from kitaru.client.recovery import Recovery, recover, recover_one, recoverable
from kitaru.errors import KitaruUsageError
from kitaru.runtime.kernel import OWNERS_LOST_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from kitaru.client.diagnosis import Diagnosis
    from kitaru.client.retention import Cleaning
    from kitaru.statuses import ExecutionStatus


class KitaruClient:
    """Reads and steers executions. Cheap to make; thread-safe; clients of one journal share its connection.

    Attributes:
        executions: the executions of the journal.
        secrets: the secrets of the stack in force.
        stacks: the stacks of this installation, and which of them is active.

    Args:
        server_url: address of a Kitaru server, for this client only; default: the configured journal.
        auth_token: token for that server; default: the configured one.
        project: label of what this client starts; default: the configured one.
        journal: address of the journal, ``sqlite:///path``, instead of a server.

    Raises:
        KitaruUsageError: bad settings or arguments, ``journal`` together with a server, a server without a token.
        KitaruJournalError: the journal cannot be opened; the text says why.
        KitaruFeatureNotAvailableError: nothing installed opens this kind of journal.
    """

    def __init__(
        self,
        *,
        server_url: str | None = None,
        auth_token: str | None = None,
        project: str | None = None,
        journal: str | None = None,
    ) -> None:
        if journal is not None and (server_url is not None or auth_token is not None):
            raise KitaruUsageError(
                "KitaruClient takes journal= or server_url= with auth_token=, not both: a client works on one journal."
            )
        from kitaru.client.secrets import Secrets
        from kitaru.client.stacks import Stacks
        from kitaru.config.connection import resolve_connection_config
        from kitaru.stack import assembly  # settings, plugins and stores are read on use, not on import

        self._connection = resolve_connection_config(
            server_url=server_url,
            auth_token=auth_token,
            project=project,
            validate_for_use=server_url is not None or auth_token is not None,
        )
        self._kernel = assembly.open_kernel(journal_url=journal if server_url is None else self._connection.server_url)
        self.executions = Executions(self._kernel)
        self.artifacts = Artifacts(self.executions)
        self.secrets = Secrets()
        self.stacks = Stacks()

    @property
    def project(self) -> str | None:
        """The project label of this client."""
        return self._connection.project

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

    def continue_elsewhere(self, exec_id: str, *, timeout: float = 10.0) -> bool:
        """Have a process of its own continue an execution that this process lets go of; whether one does.

        Waits up to ``timeout`` seconds for its running checkpoint to end; later it stays ``interrupted``.
        """
        from kitaru.client import recovery

        return recovery.continue_elsewhere(self._kernel, exec_id, timeout)

    def clean(
        self,
        *,
        older_than: timedelta | str | None = None,
        status: ExecutionStatus | str | Sequence[ExecutionStatus | str] | None = None,
        flow: str | None = None,
        keep_last: int = 0,
        dry_run: bool = False,
    ) -> Cleaning:
        """Remove ended executions with their entries and logs, and large values that nothing refers to any more.

        Large values are looked for in the artifact store of every stack of this installation, deleted ones included;
        what a store that does not answer keeps is named in ``note`` and left to the next run.

        Executions that others need stay: those below a parent that stays, or that has not ended, and originals of
        replays. Their idempotency keys are free once they are gone. Safe beside running flows and to interrupt; what
        an interrupted run left is finished by the next one.

        Args:
            older_than: only what ended longer ago than this (a timedelta, or ``"30d"``).
            status: completed, failed or cancelled, or several of them; default: all three.
            flow: only executions of this flow.
            keep_last: keep the newest so many ended ones of each flow.
            dry_run: change nothing, say what fits.

        Raises:
            KitaruUsageError: neither ``older_than`` nor ``keep_last`` was given, or a bad value.
        """
        from kitaru.client import retention
        from kitaru.stack import assembly

        if older_than is None and not keep_last:
            raise KitaruUsageError("clean() needs older_than=, keep_last= or both: it would remove every execution.")
        several = (status,) if status is None or isinstance(status, str) else tuple(status)
        statuses = tuple(one for given in several if (one := parse_status(given)) is not None)
        age = parse_duration(older_than, "older_than") if older_than is not None else None
        wanted = retention.query(age, statuses, flow, keep_last, self._kernel.clock.now())
        if dry_run:
            return retention.Cleaning(list(self._kernel.journal.ended(wanted)), [], None, dry_run=True)
        opened = assembly.assembled(self._kernel)
        return retention.clean(self._kernel, wanted, opened.stacks, opened.logs)

    def doctor(self) -> Diagnosis:
        """How this client's journal and its surroundings are doing. Changes nothing."""
        from kitaru.client.diagnosis import examine

        return examine(self._kernel)

    def __repr__(self) -> str:
        return f"<KitaruClient {self.journal_url}>"
