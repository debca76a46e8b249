"""How Acme stores its type."""

import struct

from acme_kitaru.types import Tensor


class TensorCodec:
    def dump(self, value: Tensor) -> bytes:
        return struct.pack(f"<{len(value.numbers)}d", *value.numbers)

    def load(self, data: bytes) -> Tensor:
        return Tensor(list(struct.unpack(f"<{len(data) // 8}d", data)))
