"""``@flow``: the outer durable boundary."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from kitaru.errors import KitaruUsageError
from kitaru.handles import FlowHandle
from kitaru.runtime import children, entrypoint
from kitaru.runtime.context import current_frame
from kitaru.runtime.signatures import describe_function, refuse_reserved
from kitaru.runtime.specs import DivergencePolicy, FlowSpec

P = ParamSpec("P")
R = TypeVar("R")

_RESERVED = frozenset({"stack", "image", "cache", "retries", "idempotency_key"})
_POLICIES = ("error", "rerun", "reuse")


class FlowDefinition(Generic[P, R]):
    """A function decorated with :func:`flow`. Start it with :meth:`run`; calling it is refused."""

    def __init__(self, spec: FlowSpec, *, stack: str | None, image: Any) -> None:
        functools.update_wrapper(self, spec.function)
        self.spec = spec
        self.stack = stack
        self.image = image
        self._importable: bool | None = None  # not looked at yet

    def run(
        self,
        *args: Any,
        stack: str | None = None,
        image: Any = None,
        cache: bool | None = None,
        retries: int | None = None,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> FlowHandle:
        """Start an execution and return its handle at once; it is committed to the journal before this returns.

        Failures of the flow come through the handle, never through this call. The same ``idempotency_key`` gives the
        same execution: a finished one with its result, an interrupted one continued, a live one as it is.
        Inside a flow this starts a child execution.

        Raises:
            KitaruUsageError: bad settings or options.
            KitaruStateError: the key belongs to an execution with other inputs.
            KitaruSerializationError: an argument cannot be stored; the text names it.
            KitaruJournalError: the journal cannot be opened or written.
        """
        from kitaru.stack import assembly  # settings, plugins and stores: read when a flow runs, not at import

        if self._importable is None:
            self._check_importable()
        _check_retries(retries)
        options = assembly.RunOptions(
            stack=self.stack if stack is None else stack,
            images=(image, self.image),
            cache=cache,
            retries=retries,
            idempotency_key=_checked_key(idempotency_key),
            flow_defaults={"stack": self.stack, "cache": self.spec.cache, "retries": self.spec.retries},
        )
        frame = current_frame.get()
        if frame is not None:
            spec = assembly.with_settings(self.spec, options)
            child = children.start_child(frame, spec, args, kwargs, options.stack)
            return FlowHandle(frame.run.kernel, child.exec_id, child.run, child)
        kernel, exec_id, run = assembly.start_flow(self.spec, args, kwargs, options)
        return FlowHandle(kernel, exec_id, run)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # noqa: ARG002  it keeps the function's signature
        """Refused: raises KitaruUsageError that points to :meth:`run`."""
        name = self.spec.name
        raise KitaruUsageError(
            f"flow `{name}` cannot be called directly: start it with `{name}.run(...)`, which gives a handle, or "
            f"`{name}.run(...).wait()` for its result."
        )

    def _check_importable(self) -> None:
        reason = entrypoint.why_not_importable(entrypoint.describe(self.spec.function))
        self._importable = reason is None
        if reason is not None:
            import warnings

            warnings.warn(
                f"flow `{self.spec.name}` cannot be loaded by another process: {reason}. After a crash its executions "
                "can only be continued by running this program again with the same idempotency_key. Define the flow at "
                "the top "
                "level of a module or script to make `kitaru executions resume` work.",
                UserWarning,
                stacklevel=3,
            )

    def __repr__(self) -> str:
        return f"<flow {self.spec.name!r}>"


@overload
def flow(func: Callable[P, R], /) -> FlowDefinition[P, R]: ...
@overload
def flow(
    *,
    stack: str | None = None,
    image: Any = None,
    cache: bool | None = None,
    retries: int | None = None,
    on_divergence: DivergencePolicy = "error",
    max_concurrency: int | None = None,
) -> Callable[[Callable[P, R]], FlowDefinition[P, R]]: ...
def flow(
    func: Callable[..., Any] | None = None,
    /,
    *,
    stack: str | None = None,
    image: Any = None,
    cache: bool | None = None,
    retries: int | None = None,
    on_divergence: DivergencePolicy = "error",
    max_concurrency: int | None = None,
) -> Any:
    """Make a ``def`` or ``async def`` function a flow: its checkpoints are journaled and survive crashes.

    Args:
        stack: name or id of the stack to run on; default: the configured one.
        image: container settings for stacks that use images.
        cache: reuse results of equal checkpoint calls of earlier executions; default: off.
        retries: extra tries of checkpoints that set none themselves, 0 or more; default: 0.
        on_divergence: when a resumed flow calls a checkpoint with other inputs than recorded: ``"error"`` fails and
            says what changed, ``"rerun"`` runs that call again, ``"reuse"`` takes the recorded result.
        max_concurrency: bodies started by ``.submit``/``.map`` that run at once; default: the configured number (16).

    Raises:
        KitaruUsageError: negative ``retries``, blank ``stack``, unknown policy, a parameter with a reserved name.
    """
    if stack is not None and not str(stack).strip():
        raise KitaruUsageError("@flow(stack=...) is blank: name a stack, or leave it out for the configured one.")
    _check_retries(retries)
    if on_divergence not in _POLICIES:
        raise KitaruUsageError(
            f"@flow(on_divergence={on_divergence!r}): allowed are {', '.join(map(repr, _POLICIES))}."
        )
    if max_concurrency is not None and (not isinstance(max_concurrency, int) or max_concurrency < 1):
        raise KitaruUsageError(f"@flow(max_concurrency={max_concurrency!r}): must be a whole number, 1 or more.")

    def decorate(function: Callable[..., Any]) -> FlowDefinition[Any, Any]:
        name, is_async, parameters, every = describe_function(function, "flow")
        refuse_reserved("flow", name, every, _RESERVED, "`.run()`")
        spec = FlowSpec(name, function, is_async, parameters, on_divergence, max_concurrency, retries, cache)
        return FlowDefinition(spec, stack=stack, image=image)

    return decorate if func is None else decorate(func)


def _check_retries(retries: int | None) -> None:
    if retries is not None and (not isinstance(retries, int) or isinstance(retries, bool) or retries < 0):
        raise KitaruUsageError(f"retries={retries!r}: retries must be >= 0 (extra tries after the first one).")


def _checked_key(key: str | None) -> str | None:
    if key is not None and (not isinstance(key, str) or not key.strip()):
        raise KitaruUsageError(f"idempotency_key={key!r}: must be a text that is not blank, or left out.")
    return key
