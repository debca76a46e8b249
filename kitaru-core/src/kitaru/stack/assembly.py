# STAND-IN
from dataclasses import dataclass

from kitaru.journal.codec import Codec
from kitaru.journal.memory import MemoryJournal
from kitaru.runtime.capture import Capture
from kitaru.runtime.clock import Clock
from kitaru.runtime.kernel import Kernel


@dataclass
class RunOptions:
    stack: object = None
    image: object = None
    cache: object = None
    retries: object = None
    idempotency_key: object = None


blobs = {}


class B:
    def put(s, k, d):
        blobs[k] = bytes(d)

    def get(s, k):
        return blobs[k]


logs = []
K = None


def open_kernel():
    global K
    if K is None:
        K = Kernel(MemoryJournal(), Codec(), B, capture=Capture(lambda i, r: logs.extend(r), Clock()))
    return K


def start_flow(spec, args, kwargs, o):
    k = open_kernel()
    l = k.create(spec, args, kwargs, idempotency_key=o.idempotency_key)
    if l.existed:
        return k, l.record.exec_id, k.continue_existing(l, spec)
    return k, l.record.exec_id, k.start(l.record.exec_id)
