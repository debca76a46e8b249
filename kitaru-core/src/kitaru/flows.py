"""``@flow``: the outer durable boundary."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from kitaru.budgets import Budget
from kitaru.errors import KitaruContextError, KitaruUsageError
from kitaru.handles import FlowHandle
from kitaru.runtime import children, entrypoint
from kitaru.runtime.context import current_frame
from kitaru.runtime.signatures import describe_function, refuse_reserved
from kitaru.runtime.specs import DivergencePolicy, FlowSpec

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel

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
            child = children.start_child(frame, spec, args, kwargs, assembly.home(options.stack, frame.run.kernel))
            return FlowHandle(frame.run.kernel, child.exec_id, child.run, child)
        kernel, exec_id, run = assembly.start_flow(self.spec, args, kwargs, options)
        return FlowHandle(kernel, exec_id, run)

    def replay(
        self,
        exec_id: str,
        *,
        from_: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        stack: str | None = None,
        image: Any = None,
        cache: bool | None = None,
        retries: int | None = None,
        **flow_inputs: Any,
    ) -> FlowHandle:
        """Start a new execution from the records of an earlier one of this flow, which stays as it is.

        Recorded calls whose inputs are unchanged answer without running; everything else runs. The replay has the
        original's seed: ``kitaru.uuid4()`` and ``kitaru.random()`` give the same values.

        Args:
            exec_id: an execution that nobody drives: waiting, interrupted, failed, cancelled or completed.
            from_: a checkpoint name, invocation id or call id of the original: that call, and everything that was
                called after it, runs again.
            overrides: ``{"checkpoint.SELECTOR": value}`` stands in for a call's result, and the call does not run;
                ``{"wait.NAME": answer}`` stands in for an answer.
            stack, image, cache, retries: as for :meth:`run`; the original's do not count.
            flow_inputs: new inputs; the others are the original's.

        Raises:
            KitaruContextError: inside a flow.
            KitaruBackendError: the original cannot be loaded; the text names its id.
            KitaruStateError: the original still runs; a selector matches nothing, or several calls.
            KitaruUsageError: a blank selector, an unknown kind of override, inputs that do not fit the flow.
        """
        return replay_flow(
            self,
            exec_id,
            from_=from_,
            overrides=overrides,
            stack=stack,
            image=image,
            cache=cache,
            retries=retries,
            flow_inputs=flow_inputs,
        )

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


def replay_flow(
    flow: FlowDefinition[Any, Any],
    exec_id: str,
    *,
    from_: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    stack: str | None = None,
    image: Any = None,
    cache: bool | None = None,
    retries: int | None = None,
    flow_inputs: Mapping[str, Any],
    kernel: Kernel | None = None,
) -> FlowHandle:
    """:meth:`FlowDefinition.replay` on a given kernel; default: that of the settings in force."""
    from kitaru.stack import assembly

    if current_frame.get() is not None:
        raise KitaruContextError(
            f"`{flow.spec.name}.replay()` does not work inside a flow: a replay belongs to nobody, and would start "
            "again whenever this code runs again. Start it from outside."
        )
    if overrides is not None and not isinstance(overrides, Mapping):
        raise KitaruUsageError(f'overrides={overrides!r}: takes a mapping such as {{"checkpoint.research": "..."}}.')
    _check_retries(retries)
    options = assembly.RunOptions(
        stack=flow.stack if stack is None else stack, images=(image, flow.image), cache=cache, retries=retries
    )
    kernel, new_id, run = assembly.start_replay(
        flow.spec, exec_id, options, from_=from_, overrides=overrides, flow_inputs=flow_inputs, kernel=kernel
    )
    return FlowHandle(kernel, new_id, run)


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
    budget: Budget | None = None,
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
    budget: Budget | None = None,
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
        budget: what its model calls, and those of the flows it starts, may spend.

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
    if budget is not None and not isinstance(budget, Budget):
        raise KitaruUsageError(f"@flow(budget={budget!r}): takes a kitaru.Budget, such as Budget(usd=5).")

    def decorate(function: Callable[..., Any]) -> FlowDefinition[Any, Any]:
        name, is_async, parameters, every = describe_function(function, "flow")
        refuse_reserved("flow", name, every, _RESERVED, "`.run()`")
        limits = budget.document() if budget is not None else None
        spec = FlowSpec(name, function, is_async, parameters, on_divergence, max_concurrency, retries, cache, limits)
        return FlowDefinition(spec, stack=stack, image=image)

    return decorate if func is None else decorate(func)


def _check_retries(retries: int | None) -> None:
    if retries is not None and (not isinstance(retries, int) or isinstance(retries, bool) or retries < 0):
        raise KitaruUsageError(f"retries={retries!r}: retries must be >= 0 (extra tries after the first one).")


def _checked_key(key: str | None) -> str | None:
    if key is not None and (not isinstance(key, str) or not key.strip()):
        raise KitaruUsageError(f"idempotency_key={key!r}: must be a text that is not blank, or left out.")
    return key
