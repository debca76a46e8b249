"""Threads for submitted calls: a pool in which only running bodies count."""

from __future__ import annotations

import _thread
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Work = Callable[[], None]


class Pool:
    """Runs work on daemon threads, at most ``limit`` bodies at a time.

    A body that blocks in a Kitaru primitive gives its slot back (:meth:`blocked`) and waits for one afterwards, so
    bodies that submit more work and wait for it cannot starve each other. Threads are daemons because a timed-out
    body may never return; orderly ends are the run's business, which waits for its calls.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._work: deque[Work] = deque()
        self._lock = threading.Lock()
        self._slot = threading.Condition(self._lock)
        self._running = 0
        self._returning = 0
        self._idle: list[_Worker] = []
        self._closed = False

    def submit(self, work: Work) -> None:
        """Queue ``work``, which must not raise. Starts in order of submission as slots become free."""
        with self._lock:
            self._work.append(work)
            self._dispatch()

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """While inside, the calling thread's slot (if it is one of this pool's) is free for others."""
        if getattr(_current, "pool", None) is not self:
            yield
            return
        with self._lock:
            self._running -= 1
            self._dispatch()
        try:
            yield
        finally:
            with self._lock:
                self._returning += 1
                while self._running >= self._limit:
                    self._slot.wait()
                self._returning -= 1
                self._running += 1

    def close(self) -> None:
        """Let idle threads end. Work in progress is not stopped."""
        with self._lock:
            self._closed = True
            for worker in self._idle:
                worker.wake.release()
            self._idle.clear()

    def take(self, worker: _Worker) -> Work | None:
        """For workers: the next work after one ended, or None after which the worker is parked or ends."""
        with self._lock:
            self._running -= 1
            if self._returning:
                self._slot.notify()
            elif self._work:
                self._running += 1
                return self._work.popleft()
            if not self._closed:
                self._idle.append(worker)
            else:
                worker.wake.release()
            return None

    def _dispatch(self) -> None:
        # Those that come back from a blocking primitive go first: they hold results that others wait for.
        if self._returning:
            self._slot.notify()
        while self._work and self._running + self._returning < self._limit:
            self._running += 1
            work = self._work.popleft()
            if self._idle:
                worker = self._idle.pop()
                worker.work = work
                worker.wake.release()
            else:
                _Worker(self, work).start()


class _Worker:
    """A daemon thread without a Thread object: `Thread.start` waits until the new thread has run, which with 200 busy
    bodies costs more than the bodies themselves."""

    __slots__ = ("pool", "wake", "work")

    def __init__(self, pool: Pool, work: Work) -> None:
        self.pool = pool
        self.work: Work | None = work
        self.wake = threading.Semaphore(0)

    def start(self) -> None:
        _thread.start_new_thread(self._serve, ())

    def _serve(self) -> None:
        _current.pool = self.pool
        while self.work is not None:
            work, self.work = self.work, None
            work()
            self.work = self.pool.take(self)
            if self.work is None:
                self.wake.acquire()  # parked: whoever wakes us has set our work, or nothing at the end


_current = threading.local()
