"""Compares a store and its effects with the model after every kill (I1-I5 of the battery).

I1 what was recorded is never run again, and what the flow saw was recorded; I2 the journal is a prefix of the
model's history and of its own future; I3 effects stay within their bounds; I4 the execution completes with the right
result; I5 the store passes its own check. And of waits: an answer that was accepted is kept, and is the only one.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash import kernels
from tests.crash.models import ANY, Call, Model

from kitaru.journal.records import Entry, EntryKind, ExecutionQuery, ExecutionRecord, Payload, WaitRecord
from kitaru.runtime.identity import call_id


@dataclass(frozen=True)
class Line:
    """One line of the effects file."""

    what: str
    call: Call
    call_id: str | None
    attempt: int
    pid: int


class Oracle:
    """Watches one execution (and its children) through all its deaths."""

    def __init__(self, directory: Path, model: Model) -> None:
        self._directory = directory
        self._model = model
        self._read = 0
        self._begun: dict[str, Call] = {}  # call id -> call, of every body that ever began
        self._runs: Counter[Call] = Counter()
        self._allowed: Counter[Call] = Counter()
        self._failed: Counter[Call] = Counter()
        self._recorded: set[Call] = set()
        self._entries: dict[str, list[tuple[Any, ...]]] = {}
        self._values: dict[Call, Any] = {}
        self._answers: dict[str, str] = {}  # wait name -> the answer in the journal
        self._accepted: set[str] = set()

    def observe(self) -> ExecutionRecord | None:
        """Check everything that must hold while no process runs; gives the root execution, if there is one yet."""
        lines = self._new_lines()
        journal = kernels.open_journal(self._directory)
        try:
            info = journal.info()
            assert info["sound"], f"I5: the store is not sound: {info['notes']}"
            records = journal.list(ExecutionQuery(), lambda owner: False)
            entries = {record.exec_id: journal.entries(record.exec_id) for record in records}
            waits = [wait for record in records for wait in journal.waits(record.exec_id)]
        finally:
            journal.close()
        self._check_waits(lines, waits)
        self._check_runs(lines)
        recorded = self._check_entries(entries)
        self._check_seen(lines, recorded)
        self._count_in_flight(lines, recorded)
        self._recorded = recorded
        roots = [record for record in records if record.parent_exec_id is None]
        assert len(roots) <= 1, f"I2: one key started {len(roots)} executions"
        assert len(records) <= self._model.executions, f"I2: {len(records)} executions, {self._model.executions} known"
        return roots[0] if roots else None

    def allow(self, name: str, label: str) -> None:
        """One more run of this call is explained: two owners were inside it."""
        self._allowed[name, label] += 1

    def conclude(self) -> None:
        """After a round that was not killed: the execution has completed with the right result."""
        root = self.observe()
        assert root is not None and root.status == "completed", f"I4: it ended as {root}"
        journal = kernels.open_journal(self._directory)
        try:
            statuses = [record.status for record in journal.list(ExecutionQuery(), lambda owner: False)]
            result = self._decode(journal.get(root.exec_id).result)
        finally:
            journal.close()
        assert statuses == ["completed"] * self._model.executions, f"I4: executions ended as {statuses}"
        assert self._model.check(result), f"I4: the result is {result!r}"
        missing = self._model.calls.keys() - self._recorded
        assert not missing, f"I4: completed without {sorted(missing)}"
        for call, runs in self._runs.items():
            bound = 1 + self._model.failures[call] + self._allowed[call]
            assert 1 <= runs <= bound, f"I3: {call} ran {runs} times, at most {bound} are explained by kills"

    # -- parts --------------------------------------------------------------------------------------------------

    def _new_lines(self) -> list[Line]:
        path = self._directory / "effects"
        if not path.exists():
            return []
        text = path.read_text().splitlines()
        fresh, self._read = text[self._read :], len(text)
        made = []
        for one in fresh:
            what, name, label, its_id, attempt, pid = json.loads(one)
            made.append(Line(what, (name, label), its_id, attempt, pid))
        return made

    def _check_waits(self, lines: list[Line], waits: list[WaitRecord]) -> None:
        answers = {wait.name: repr(self._decode(wait.answer)) for wait in waits if wait.status != "open"}
        for name, kept in self._answers.items():
            assert answers.get(name) == kept, f"I1: the answer of {name} was {kept}, now it is {answers.get(name)}"
        self._answers = answers
        for line in lines:
            if line.what == "accepted":
                name, given = line.call
                assert name not in self._accepted, f"I1: two answers of {name} were accepted"
                assert answers.get(name) == given, f"I1: {given} was accepted for {name}; it has {answers.get(name)}"
                self._accepted.add(name)

    def _check_runs(self, lines: list[Line]) -> None:
        per_process: Counter[tuple[int, Call]] = Counter()
        for line in lines:
            if line.what != "run":
                continue
            assert line.call in self._model.calls, f"I2: {line.call} is no call of this shape"
            assert line.call not in self._recorded, f"I1: {line.call} was recorded and ran again"
            assert line.call_id is not None
            known = self._begun.setdefault(line.call_id, line.call)
            assert known == line.call, f"I2: call {line.call_id} ran as {known} and as {line.call}"
            self._runs[line.call] += 1
            per_process[line.pid, line.call] += 1
            bound = 1 + self._model.failures[line.call]
            assert per_process[line.pid, line.call] <= bound, f"I3: {line.call} ran twice in one process"

    def _check_entries(self, entries: dict[str, list[Entry]]) -> set[Call]:
        recorded: set[Call] = set()
        failed: Counter[Call] = Counter()
        order: dict[Call, tuple[str, int]] = {}
        for exec_id, listed in entries.items():
            plain = [_plain(entry) for entry in listed]
            earlier = self._entries.get(exec_id, [])
            assert plain[: len(earlier)] == earlier, f"I2: the journal of {exec_id} lost or changed entries"
            self._entries[exec_id] = plain
            assert [entry.seq for entry in listed] == list(range(1, len(listed) + 1)), f"I2: {exec_id} has a gap"
            for entry in listed:
                if entry.kind not in (EntryKind.COMPLETED, EntryKind.FAILED, EntryKind.ATTEMPT_FAILED):
                    continue
                call = self._begun.get(call_id(exec_id, entry.key))
                assert call is not None, f"I2: {entry.key} has an outcome, but its body never began"
                assert entry.kind != EntryKind.FAILED, f"I2: {call} failed: {entry.detail}"
                if entry.kind == EntryKind.ATTEMPT_FAILED:
                    failed[call] += 1
                    assert failed[call] <= self._model.failures[call], f"I2: {call} failed too often: {entry.detail}"
                    continue
                assert call not in recorded, f"I2: {call} was recorded twice"
                recorded.add(call)
                order[call] = (exec_id, entry.seq)
                self._check_value(call, entry)
        for call in recorded:
            for needed in self._model.calls[call]:
                assert needed in recorded, f"I2: {call} was recorded before {needed}"
                if order[needed][0] == order[call][0]:
                    assert order[needed][1] < order[call][1], f"I2: {call} was recorded before {needed}"
        assert self._recorded <= recorded, f"I1: lost {self._recorded - recorded}"
        self._failed = failed
        return recorded

    def _check_value(self, call: Call, entry: Entry) -> None:
        expected = self._model.values[call]
        value = self._values.setdefault(call, self._decode(entry.output))
        if expected is not ANY:
            assert value == expected and type(value) is type(expected), f"I2: {call} was recorded as {value!r}"

    def _check_seen(self, lines: list[Line], recorded: set[Call]) -> None:
        for line in lines:
            if line.what == "seen":
                assert line.call in recorded, f"I1: the flow saw {line.call}, which is not in the journal"

    def _count_in_flight(self, lines: list[Line], recorded: set[Call]) -> None:
        """Each kill may cost one more run of the calls that had begun and were not recorded."""
        for call in {line.call for line in lines if line.what == "run"} - recorded:
            self._allowed[call] += 1

    def _decode(self, payload: Payload | None) -> Any:
        assert payload is not None
        return kernels.decode(self._directory, payload)


def _plain(entry: Entry) -> tuple[Any, ...]:
    digest = entry.output.digest if entry.output is not None else None
    return (entry.seq, entry.kind, entry.key, entry.name, entry.attempt, entry.started_at, entry.ended_at, digest)
