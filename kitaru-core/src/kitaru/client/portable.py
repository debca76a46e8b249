"""One execution as one portable file: a zip archive of JSON, with its large values and logs.

Members: ``manifest.json`` (format version, and size and SHA-256 of every other member), ``execution.json``,
``entries.jsonl``, ``waits.jsonl``, ``logs.jsonl``, ``values/<sha256>``. Nothing in it is decoded or executed, on
neither side: values stay bytes. A file is not trusted: names, sizes and digests are checked before anything is stored.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any
from uuid import UUID

from kitaru.errors import (
    KitaruCorruptionError,
    KitaruError,
    KitaruLogRetrievalError,
    KitaruNotFoundError,
    KitaruStateError,
    KitaruUsageError,
)
from kitaru.journal.log_records import LogRecord
from kitaru.journal.records import Entry, EntryKind, ExecutionRecord, Payload, WaitRecord
from kitaru.journal.transitions import FINISHED
from kitaru.runtime import children

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel
    from kitaru.stack.components import ArtifactStore, LogStore

FORMAT = "kitaru-execution"
FORMAT_VERSION = 1
_MANIFEST_BYTES_MAX = 64 * 1024**2
_MEMBERS_MAX = 200_000
_TEXTS = ("execution.json", "entries.jsonl", "waits.jsonl", "logs.jsonl")
_VALUE = re.compile(r"values/[0-9a-f]{64}")
_CHUNK = 1024 * 1024
_RECORD_BYTES = ("inputs_digest", "inputs", "seed")


def write(kernel: Kernel, exec_id: str, path: str, logs: LogStore) -> None:
    """See ``Executions.export``."""
    record = kernel.journal.get(exec_id)
    if record.status not in FINISHED:
        raise KitaruStateError(
            f"execution {exec_id} has not ended (its status is {record.status}): only an ended one can be exported. "
            f"`kitaru executions cancel {exec_id}` ends it."
        )
    entries = kernel.journal.entries(exec_id)
    waits = kernel.journal.waits(exec_id)
    texts = {
        "execution.json": json.dumps(_packed_record(record)).encode(),
        "entries.jsonl": _lines(_packed_entry(entry) for entry in entries),
        "waits.jsonl": _lines(_packed_wait(wait) for wait in waits),
        "logs.jsonl": _lines(asdict(line) for line in _logs_of(record, logs)),
    }
    payloads = [record.result, *(entry.output for entry in entries), *(wait.answer for wait in waits)]
    kept = {one.digest.hex(): one for one in payloads if one is not None and one.ref is not None}
    manifest: dict[str, Any] = {"format": FORMAT, "version": FORMAT_VERSION, "exec_id": exec_id, "members": {}}
    partial = f"{path}.partial-{os.getpid()}"
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in texts.items():
                archive.writestr(name, data)
                manifest["members"][name] = [len(data), hashlib.sha256(data).hexdigest()]
            for digest, payload in kept.items():
                data = kernel.values.get(payload.ref or "")
                if hashlib.sha256(data).hexdigest() != digest:
                    raise KitaruCorruptionError(
                        f"artifact {payload.ref} of execution {exec_id} does not hold the bytes that were written: it "
                        "cannot be exported. Run `kitaru doctor`."
                    )
                archive.writestr(f"values/{digest}", data)
                manifest["members"][f"values/{digest}"] = [len(data), digest]
            archive.writestr("manifest.json", json.dumps(manifest))
        os.replace(partial, path)
    except OSError as error:
        raise KitaruUsageError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def _logs_of(record: ExecutionRecord, logs: LogStore) -> list[LogRecord]:
    """The lines of an execution; where its log store gives none, one that says so: the rest is worth exporting."""
    try:
        return logs.read(record.exec_id)
    except KitaruLogRetrievalError as error:
        moment = record.ended_at or record.created_at
        return [LogRecord(moment, "WARNING", f"... logs were not exported: {error}", "logging", logger="kitaru.logs")]


def read(kernel: Kernel, path: str, store: Callable[[], ArtifactStore], logs: LogStore, bytes_max: int) -> str:
    """See ``Executions.import_``."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _Import(kernel, archive, path, bytes_max).store(store, logs)
    except KitaruError:
        raise
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise _refused(path, f"it is no zip archive that can be read ({error})") from error
    except OSError as error:
        raise KitaruUsageError(f"{path} cannot be read: {error.strerror or error}.") from error


