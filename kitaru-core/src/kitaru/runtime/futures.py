"""The result of a call that runs concurrently, as the flow's code holds it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kitaru.errors import KitaruStateError, KitaruTimeoutError

if TYPE_CHECKING:
    from kitaru.runtime.context import Frame

T = TypeVar("T")


class CheckpointFuture(Generic[T]):
    """Result of ``.submit()``: get it with :meth:`result`, ``await``, or by passing the future to another checkpoint.

    A failure that nobody collects fails the execution when the flow body ends.
    """

    __slots__ = ("_frame", "_future", "_name", "_run", "collected")

    def __init__(self, frame: Frame, future: concurrent.futures.Future[T]) -> None:
        self._frame = frame
        self._run = frame.run
        self._name = frame.name
        self._future = future
        self.collected = False

    def result(self, timeout: float | None = None) -> T:
        """The call's value; blocks until it is there.

        Raises:
            KitaruTimeoutError: ``timeout`` seconds passed; the call goes on.
            KitaruStateError: called on the event loop that the call needs; ``await`` the future there.
            Exception: whatever the call raised.
        """
        self.collected = True
        if not self._future.done():
            if self._run.on_loop():
                raise KitaruStateError(
                    f"result() of `{self._name}` would block the event loop it runs on. Write `await future` instead."
                )
            if not self._run.wait_for(self._future, timeout):
                raise KitaruTimeoutError(
                    f"`{self._name}` has not finished within {timeout} s; it goes on running. "
                    "Call result() again to keep waiting."
                )
        return self._future.result()

    def load(self) -> T:
        """The same as :meth:`result`, for code written against artifact handles."""
        return self.result()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the call has ended, well or badly; False when ``timeout`` seconds passed first."""
        return self._future.done() or self._run.wait_for(self._future, timeout)

    def done(self) -> bool:
        """Whether the call has ended."""
        return self._future.done()

    def running(self) -> bool:
        """Whether the call has not ended yet."""
        return not self._future.done()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None; waits like :meth:`result`."""
        try:
            self.result(timeout)
        except KitaruTimeoutError:
            if not self._future.done():
                raise
        except Exception:  # noqa: S110  its own outcome, returned below
            pass
        return self._future.exception()

    @property
    def key(self) -> str:
        """The call's key; final once the call has begun."""
        return self._frame.key

    def exception_now(self) -> BaseException | None:
        """What an ended call raised, or None; does not count as looking at the result."""
        return self._future.exception()

    async def ended(self) -> None:
        """Wait for the call's end, well or badly, without looking at its result."""
        if not self._future.done():
            await asyncio.wait([asyncio.wrap_future(self._future)])

    def __await__(self) -> Generator[Any, None, T]:
        self.collected = True
        return self._wait_async().__await__()

    async def _wait_async(self) -> T:
        async with self._run.gate_released():
            # shield: cancelling one waiter must not cancel the call, which others may wait for too.
            return await asyncio.shield(asyncio.wrap_future(self._future))

    def __iter__(self) -> Iterator[Any]:
        value = self.result()
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"`{self._name}` returned {type(value).__name__}, not several outputs: use result().")
        return iter(value)

    def __getitem__(self, index: Any) -> Any:
        value: Any = self.result()
        return value[index]

    def __repr__(self) -> str:
        return f"<CheckpointFuture of {self._name!r}: {'done' if self._future.done() else 'running'}>"


def resolve(value: Any) -> Any:
    """``value`` with futures replaced by their results: itself, or one level inside a list, tuple or dict."""
    kind = type(value)
    if kind is CheckpointFuture:
        return value.result()
    if kind is list or kind is tuple:
        if any(type(item) is CheckpointFuture for item in value):
            return kind(item.result() if type(item) is CheckpointFuture else item for item in value)
    elif kind is dict and any(type(item) is CheckpointFuture for item in value.values()):
        return {key: item.result() if type(item) is CheckpointFuture else item for key, item in value.items()}
    return value


def sources(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """Keys of the calls whose futures are among the arguments of a call, where :func:`resolve` would find them."""
    return [one.key for value in (*args, *kwargs.values()) for one in _members(value) if type(one) is CheckpointFuture]


async def resolve_all(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Await the futures among the arguments of a call, where :func:`resolve` would find them, and resolve them."""
    for value in (*args, *kwargs.values()):
        for item in _members(value):
            if type(item) is CheckpointFuture:
                await item
    return tuple(resolve(value) for value in args), {name: resolve(value) for name, value in kwargs.items()}


def _members(value: Any) -> Iterable[Any]:
    kind = type(value)
    if kind is list or kind is tuple:
        return value  # type: ignore[no-any-return]
    return value.values() if kind is dict else (value,)
