"""``@checkpoint``: the unit of work whose outcome is journaled and never paid for twice."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from kitaru.errors import KitaruContextError, KitaruUsageError
from kitaru.runtime import calls, matching
from kitaru.runtime.context import Frame, current_frame
from kitaru.runtime.retry import RetryPolicy
from kitaru.runtime.signatures import describe_function, refuse_reserved
from kitaru.runtime.specs import CheckpointSpec

P = ParamSpec("P")
R = TypeVar("R")

_RESERVED = frozenset({"id", "after"})


class unmapped:  # noqa: N801  reads like a function at the call site
    """Marks an argument of ``.map``/``.product`` that every call gets whole, though it is a sequence."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class CheckpointDefinition(Generic[P, R]):
    """A function decorated with :func:`checkpoint`."""

    def __init__(self, spec: CheckpointSpec) -> None:
        functools.update_wrapper(self, spec.function)
        self.spec = spec

    def __call__(self, *args: Any, id: str | None = None, after: Any = None, **kwargs: Any) -> Any:
        """Run one call now and give its value; of an ``async def`` checkpoint, in async code, an awaitable of it.

        Args:
            id: name of this call, unique in its execution; default: the checkpoint's name, ``#2``, ``#3``...
            after: a future, or a list of them, that must have ended first.

        Raises:
            KitaruContextError: outside a flow.
            KitaruUsageError: ``id`` is taken, or ``after`` is no future.
        """
        frame = current_frame.get()
        if frame is None or frame.run.isolated:
            frame = calls.outside(frame, self.spec.name)
        spec = self.spec
        run = frame.run
        if run.history is not None and id is None and after is None and run.submitted is None and not spec.is_async:
            value = matching.reuse(frame, spec, args, kwargs)
            if value is not matching.MISSING:
                return value
        child = calls.prepare(frame, spec, id)
        if spec.is_async:
            return self._call_async(frame, child, args, kwargs, after)
        if after is not None or run.submitted is not None:
            from kitaru.runtime import futures

            for earlier in _futures(after):
                earlier.wait()
            given, named = args, kwargs
            args = tuple(futures.resolve(value) for value in given)
            kwargs = {name: futures.resolve(value) for name, value in named.items()}
            child.parents = futures.sources(given, named)
        return calls.perform(child, args, kwargs)

    def submit(self, *args: Any, id: str | None = None, after: Any = None, **kwargs: Any) -> Any:
        """Start one call concurrently and give its :class:`~kitaru.runtime.futures.CheckpointFuture`.

        Futures among the arguments (also inside a list, tuple or dict) are waited for and replaced by their values.
        """
        frame = calls.outside(current_frame.get(), self.spec.name)
        earlier = _futures(after)
        child = calls.prepare(frame, self.spec, id)
        return frame.run.submissions().start(child, args, kwargs, earlier)

    def map(self, *args: Any, after: Any = None, **kwargs: Any) -> list[Any]:
        """One call per element: sequences (not texts, bytes or mappings) are walked in step, the rest goes to all.

        Returns futures in order. Raises KitaruUsageError when the sequences differ in length.
        """
        return self._spread(args, kwargs, after, _in_step)

    def product(self, *args: Any, after: Any = None, **kwargs: Any) -> list[Any]:
        """One call per element of the cartesian product of the sequences among the arguments. Returns futures."""
        return self._spread(args, kwargs, after, _crossed)

    def _spread(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], after: Any, combine: Callable[..., Any]
    ) -> list[Any]:
        calls.outside(current_frame.get(), self.spec.name)
        places: list[int | str] = [*range(len(args)), *kwargs]
        values = [_spreadable(value) for value in (*args, *kwargs.values())]
        sequences = {place: value for place, value in zip(places, values, strict=True) if value is not None}
        futures = []
        for chosen in combine(self.spec.name, sequences):
            one_args = [chosen.get(place, _plain(value)) for place, value in enumerate(args)]
            one_kwargs = {place: chosen.get(place, _plain(value)) for place, value in kwargs.items()}
            futures.append(self.submit(*one_args, after=after, **one_kwargs))
        return futures

    def _call_async(
        self, frame: Frame, child: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], after: Any
    ) -> Awaitable[Any] | Any:
        if frame.root.is_async:
            return self._awaited(child, args, kwargs, _futures(after))
        run = frame.run
        if run.on_loop():
            raise KitaruContextError(
                f"checkpoint `{self.spec.name}` is async, and `{frame.name}`, a `def` function, runs on the event "
                f"loop it needs. Make `{frame.name}` `async def` and await the call."
            )
        return run.submissions().start(child, args, kwargs, _futures(after)).result()

    async def _awaited(self, child: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], after: Sequence[Any]) -> Any:
        for earlier in after:
            await earlier.ended()
        if child.run.submitted is not None:
            from kitaru.runtime import futures

            given, named = args, kwargs
            args, kwargs = await futures.resolve_all(given, named)
            child.parents = futures.sources(given, named)
        return await calls.perform_async(child, args, kwargs)

    def __repr__(self) -> str:
        return f"<checkpoint {self.spec.name!r}>"