class _Import:
    """One archive, its members checked against its manifest."""

    def __init__(self, kernel: Kernel, archive: zipfile.ZipFile, path: str, bytes_max: int) -> None:
        self._kernel = kernel
        self._archive = archive
        self._path = path
        self._members = self._checked(bytes_max)

    def store(self, store: Callable[[], ArtifactStore], logs: LogStore) -> str:
        try:
            record = _at_home(_record(json.loads(self._read("execution.json"))))
            entries = [_entry(one) for one in self._json_lines("entries.jsonl")]
            waits = [_wait(record.exec_id, one) for one in self._json_lines("waits.jsonl")]
            _check_order(entries, waits)
            lines = [_log_line(one) for one in self._json_lines("logs.jsonl")]
        except (ValueError, TypeError, KeyError, LookupError, AttributeError, RecursionError) as error:
            raise _refused(self._path, f"a record in it cannot be read ({type(error).__name__}: {error})") from error
        payloads = [record.result, *(entry.output for entry in entries), *(wait.answer for wait in waits)]
        for payload in payloads:
            if payload is not None and payload.ref is not None and payload.ref != f"sha256/{payload.digest.hex()}":
                raise _refused(self._path, f"it refers to a value under {payload.ref[:80]!r}")
        wanted = {payload.digest.hex() for payload in payloads if payload is not None and payload.ref is not None}
        missing = [digest for digest in wanted if f"values/{digest}" not in self._members]
        if missing:
            raise _refused(self._path, f"it lacks the value {missing[0]}")
        for digest in sorted(wanted):  # before what refers to them, as always
            store().put(f"sha256/{digest}", self._read(f"values/{digest}"))
        try:
            self._kernel.journal.get(record.exec_id)
        except KitaruNotFoundError:  # logs first: whoever is interrupted here imports the file again
            logs.delete(record.exec_id)
            logs.append(record.exec_id, lines)
            self._kernel.journal.insert(record, entries, waits)
        return record.exec_id

    def _checked(self, bytes_max: int) -> dict[str, tuple[int, str]]:
        infos = self._archive.infolist()
        names = [info.filename for info in infos]
        if len(names) > _MEMBERS_MAX or len(set(names)) != len(names):
            raise _refused(self._path, "it has too many members, or one of them twice")
        for info in infos:
            name = info.filename
            linked = (info.external_attr >> 16) & 0o170000 == 0o120000
            if linked or not (name == "manifest.json" or name in _TEXTS or _VALUE.fullmatch(name)):
                raise _refused(self._path, f"its member {name[:80]!r} does not belong in one")
        if sum(info.file_size for info in infos) > bytes_max:
            raise _refused(self._path, f"it holds more than {bytes_max} bytes; see max_bytes")
        if "manifest.json" not in names:
            raise _refused(self._path, "it has no manifest")
        try:
            manifest = json.loads(self._bytes("manifest.json", _MANIFEST_BYTES_MAX))
            if manifest["format"] != FORMAT:
                raise ValueError(manifest["format"])
            version = manifest["version"]
            members = {str(name): (int(size), str(digest)) for name, (size, digest) in manifest["members"].items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise _refused(self._path, f"its manifest cannot be read ({type(error).__name__}: {error})") from error
        if version != FORMAT_VERSION:
            raise _refused(
                self._path, f"it has format version {version!r}, this Kitaru reads {FORMAT_VERSION}: upgrade Kitaru"
            )
        if set(members) != set(names) - {"manifest.json"} or not set(_TEXTS) <= set(members):
            raise _refused(self._path, "its members are not those that its manifest names")
        return members

    def _json_lines(self, name: str) -> list[Any]:
        return [json.loads(line) for line in self._read(name).split(b"\n") if line]

    def _read(self, name: str) -> bytes:
        size, digest = self._members[name]
        data = self._bytes(name, size)
        if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
            raise _refused(self._path, f"its member {name} is not what was written (digest mismatch)")
        return data

    def _bytes(self, name: str, size: int) -> bytes:
        """A member's bytes, never more than ``size`` of them whatever its header says."""
        found = bytearray()
        with self._archive.open(name) as file:
            while chunk := file.read(_CHUNK):
                found += chunk
                if len(found) > size:
                    raise _refused(self._path, f"its member {name} is larger than it says")
        return bytes(found)


def _refused(path: str, reason: str) -> KitaruUsageError:
    return KitaruUsageError(
        f"{path} is not imported: {reason}. Nothing was changed. `kitaru executions export ID FILE` makes such files."
    )


# -- records as JSON --------------------------------------------------------------------------------------------


def _lines(rows: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _packed(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _unpacked(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


def _packed_payload(payload: Payload | None) -> list[Any] | None:
    if payload is None:
        return None
    # Where it lies here means nothing elsewhere: in the file it is named by its digest.
    ref = None if payload.ref is None else f"sha256/{payload.digest.hex()}"
    return [payload.codec, payload.digest.hex(), payload.size, _packed(payload.data), ref]


def _payload(packed: list[Any] | None) -> Payload | None:
    if packed is None:
        return None
    codec, digest, size, data, ref = packed
    payload = Payload(str(codec), bytes.fromhex(digest), int(size), _unpacked(data), ref)
    if (payload.data is None) == (payload.ref is None) or len(payload.digest) != 32:
        raise ValueError("a value that is neither here nor elsewhere")
    if payload.data is not None and hashlib.sha256(payload.data).digest() != payload.digest:
        raise ValueError("a value whose digest does not fit")
    return payload


def _packed_record(record: ExecutionRecord) -> dict[str, Any]:
    left_out = ("owner", "lease_expires_at", "cancel_requested", "wake_at", "open_waits", "result")
    row = {field.name: getattr(record, field.name) for field in fields(record) if field.name not in left_out}
    row.update({name: _packed(row[name]) for name in _RECORD_BYTES})
    row["result"] = _packed_payload(record.result)
    return row


def _record(row: dict[str, Any]) -> ExecutionRecord:
    known = {field.name for field in fields(ExecutionRecord)}
    values = {name: value for name, value in row.items() if name in known}
    values.update({name: _unpacked(values[name]) for name in _RECORD_BYTES})
    values["result"] = _payload(values["result"])
    record = ExecutionRecord(**values)
    if str(UUID(record.exec_id)) != record.exec_id or record.status not in FINISHED:
        raise ValueError("it is no execution that has ended")
    _check_types(record, _RECORD_TYPES)
    return record


def _at_home(record: ExecutionRecord) -> ExecutionRecord:
    """``record`` without what says in which stores it lay elsewhere: here it lies in those of the default stack."""
    resolved = record.spec.get("resolved_execution")
    if isinstance(resolved, dict):
        kept = {name: value for name, value in resolved.items() if name not in children.HOME or name == "stack"}
        record.spec = {**record.spec, "resolved_execution": kept}
    return record


def _packed_entry(entry: Entry) -> dict[str, Any]:
    row = {field.name: getattr(entry, field.name) for field in fields(entry)}
    row.update({name: _packed(row[name]) for name in ("inputs_digest", "inputs", "cache_key")})
    row["kind"], row["output"] = int(entry.kind), _packed_payload(entry.output)
    return row


def _entry(row: dict[str, Any]) -> Entry:
    values = {**row, **{name: _unpacked(row[name]) for name in ("inputs_digest", "inputs", "cache_key")}}
    values["kind"], values["output"] = EntryKind(row["kind"]), _payload(row["output"])
    # Results of foreign executions never answer calls of this installation's: whoever made the file chose them.
    values["cache_key"] = None
    entry = Entry(**values)
    _check_types(entry, _ENTRY_TYPES)
    return entry


def _packed_wait(wait: WaitRecord) -> dict[str, Any]:
    row = {field.name: getattr(wait, field.name) for field in fields(wait)}
    row["answer"] = _packed_payload(wait.answer)
    return row


def _wait(exec_id: str, row: dict[str, Any]) -> WaitRecord:
    wait = WaitRecord(**{**row, "exec_id": exec_id, "answer": _payload(row["answer"])})
    _check_types(wait, _WAIT_TYPES)
    return wait


def _log_line(row: dict[str, Any]) -> LogRecord:
    line = LogRecord(**row)
    _check_types(line, {"timestamp": int, "level": str, "message": str, "source": str})
    return line


_TEXT = (str, type(None))
_NUMBER = (int, type(None))
_RECORD_TYPES: dict[str, Any] = {
    **dict.fromkeys(("flow_name",), str),
    **dict.fromkeys(("created_at", "owners_lost", "fence"), int),
    **dict.fromkeys(("started_at", "ended_at"), _NUMBER),
    **dict.fromkeys(("stack_name", "idempotency_key", "parent_exec_id", "parent_call_key", "original_exec_id"), _TEXT),
    "status_reason": _TEXT,
    **dict.fromkeys(("entrypoint", "spec"), dict),
    "failure": (dict, type(None)),
}
_ENTRY_TYPES: dict[str, Any] = {
    **dict.fromkeys(("key", "name"), str),
    **dict.fromkeys(("attempt", "started_at", "ended_at", "seq"), int),
    "detail": (dict, type(None)),
}
_WAIT_TYPES: dict[str, Any] = {
    **dict.fromkeys(("key", "wait_id", "name", "status"), str),
    "question": _TEXT,
    "schema": (dict, type(None)),
    "metadata": dict,
    "created_at": int,
    **dict.fromkeys(("expires_at", "resolved_at"), _NUMBER),
}


def _check_types(record: Any, types: dict[str, Any]) -> None:
    for name, expected in types.items():
        if not isinstance(getattr(record, name), expected):
            raise TypeError(f"{name} has another type")


def _check_order(entries: list[Entry], waits: list[WaitRecord]) -> None:
    places = [0, *(entry.seq for entry in entries)]
    if any(after <= before for before, after in itertools.pairwise(places)):
        raise ValueError("its entries are out of order")
    if len({wait.key for wait in waits}) < len(waits) or len({wait.name for wait in waits}) < len(waits):
        raise ValueError("a wait stands twice")
