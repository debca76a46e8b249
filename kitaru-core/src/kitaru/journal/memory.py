# STAND-IN until merge
import copy
import threading

from kitaru.errors import *
from kitaru.journal.records import *


class MemoryJournal:
    url = "memory:"
    durability = "full"

    def __init__(self):
        self.l = threading.RLock()
        self.ex = {}
        self.en = {}
        self.v = 0

    def create(self, r, o, s):
        with self.l:
            for x in self.ex.values():
                if r.idempotency_key and x.idempotency_key == r.idempotency_key and x.flow_name == r.flow_name:
                    return Created(copy.copy(x), None, True)
            r = copy.copy(r)
            if o:
                r.owner = o
                r.status = "running"
                r.fence = 1
            self.ex[r.exec_id] = r
            self.en[r.exec_id] = []
            return Created(copy.copy(r), Lease(r.exec_id, 1, 1, 0) if o else None)

    def _chk(self, l):
        if self.ex[l.exec_id].fence != l.fence:
            raise KitaruLeaseError("lost")

    def create_child(self, l, e, r, o, s):
        with self.l:
            self.append(l, [e])
            return self.create(r, o, s)

    def claim(self, i, o, s, accept, alive):
        with self.l:
            x = self.ex[i]
            st = x.status
            if st == "running":
                if x.owner and alive(x.owner) is not False:
                    raise KitaruLeaseError("held")
                st = "interrupted"
            if st not in accept:
                raise KitaruStateError(st)
            prev = x.owner
            x.owner = o
            x.fence += 1
            x.status = "running"
            x.cancel_requested = False
            return Claimed(copy.copy(x), Lease(i, 1, x.fence, 0, len(self.en[i]) + 1), prev)

    def renew(self, ls, s):
        return [l for l in ls if self.ex[l.exec_id].fence != l.fence]

    def append(self, l, es):
        with self.l:
            self._chk(l)
            for e in es:
                e.seq = len(self.en[l.exec_id]) + 1
                self.en[l.exec_id].append(e)

    def finish(self, l, status, *, ended_at, result=None, failure=None, status_reason=None, entries=()):
        with self.l:
            self.append(l, entries)
            x = self.ex[l.exec_id]
            x.status = status
            x.result = result
            x.failure = failure
            x.status_reason = status_reason
            x.owner = None
            x.fence += 1
            self.v += 1

    def suspend(self, l, *, wake_at, entries=()):
        self.append(l, entries)
        x = self.ex[l.exec_id]
        x.status = "waiting"
        x.wake_at = wake_at
        x.owner = None
        x.fence += 1

    def release(self, l, entries=()):
        x = self.ex[l.exec_id]
        if x.fence == l.fence:
            self.append(l, entries)
            x.owner = None
            x.fence += 1

    def request_cancel(self, i, alive):
        with self.l:
            x = self.ex[i]
            if x.status in ("completed", "failed", "cancelled"):
                raise KitaruStateError(x.status)
            if x.owner:
                x.cancel_requested = True
            else:
                x.status = "cancelled"
                x.fence += 1
            for c in list(self.ex.values()):
                if c.parent_exec_id == i and c.status not in ("completed", "failed", "cancelled"):
                    self.request_cancel(c.exec_id, alive)
            self.v += 1
            return copy.copy(x)

    def poll_cancelled(self, ls):
        return [l.exec_id for l in ls if self.ex[l.exec_id].cancel_requested]

    def get(self, i):
        if i not in self.ex:
            raise KitaruNotFoundError(i)
        return copy.copy(self.ex[i])

    def entries(self, i, *, after=0, prefix=None):
        return [copy.copy(e) for e in self.en[i] if e.seq > after and (prefix is None or e.key.startswith(prefix))]

    def find_cached(self, k):
        for es in self.en.values():
            for e in es:
                if e.cache_key == k and e.output:
                    return e.output

    def version(self):
        return self.v