@overload
def checkpoint(func: Callable[P, R], /) -> CheckpointDefinition[P, R]: ...
@overload
def checkpoint(
    *,
    retries: int | None = None,
    type: str | None = None,
    runtime: str | None = None,
    cache: bool | None = None,
    backoff: float = 0.0,
    backoff_factor: float = 2.0,
    backoff_max: float = 60.0,
    jitter: bool = False,
    retry_on: Any = None,
    timeout: float | None = None,
    effect: Literal["once"] | None = None,
    in_doubt: Literal["ask", "retry", "fail"] | Callable[[Any], Any] | None = None,
) -> Callable[[Callable[P, R]], CheckpointDefinition[P, R]]: ...
def checkpoint(
    func: Callable[..., Any] | None = None,
    /,
    *,
    retries: int | None = None,
    type: str | None = None,
    runtime: str | None = None,
    cache: bool | None = None,
    backoff: float = 0.0,
    backoff_factor: float = 2.0,
    backoff_max: float = 60.0,
    jitter: bool = False,
    retry_on: Any = None,
    timeout: float | None = None,
    effect: Literal["once"] | None = None,
    in_doubt: Literal["ask", "retry", "fail"] | Callable[[Any], Any] | None = None,
) -> Any:
    """Make a ``def`` or ``async def`` function a checkpoint: once a call has returned, it is never run again.

    Args:
        retries: extra tries after a failed one; default: the flow's; an explicit 0 opts out of the flow's.
        type: a free label for people and dashboards (``"llm_call"``, ``"tool_call"``, ...).
        runtime: ``"inline"`` (in the flow's process, the default) or ``"isolated"`` (in a process or pod of its own).
        cache: reuse the result of an equal call of an earlier execution; default: the flow's setting, off.
        backoff: seconds before the first extra try; each further pause is ``backoff_factor`` times longer, up to
            ``backoff_max``; with ``jitter`` it is a random part (half to all) of that.
        retry_on: exception types, or a function of the exception, that may be tried again; default: every Exception.
        timeout: seconds an attempt may take. A sync body cannot be stopped: its attempt fails at the deadline, what it
            does later is not recorded, and its side effects may overlap the next attempt.
        effect: ``"once"``: the body must not run a second time without a decision. An intent is committed before it
            runs; any end but a recorded return leaves the call in doubt. Retried are only the types that ``retry_on``
            names: they say that the effect has not happened.
        in_doubt: what decides when a call in doubt comes up again: ``"ask"`` (the default: a wait that a human
            answers), ``"retry"`` (run it again, with the same idempotency key), ``"fail"`` (KitaruInDoubtError), or a
            function that is given an :class:`~kitaru.runtime.effects.InDoubt` and looks the effect up.

    Raises:
        KitaruUsageError: a value out of range, an unknown ``runtime``, a parameter with a reserved name.
    """
    policy = _policy(retries, backoff, backoff_factor, backoff_max, jitter, retry_on, timeout)
    isolated = _runtime(runtime) == "isolated"
    if effect is not None or in_doubt is not None:
        policy = _effect_policy(policy, effect, in_doubt, cache)
        cache = False  # never answered by another execution, also where the flow reuses results

    def decorate(function: Callable[..., Any]) -> CheckpointDefinition[Any, Any]:
        name, is_async, parameters, every = describe_function(function, "checkpoint")
        refuse_reserved("checkpoint", name, every, _RESERVED, "the call itself")
        if not is_async and inspect.iscoroutinefunction(in_doubt):
            raise KitaruUsageError(
                f"@checkpoint: `{name}` is a `def` function; its in_doubt= function must be one too."
            )
        spec = CheckpointSpec(
            name,
            function,
            is_async,
            parameters,
            policy,
            type,
            isolated,
            cache,
            effect=effect is not None,
            in_doubt=in_doubt or "ask",
        )
        return CheckpointDefinition(spec)

    return decorate if func is None else decorate(func)


