"""Flows by name: ``module:flow`` or ``path/to/file.py:flow``, loaded so that another process finds them again."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kitaru.errors import KitaruUsageError
from kitaru.runtime import entrypoint

if TYPE_CHECKING:
    from kitaru.client.client import KitaruClient
    from kitaru.models import Execution

_FORMAT = "<module_or_file>:<flow_name>"


@runtime_checkable
class _FlowHandleLike(Protocol):
    exec_id: str


@runtime_checkable
class _FlowTarget(Protocol):
    def run(self, *args: Any, **kwargs: Any) -> Any: ...


@dataclass(slots=True, frozen=True)
class FlowInvocationResult:
    """A started flow."""

    handle: Any


@dataclass(slots=True, frozen=True)
class StartedExecutionDetails:
    """What is known of an execution right after its start. ``warning`` says why ``execution`` is None."""

    exec_id: str
    execution: Execution | None
    warning: str | None


def _load_module_from_python_path(module_path: str, *, module_name_prefix: str) -> ModuleType:
    """Load a Python file as the module it is: ``flows.py`` as ``flows``, a file in a package by its dotted name.

    The folder that makes this name importable goes to the front of ``sys.path``, so the file's own imports work and a
    resumed execution finds it again. Only where the name is taken by another loaded module, the file gets one made of
    ``module_name_prefix``, its stem and a digest of its path (the same in every process). A file that is loaded
    already is loaded again only when it has changed.

    Raises:
        KitaruUsageError: no such file, or not a ``.py`` file.
        Exception: whatever the file raised; it is taken out of ``sys.modules`` again.
    """
    path = Path(module_path).expanduser().resolve()
    if not path.is_file():
        raise KitaruUsageError(f"Flow module path does not exist: {module_path}")
    if path.suffix != ".py":
        raise KitaruUsageError(f"Flow module path is not a .py file: {module_path}")
    root, name = _place(path)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    loaded = sys.modules.get(name)
    if loaded is not None and not _is_file(loaded, path):
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
        name = f"{module_name_prefix}{path.stem.replace('.', '_')}_{digest}"
        loaded = sys.modules.get(name)
    stamp = _stamp(path)
    if loaded is not None and getattr(loaded, _STAMP, stamp) == stamp:
        return loaded
    module = _execute(name, path)
    setattr(module, _STAMP, stamp)
    return module


_STAMP = "__kitaru_loaded_stamp__"


def _place(path: Path) -> tuple[Path, str]:
    """The folder to import from, and the dotted name of the file seen from there."""
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return root, ".".join(parts)


def _execute(name: str, path: Path) -> ModuleType:
    if "." in name and path.stem != name and name.rpartition(".")[0] not in sys.modules:
        importlib.import_module(name.rpartition(".")[0])  # its packages first, so that relative imports work
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise KitaruUsageError(f"Flow module path cannot be loaded as Python: {path}")
    module = module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before
        raise
    return module


def _is_file(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and os.path.realpath(file) == str(path)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _load_flow_target(target: str, *, module_name_prefix: str) -> _FlowTarget:
    """The flow that ``target`` names. Importing a module must not start flows: that is refused with a sentence.

    Raises KitaruUsageError (a ValueError): wrong format, the module cannot be imported (chained), no such attribute,
    or not a flow.
    """
    reference, colon, flow_name = target.partition(":")
    reference, flow_name = reference.strip(), flow_name.strip()
    if not colon or not reference or not flow_name:
        raise KitaruUsageError(f"A flow target has the form `{_FORMAT}`; got {target!r}.")
    try:
        with entrypoint.loading():
            if reference.endswith(".py"):
                module = _load_module_from_python_path(reference, module_name_prefix=module_name_prefix)
            else:
                module = importlib.import_module(reference)
    except (Exception, SystemExit) as error:
        reason = str(error) or type(error).__name__
        raise KitaruUsageError(f"Unable to import flow module `{reference}`: {reason}") from error
    found: Any = module
    for part in flow_name.split("."):
        if not hasattr(found, part):
            raise KitaruUsageError(_no_such_flow(target, module, flow_name))
        found = getattr(found, part)
    if not isinstance(found, _FlowTarget) or isinstance(found, type):
        raise KitaruUsageError(
            f"`{target}` is not a flow object created by `@flow`: it is a {type(found).__name__}.{_known_flows(module)}"
        )
    return found


def _no_such_flow(target: str, module: ModuleType, flow_name: str) -> str:
    return f"Flow target `{target}`: module `{module.__name__}` has no attribute `{flow_name}`.{_known_flows(module)}"


def _known_flows(module: ModuleType) -> str:
    flows = sorted(
        name for name, value in vars(module).items() if isinstance(value, _FlowTarget) and hasattr(value, "spec")
    )
    return f" Its flows: {', '.join(flows)}." if flows else ""


def invoke_flow_target(
    *,
    target: str,
    args: dict[str, Any] | None,
    stack: str | None,
    module_name_prefix: str,
    idempotency_key: str | None = None,
) -> FlowInvocationResult:
    """Load a flow and start it with ``args`` as keyword arguments.

    Raises KitaruUsageError: see :func:`_load_flow_target`; ``args`` is no object, or does not fit the flow's
    parameters (then nothing was started); the started object has no ``exec_id``.
    """
    if args is not None and not isinstance(args, dict):
        raise KitaruUsageError(f'Flow arguments must be a JSON object, such as {{"topic": "rust"}}; got {args!r}.')
    flow = _load_flow_target(target, module_name_prefix=module_name_prefix)
    given = dict(args or {})
    _check_arguments(target, flow, given)
    options = {"stack": stack, "idempotency_key": idempotency_key}
    handle = flow.run(**given, **{name: value for name, value in options.items() if value})
    if not isinstance(handle, _FlowHandleLike):
        raise KitaruUsageError(f"`{target}`.run() gave no handle with an exec_id, but a {type(handle).__name__}.")
    return FlowInvocationResult(handle)


def _check_arguments(target: str, flow: _FlowTarget, given: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(getattr(flow, "__wrapped__", flow))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a foreign object with .run(): it checks its arguments itself
        return
    if not hasattr(flow, "__wrapped__"):
        return
    try:
        signature.bind(**given)
    except TypeError as error:
        raise KitaruUsageError(
            f"The arguments do not fit `{target}`: {error}. It takes {signature}. Pass them as "
            "--args '{\"name\": value}'."
        ) from error


def resolve_started_execution_details(*, exec_id: str, client: KitaruClient) -> StartedExecutionDetails:
    """Look a started execution up. Never raises: what started must not be reported as failed by a slow look-up."""
    try:
        return StartedExecutionDetails(exec_id, client.executions.get(exec_id), None)
    except Exception as error:
        return StartedExecutionDetails(
            exec_id, None, f"Execution {exec_id} has started, but its details are not available yet: {error}"
        )


def build_started_execution_payload(*, target: str, details: StartedExecutionDetails) -> dict[str, Any]:
    """``exec_id``, ``target``, ``execution`` (serialised, or None) and ``warning``."""
    from kitaru.inspection import serialize_execution

    execution = details.execution
    return {
        "exec_id": details.exec_id,
        "target": target,
        "execution": serialize_execution(execution) if execution is not None else None,
        "warning": details.warning,
    }
