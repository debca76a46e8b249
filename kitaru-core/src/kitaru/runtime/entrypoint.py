"""How a flow is found again by another process: what is recorded at ``.run()``, and how it is loaded from that."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from kitaru.errors import KitaruRuntimeError, KitaruStateError

#: Name under which a script's ``__main__`` is loaded again, so that its ``__name__ == "__main__"`` guard holds.
MAIN_ALIAS = "__kitaru_main__"

_loading = threading.local()


def describe(function: Callable[..., Any]) -> dict[str, Any]:
    """The entrypoint record of a function: module and qualname, file, import root, working directory, sys.path."""
    module_name = getattr(function, "__module__", None) or "__main__"
    file = getattr(sys.modules.get(module_name), "__file__", None)
    cwd = os.getcwd()
    return {
        **_place(module_name, file),
        "qualname": getattr(function, "__qualname__", getattr(function, "__name__", "")),
        "cwd": cwd,
        "sys_path": [entry or cwd for entry in sys.path],
    }


@functools.lru_cache(maxsize=256)
def _place(module_name: str, file: str | None) -> dict[str, Any]:
    name = "__main__" if module_name == MAIN_ALIAS else module_name
    if module_name == "__main__":
        name = real_main_name() or name
    return {
        "module": name,
        "main": module_name in ("__main__", MAIN_ALIAS),
        "file": os.path.abspath(file) if file else None,
        "root": _import_root(name, file),
    }


def real_main_name() -> str | None:
    """The name under which this process's ``__main__`` can be imported (``python -m package.module``), or None."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if spec is not None and spec.name else None


def class_aliases() -> dict[str, str]:
    """For the codec: names under which classes of main modules are stored -> the modules that hold them here."""
    real = real_main_name()
    return {"__main__": MAIN_ALIAS, **({real: "__main__"} if real is not None else {})}


def _import_root(module_name: str, file: str | None) -> str | None:
    if not file:
        return None
    folder = Path(file).resolve().parent
    depth = 0 if module_name == "__main__" else module_name.count(".")
    if Path(file).stem == "__init__":
        depth += 1
    for _ in range(depth):
        folder = folder.parent
    return str(folder)


def why_not_importable(entrypoint: dict[str, Any]) -> str | None:
    """Why another process could not find this flow again, as half a sentence; None when it could."""
    if "<locals>" in entrypoint["qualname"]:
        return "it is defined inside a function"
    if entrypoint["module"] == "__main__" and not entrypoint["file"]:
        return "it is defined in an interactive session"
    if entrypoint["qualname"] == "<lambda>":
        return "it has no name"
    return None


def load(entrypoint: dict[str, Any]) -> Any:
    """The object an entrypoint names, importing its module if need be.

    Raises:
        KitaruRuntimeError: it cannot be imported or found; the text says what was tried and how to go on.
    """
    reason = why_not_importable(entrypoint)
    if reason is not None:
        raise KitaruRuntimeError(
            f"flow `{entrypoint['qualname']}` cannot be loaded in this process: {reason}. Run the program that started "
            "it again with the same idempotency_key: that continues the execution."
        )
    try:
        module = _load_module(entrypoint)
        found: Any = module
        for part in entrypoint["qualname"].split("."):
            found = getattr(found, part)
    except KitaruStateError:
        raise
    except Exception as error:
        raise KitaruRuntimeError(
            f"flow `{entrypoint['module']}:{entrypoint['qualname']}` cannot be loaded ({type(error).__name__}: "
            f"{error}). It was defined in {entrypoint['file'] or 'a module without a file'}. Put the code back, or "
            "run the program that started it again with the same idempotency_key."
        ) from error
    return found


def _load_module(entrypoint: dict[str, Any]) -> ModuleType:
    _restore_path([entrypoint.get("root"), *entrypoint.get("sys_path", ())])
    name = entrypoint["module"]
    if name == "__main__":
        return load_script(entrypoint["file"])
    main = sys.modules.get("__main__")
    if entrypoint.get("main") and _same_file(getattr(main, "__file__", None), entrypoint["file"]):
        assert main is not None
        return main  # this process runs the very module, under its other name
    with loading():
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # Loaded from a file under a name of its own (`kitaru run` does that when the file's name is taken).
            file = entrypoint["file"]
            if error.name != name or not file or not os.path.exists(file):
                raise
            return _load_file(name, file)


def _restore_path(recorded: list[str | None]) -> None:
    """Add the recorded import folders that are missing, before the first one that both have.

    So they come before the standard library and installed packages where they did when the flow was started, and a
    flow in ``research.py`` is not mistaken for an installed package of that name.
    """
    place = next((at for at, path in enumerate(sys.path) if path in recorded), len(sys.path))
    ahead = True
    for path in recorded:
        if not path:
            continue
        if path in sys.path:
            ahead = False
        elif os.path.isdir(path):
            sys.path.insert(place if ahead else len(sys.path), path)
            place += 1


def _load_file(name: str, file: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def load_script(file: str) -> ModuleType:
    """A script that ran as ``__main__``, loaded as :data:`MAIN_ALIAS`; the running script itself if it is the same."""
    main = sys.modules.get("__main__")
    if main is not None and _same_file(getattr(main, "__file__", None), file):
        return main
    loaded = sys.modules.get(MAIN_ALIAS)
    if loaded is not None:
        if _same_file(loaded.__file__, file):
            return loaded
        raise KitaruRuntimeError(
            f"this process has loaded the script {loaded.__file__} already, and a process can stand in for one script "
            "only"
        )
    if not os.path.exists(file):
        raise FileNotFoundError(f"the script {file} does not exist any more")
    with loading():
        return _load_file(MAIN_ALIAS, file)


def _same_file(first: str | None, second: str | None) -> bool:
    return first is not None and second is not None and os.path.realpath(first) == os.path.realpath(second)


@contextmanager
def loading() -> Iterator[None]:
    """Marks that this thread imports user code to find a flow, during which nothing may be started."""
    before = getattr(_loading, "active", False)
    _loading.active = True
    try:
        yield
    finally:
        _loading.active = before


def refuse_while_loading(flow_name: str) -> None:
    """Raise KitaruStateError when ``.run()`` is called by a module that is being loaded to find a flow."""
    if getattr(_loading, "active", False):
        raise KitaruStateError(
            f"flow `{flow_name}` was started while its file was being loaded to continue an execution. Put the code "
            "that "
            'starts flows under `if __name__ == "__main__":`, so that loading the file only defines them.'
        )