def _policy(
    retries: int | None, backoff: float, factor: float, most: float, jitter: bool, retry_on: Any, timeout: float | None
) -> RetryPolicy:
    if retries is not None and (not isinstance(retries, int) or isinstance(retries, bool) or retries < 0):
        raise KitaruUsageError(
            f"@checkpoint(retries={retries!r}): retries must be >= 0 (extra tries after the first one)."
        )
    numbers = {"backoff": backoff, "backoff_factor": factor, "backoff_max": most}
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < float("inf"):
            raise KitaruUsageError(
                f"@checkpoint({name}={number!r}): must be a number of seconds (or a factor), 0 or more."
            )
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0):
        raise KitaruUsageError(f"@checkpoint(timeout={timeout!r}): must be a number of seconds above 0, or None.")
    if isinstance(retry_on, type) and issubclass(retry_on, BaseException):
        retry_on = (retry_on,)
    if isinstance(retry_on, list):
        retry_on = tuple(retry_on)
    named = isinstance(retry_on, tuple) and all(isinstance(t, type) and issubclass(t, BaseException) for t in retry_on)
    if retry_on is not None and not named and not (callable(retry_on) and not isinstance(retry_on, tuple)):
        raise KitaruUsageError(
            f"@checkpoint(retry_on={retry_on!r}): takes exception types or a function of the exception."
        )
    return RetryPolicy(retries, float(backoff), float(factor), float(most), bool(jitter), retry_on, timeout)


def _effect_policy(policy: RetryPolicy, effect: Any, in_doubt: Any, cache: bool | None) -> RetryPolicy:
    if effect != "once":
        raise KitaruUsageError(
            f'@checkpoint(effect={effect!r}, in_doubt={in_doubt!r}): the only effect is "once", and in_doubt= belongs '
            "to it."
        )
    if in_doubt is not None and not callable(in_doubt) and in_doubt not in ("ask", "retry", "fail"):
        raise KitaruUsageError(
            f'@checkpoint(in_doubt={in_doubt!r}): allowed are "ask", "retry", "fail" and a function that looks it up.'
        )
    if cache:
        raise KitaruUsageError(
            '@checkpoint(effect="once", cache=True): an effect is not answered by another execution.'
        )
    if policy.retry_on is None:
        return dataclasses.replace(policy, retry_on=())
    if not isinstance(policy.retry_on, tuple):
        raise KitaruUsageError(
            '@checkpoint(effect="once", retry_on=function): name the exception types after which the effect has '
            "certainly not happened."
        )
    return policy


def _runtime(runtime: Any) -> str | None:
    value = runtime.value if isinstance(runtime, Enum) else runtime
    if value is None:
        return None
    if not isinstance(value, str) or value.strip().lower() not in ("inline", "isolated"):
        raise KitaruUsageError(f"@checkpoint(runtime={runtime!r}): allowed are 'inline' and 'isolated'.")
    return value.strip().lower()


def _futures(after: Any) -> list[Any]:
    if after is None:
        return []
    from kitaru.runtime.futures import CheckpointFuture

    listed = list(after) if isinstance(after, (list, tuple)) else [after]
    for one in listed:
        if not isinstance(one, CheckpointFuture):
            raise KitaruUsageError(
                f"after={one!r}: takes a future, or a list of futures, as `.submit()` and `.map()` give them."
            )
    return listed


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, unmapped) else value


def _spreadable(value: Any) -> Sequence[Any] | None:
    from kitaru.runtime.futures import CheckpointFuture

    if isinstance(value, CheckpointFuture):
        value = value.result()
    if isinstance(value, (str, bytes, bytearray, memoryview, unmapped)) or not isinstance(value, Sequence):
        return None
    return value


def _in_step(name: str, sequences: dict[int | str, Sequence[Any]]) -> list[dict[int | str, Any]]:
    if not sequences:
        raise KitaruUsageError(
            f"`{name}.map()` needs at least one sequence to walk; use `.submit()` for a single call."
        )
    lengths = {place: len(values) for place, values in sequences.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"argument {place}: {length}" for place, length in lengths.items())
        raise KitaruUsageError(
            f"`{name}.map()` walks its sequences in step, but their lengths differ ({told}). Wrap one that every call "
            "should get whole in kitaru.unmapped(...)."
        )
    return [dict(zip(sequences, values, strict=True)) for values in zip(*sequences.values(), strict=True)]


def _crossed(name: str, sequences: dict[int | str, Sequence[Any]]) -> list[dict[int | str, Any]]:
    if not sequences:
        raise KitaruUsageError(f"`{name}.product()` needs at least one sequence; use `.submit()` for a single call.")
    return [dict(zip(sequences, values, strict=True)) for values in itertools.product(*sequences.values())]
