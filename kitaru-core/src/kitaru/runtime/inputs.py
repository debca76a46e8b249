# STAND-IN until merge
import hashlib
import json
from dataclasses import dataclass


@dataclass(slots=True)
class EncodedInputs:
    data: bytes
    digest: bytes | None
    mutable: tuple


@dataclass
class Difference:
    argument: str
    recorded: str
    now: str


def encode_inputs(parameters, args, kwargs, codec, inline_limit=1):
    d = {}
    for i, a in enumerate(args):
        d[parameters[i] if i < len(parameters) else f"args[{i}]"] = a
    d.update(kwargs)
    b = json.dumps(d, default=repr).encode()
    return EncodedInputs(b, hashlib.sha256(b).digest(), ())


def decode_inputs(data, parameters, codec):
    return (), json.loads(data)


def changed_arguments(*a):
    return []


def compare(a, b):
    a = json.loads(a)
    b = json.loads(b)
    return [Difference(k, repr(a.get(k)), repr(b.get(k))) for k in {**a, **b} if a.get(k) != b.get(k)]
