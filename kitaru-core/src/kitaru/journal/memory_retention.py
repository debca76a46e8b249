"""Whole executions of a journal in memory: counted, removed, added. The other half of ``journal.memory``."""

from __future__ import annotations

import copy
import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from kitaru.journal import transitions
from kitaru.journal.records import EndedQuery, Entry, ExecutionRecord, Tally, TallyQuery, WaitRecord
from kitaru.journal.tallies import tallies
from kitaru.journal.transitions import FINISHED, Alive, public_status


class MemoryRetention:
    """What ``MemoryJournal`` inherits: its rows are kept there, removed ones stay as places nobody finds."""

    _rows: list[ExecutionRecord]  # row number - 1 is the place
    _numbers: dict[str, int]
    _entries: dict[int, list[Entry]]
    _waits: dict[int, dict[str, WaitRecord]]
    _gone: list[int]  # row numbers of removed executions whose entries may be left
    _now: Callable[[], int]

    def living(self) -> list[ExecutionRecord]:
        """The executions that exist, oldest first."""
        return [record for record in self._rows if self.lives(record)]

    def lives(self, record: ExecutionRecord) -> bool:
        """Whether a row is that of an execution that exists."""
        no = self._numbers.get(record.exec_id)
        return no is not None and self._rows[no - 1] is record

    @abstractmethod
    def _reading(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def _writing(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def _find(self, flow_name: str, idempotency_key: str) -> ExecutionRecord | None: ...

    def tallies(self, query: TallyQuery, alive: Alive) -> Sequence[Tally]:
        with self._reading():
            found = []
            for record in self.living():
                if not _counted(record, query):
                    continue
                status = public_status(record, alive, self._now())
                if not query.statuses or status in query.statuses:
                    found.append((record, status, self._entries[self._numbers[record.exec_id]]))
            return tallies(found)

    def ended(self, query: EndedQuery) -> Sequence[str]:
        with self._reading():
            places: dict[str, int] = {}
            found = []
            for record in reversed(self.living()):
                if record.status not in FINISHED:
                    continue
                if query.flow_name is not None and record.flow_name != query.flow_name:
                    continue
                places[record.flow_name] = place = places.get(record.flow_name, 0) + 1
                at = record.ended_at or 0
                fits = not query.statuses or record.status in query.statuses
                if fits and place > query.keep_last and (query.before is None or at < query.before):
                    found.append((at, self._numbers[record.exec_id], record.exec_id))
            return [exec_id for _, _, exec_id in sorted(found)]

    def discard(self, exec_ids: Sequence[str]) -> Sequence[str]:
        with self._writing():
            removed = [one for one in exec_ids if one in self._numbers and self._removable(one)]
            for exec_id in removed:
                no = self._numbers.pop(exec_id)
                self._gone.append(no)
                self._rows[no - 1].fence = -1  # nobody's lease is good for it any more
            return removed

    def _removable(self, exec_id: str) -> bool:
        own = self._rows[self._numbers[exec_id] - 1]
        return own.status in FINISHED and not any(
            one.exec_id == own.parent_exec_id
            or one.original_exec_id == exec_id
            or (one.parent_exec_id == exec_id and one.status not in FINISHED)
            for one in self.living()
        )

    def discarded(self) -> Sequence[str]:
        with self._reading():
            return [self._rows[no - 1].exec_id for no in self._gone]

    def purge(self, exec_id: str, limit: int) -> bool:
        with self._writing():
            for no in self._gone:
                if self._rows[no - 1].exec_id == exec_id:
                    del self._entries[no][-limit:]
                    self._waits[no] = {}
                    if self._entries[no]:
                        return False
            return True

    def forget_discarded(self, exec_id: str) -> None:
        with self._writing():
            self._gone = [no for no in self._gone if self._rows[no - 1].exec_id != exec_id or self._entries[no]]

    def referenced(self, refs: Sequence[str]) -> set[str]:
        with self._reading():
            payloads = [entry.output for entries in self._entries.values() for entry in entries]
            payloads += [self._rows[no - 1].result for no in self._numbers.values()]
            payloads += [wait.answer for waits in self._waits.values() for wait in waits.values()]
            return {one.ref for one in payloads if one is not None and one.ref is not None} & set(refs)

    def insert(self, record: ExecutionRecord, entries: Sequence[Entry], waits: Sequence[WaitRecord] = ()) -> bool:
        made = copied(transitions.arrived(record))
        with self._writing():
            if record.exec_id in self._numbers:
                return False
            if made.idempotency_key is not None and self._find(made.flow_name, made.idempotency_key) is not None:
                made.idempotency_key = None
            self._rows.append(made)
            no = self._numbers[made.exec_id] = len(self._rows)
            self._entries[no] = [copied_entry(entry) for entry in entries]
            self._waits[no] = {wait.key: copied_wait(wait) for wait in waits}
            return True


def _counted(record: ExecutionRecord, query: TallyQuery) -> bool:
    if query.flow_name is not None and record.flow_name != query.flow_name:
        return False
    return record.created_at >= (query.since or 0) and (query.until is None or record.created_at < query.until)


def copied(record: ExecutionRecord) -> ExecutionRecord:
    """A copy that shares nothing mutable with its original."""
    return replace(
        record,
        entrypoint=as_json(record.entrypoint),
        spec=as_json(record.spec),
        failure=as_json(record.failure),
        result=copy.copy(record.result),
    )


def copied_entry(entry: Entry) -> Entry:
    return replace(entry, detail=as_json(entry.detail), output=copy.copy(entry.output))


def copied_wait(wait: WaitRecord) -> WaitRecord:
    return replace(wait, schema=as_json(wait.schema), metadata=as_json(wait.metadata), answer=copy.copy(wait.answer))


def as_json(value: Any) -> Any:
    """A copy by way of JSON, as every other journal makes one."""
    return None if value is None else json.loads(json.dumps(value))
