"""What the decorators hand to the kernel: a function and how it wants to be run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kitaru.runtime.identity import escape
from kitaru.runtime.retry import RetryPolicy

DivergencePolicy = Literal["error", "rerun", "reuse"]


@dataclass(slots=True)
class CheckpointSpec:
    """A checkpoint as the kernel sees it. ``parameters`` are the names of its positional parameters, in order."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    parameters: tuple[str, ...]
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    type: str | None = None
    isolated: bool = False
    cache: bool | None = None
    effect: bool = False
    in_doubt: Any = "ask"  # "ask", "retry", "fail" or a function of an InDoubt
    key_name: str = ""
    plain: bool = True  # the body simply runs where it is called
    _source_digest: bytes | None = None

    def __post_init__(self) -> None:
        self.key_name = self.key_name or escape(self.name)
        self.plain = self.retry.timeout is None and not self.isolated and not self.effect

    @property
    def source_digest(self) -> bytes:
        """Digest of the function's module, name and source text; of its bytecode where no source is at hand."""
        if self._source_digest is None:
            import inspect

            function = inspect.unwrap(self.function)
            try:
                source = inspect.getsource(function).encode()
            except (OSError, TypeError):
                code = getattr(function, "__code__", None)
                source = code.co_code + repr(code.co_consts).encode() if code is not None else b""
            place = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', self.name)}"
            self._source_digest = hashlib.sha256(place.encode() + b"\0" + source).digest()
        return self._source_digest


@dataclass(slots=True)
class FlowSpec:
    """A flow as the kernel sees it."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    parameters: tuple[str, ...]
    on_divergence: DivergencePolicy = "error"
    max_concurrency: int | None = None
    retries: int | None = None
    cache: bool | None = None
    budget: Mapping[str, Any] | None = None  # limits of its model calls, as kitaru.budgets describes them


def stack_of(frozen: Mapping[str, Any]) -> str | None:
    """The id of the stack that an execution was started on, from its frozen spec; None: the default stack."""
    resolved = frozen.get("resolved_execution")
    return resolved.get("stack_id") if resolved else None


def as_started(spec: FlowSpec, frozen: Mapping[str, Any]) -> FlowSpec:
    """``spec`` with the settings its execution was started with: they hold in every process that continues it."""
    resolved = frozen.get("resolved_execution") or {}
    changes = {name: resolved[name] for name in ("cache", "retries") if resolved.get(name) is not None}
    return replace(spec, **changes) if changes else spec
