"""Results that a test gives in place of what a checkpoint would do."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

from kitaru.errors import KitaruUsageError
from kitaru.runtime import calls
from kitaru.runtime.context import Frame
from kitaru.runtime.specs import CheckpointSpec

_NOTHING: Any = object()


class Fake:
    """Stands for the body of every checkpoint of one name. ``calls``: arguments of the calls that reached it."""

    def __init__(self, name: str, answer: Callable[..., Any]) -> None:
        self.name = name
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._answer = answer
        self._lock = threading.Lock()

    def answer(self, *args: Any, **kwargs: Any) -> Any:
        """What the body would have returned or raised."""
        with self._lock:
            self.calls.append((args, kwargs))
        return self._answer(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<fake of checkpoint {self.name!r}, called {len(self.calls)} times>"


class Fakes:
    """The fakes of one test. Only the body is replaced: keys, retries, journal and resume are the real ones."""

    def __init__(self) -> None:
        self._fakes: dict[str, Fake] = {}
        self._prepare = calls.prepare

    def add(self, checkpoint: Any, returns: Any = _NOTHING, raises: Any = None, runs: Any = None) -> Fake:
        """See :meth:`kitaru.testing.store.KitaruStore.fake`."""
        if [returns is not _NOTHING, raises is not None, runs is not None].count(True) != 1:
            raise KitaruUsageError("a fake takes exactly one of returns=, raises= and runs=.")
        name = checkpoint if isinstance(checkpoint, str) else getattr(getattr(checkpoint, "spec", None), "name", None)
        if not isinstance(name, str) or not name.strip():
            raise KitaruUsageError(f"{checkpoint!r} is neither a checkpoint nor the name of one.")
        answer = runs if runs is not None else _raising(raises) if raises is not None else lambda *_, **__: returns
        if not callable(answer):
            raise KitaruUsageError("runs= takes a function, which is called with the arguments of the checkpoint.")
        fake = self._fakes[name] = Fake(name, answer)
        # Every call gets its checkpoint here and nowhere else, so a name covers checkpoints that are defined later.
        calls.prepare = self._prepare_faked
        return fake

    def remove(self) -> None:
        """Let every checkpoint run its own body again."""
        self._fakes.clear()
        calls.prepare = self._prepare

    def _prepare_faked(self, frame: Frame, spec: CheckpointSpec, explicit: str | None) -> Frame:
        child = self._prepare(frame, spec, explicit)
        fake = self._fakes.get(spec.name)
        if fake is not None:
            body = _awaited(fake) if spec.is_async else fake.answer
            child.spec = dataclasses.replace(spec, function=body, isolated=False)
        return child


def _raising(error: Any) -> Callable[..., Any]:
    if not isinstance(error, BaseException) and not (isinstance(error, type) and issubclass(error, BaseException)):
        raise KitaruUsageError(f"raises={error!r} is no exception.")

    def answer(*_: Any, **__: Any) -> Any:
        raise error

    return answer


def _awaited(fake: Fake) -> Callable[..., Any]:
    async def answer(*args: Any, **kwargs: Any) -> Any:
        value = fake.answer(*args, **kwargs)
        return await value if hasattr(value, "__await__") else value

    return answer
