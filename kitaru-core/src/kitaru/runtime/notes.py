"""What a body says about its call beside its result: logged metadata and saved artifacts.

Both are kept with the run and written in one of the commits that come anyway, with the call's outcome at the latest:
they cost no commit of their own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruSerializationError, KitaruUsageError
from kitaru.journal.records import Entry, EntryKind, Payload

if TYPE_CHECKING:
    from kitaru.runtime.context import Frame

#: The values of one ``kitaru.log()`` call, as JSON: every reader of an execution reads them all.
METADATA_CHARACTERS_MAX = 1024 * 1024
#: A body that says more than this between two commits has it committed now, so that memory stays bounded.
_NOTES_MAX = 1000


def checked_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """A copy of ``values`` by way of JSON: what is changed afterwards is not changed in it.

    Raises KitaruUsageError naming the key whose value has no JSON form, or when all of it is too long.
    """
    size = 0
    copied = {}
    for key, value in values.items():
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise KitaruUsageError(
                f"kitaru.log({key}=...): a {type(value).__name__} value has no JSON form ({error}). Log texts, "
                "numbers, lists and dicts; kitaru.save() stores any value."
            ) from error
        size += len(text)
        if size > METADATA_CHARACTERS_MAX:
            raise KitaruUsageError(
                f"kitaru.log({key}=...): one call may log up to {METADATA_CHARACTERS_MAX} characters of JSON; this is "
                f"over it, with {size}. Store large values with kitaru.save() and log what describes them."
            )
        copied[key] = json.loads(text)
    return copied


def log_metadata(frame: Frame, values: dict[str, Any]) -> None:
    """Note metadata (checked, not empty) of the call of ``frame``, or of the execution when it is the flow body's.

    What the flow body of a resumed execution logs once more, as recorded, is not written again.
    Raises what stops the execution or the attempt.
    """
    run = frame.run
    if run.isolated:
        _send(frame, {"kind": "metadata", "values": values}, b"")
        return
    run.check(frame)
    if not frame.key and run.history is not None and run.history.logged_again(values):
        return
    now = run.clock.now()
    _note(frame, Entry(EntryKind.METADATA, frame.key, "", frame.attempt, now, now, detail=values))


def save_artifact(frame: Frame, name: str, value: Any, label: str, tags: list[str]) -> None:
    """Store a value as an artifact of the call of ``frame``; large ones are in the artifact store when this returns.

    Raises KitaruSerializationError when the value cannot be stored, and what stops the execution or the attempt.
    """
    run = frame.run
    if run.isolated:
        try:
            encoded = run.codec.encode(value)
        except KitaruSerializationError as error:
            raise _not_saved(frame, name, error) from error.__cause__
        note = {"kind": "artifact", "name": name, "type": label, "tags": tags, "codec": encoded.codec}
        _send(frame, note, bytes(encoded.data))
        return
    run.check(frame)
    try:
        payload = run.encode(value)
    except KitaruSerializationError as error:
        raise _not_saved(frame, name, error) from error.__cause__
    _save_payload(frame, name, payload, label, tags)


def _send(frame: Frame, note: dict[str, Any], data: bytes) -> None:
    """In an isolated process: have the note sent with the outcome."""
    run: Any = frame.run
    run.notes.append((note, data))


def take_over(frame: Frame, note: dict[str, Any], data: bytes) -> None:
    """Make a note that a body in an isolated process made about the call of ``frame``."""
    if note["kind"] == "metadata":
        log_metadata(frame, note["values"])
    else:
        try:
            payload = frame.run.store(note["codec"], data)
        except KitaruSerializationError as error:
            raise _not_saved(frame, note["name"], error) from error.__cause__
        _save_payload(frame, note["name"], payload, note["type"], note["tags"])


def _not_saved(frame: Frame, name: str, error: KitaruSerializationError) -> KitaruSerializationError:
    return KitaruSerializationError(f"artifact `{name}` of checkpoint `{frame.name}` cannot be stored: {error}")


def _save_payload(frame: Frame, name: str, payload: Payload, label: str, tags: list[str]) -> None:
    detail: dict[str, Any] = {"type": label}
    if tags:
        detail["tags"] = tags
    if frame.counters is None:
        frame.counters = {}
    # How often this attempt has saved under the name: the first one replaces what earlier attempts saved.
    place = f"!save:{name}"
    number = frame.counters[place] = frame.counters.get(place, 0) + 1
    if number > 1:
        detail["occurrence"] = number
    now = frame.run.clock.now()
    _note(frame, Entry(EntryKind.ARTIFACT, frame.key, name, frame.attempt, now, now, output=payload, detail=detail))


def _note(frame: Frame, entry: Entry) -> None:
    run = frame.run
    with run.lock:
        run.notes.append(entry)
        many = len(run.notes) >= _NOTES_MAX
    if many:
        run.flush()
