"""YAML files in the configuration directory: what this user has set, kept through every update.

``kitaru.yaml`` has the settings; whoever keeps more than that has a file of its own, which ``name=`` tells. Sections
this version does not know stay as they are (comments do not: the file is written anew). A file that cannot be
understood is never overwritten and never taken for an empty one: whoever needs it gets KitaruConfigError.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kitaru.errors import KitaruConfigError
from kitaru.process_locks import ProcessLock

FILE_NAME = "kitaru.yaml"
FILE_VERSION = 1

Stamp = tuple[int, int, int]


def stamp(directory: Path, name: str = FILE_NAME) -> Stamp | None:
    """What changes with every update of the file: inode, modification time and size; None when there is no file."""
    try:
        found = os.stat(f"{directory}/{name}")  # on the way of every start: joining paths costs more than the call
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


_read: dict[Path, tuple[Stamp, dict[str, Any]]] = {}
_guard = ProcessLock()


def read(directory: Path, name: str = FILE_NAME) -> dict[str, Any]:
    """The content of the file, to be read only; empty when there is no file, or nothing in it. Makes nothing.

    While the file stays as it is, every call gives the same object.

    Raises KitaruConfigError, naming the file and the reason, for one that cannot be read or understood.
    """
    found = stamp(directory, name)
    if found is None:
        return _parse(directory / name)
    path = directory / name
    with _guard:
        known = _read.get(path)
    if known is not None and known[0] == found:
        return known[1]
    content = _parse(path)
    with _guard:
        _read[path] = (found, content)
    return content


def section(directory: Path, name: str) -> dict[str, Any]:
    """One section of the file; empty when it is absent. Raises what :func:`read` raises."""
    value = read(directory).get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise unusable(directory / FILE_NAME, f"`{name}` is not a mapping")
    return value


def update(directory: Path, change: Callable[[dict[str, Any]], None], name: str = FILE_NAME) -> None:
    """Apply ``change`` to the content of the file, which it edits in place.

    Atomic: a reader sees the old file or the new one, also after a crash or power loss. Updates of several processes
    come one after the other, each on what the one before has written. When ``change`` raises, nothing is written.

    Raises KitaruConfigError when the file is there and cannot be understood (it stays as it is), or cannot be written.
    """
    path = directory / name
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(directory / f"{name}.lock"):
            content = _parse(path)
            change(content)
            _replace(path, {"version": FILE_VERSION, **content})
    except OSError as error:
        raise KitaruConfigError(f"{path} cannot be written: {error.strerror}.") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes and threads of this machine out that lock the same file, which is made for it.

    A file of its own: what it protects is replaced by every update, and a lock on that would be on the old one.
    """
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _parse(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise KitaruConfigError(f"{path} cannot be read: {error.strerror}.") from error
    import yaml

    try:
        content = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise unusable(path, f"it is not valid YAML{_place(error)}") from error
    except (ValueError, RecursionError) as error:  # dates that do not exist, bottomless nesting
        raise unusable(path, "it holds a value that YAML cannot represent") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise unusable(path, "its content is not a mapping")
    version = content.get("version", FILE_VERSION)
    if type(version) is not int or version < 1:
        raise unusable(path, f"`version` is {version!r} instead of {FILE_VERSION}")
    if version > FILE_VERSION:
        raise KitaruConfigError(
            f"{path} was written by a newer Kitaru (version {version} of the file, this one knows {FILE_VERSION}). "
            "Upgrade with `pip install -U kitaru`."
        )
    return content


def _place(error: Any) -> str:
    # Only where, not what: the line may hold a token.
    mark = getattr(error, "problem_mark", None)
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""


def unusable(path: Path, reason: str) -> KitaruConfigError:
    """The error for a file that cannot be understood: says why, and that it was left alone."""
    return KitaruConfigError(
        f"{path} cannot be used: {reason}. Nothing in it was changed. Fix the file, or move it away with "
        f"`mv '{path}' '{path}.broken'` to start from the defaults."
    )


def _replace(path: Path, content: dict[str, Any]) -> None:
    import tempfile

    import yaml

    path = Path(os.path.realpath(path))  # a link to a file kept elsewhere stays one
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
