# STAND-IN until merge
import json, pickle
from dataclasses import dataclass
@dataclass(slots=True)
class Encoded:
    codec: str
    data: bytes
class Codec:
    def __init__(self, *, allow_pickle=True, serializers=(), aliases=None): self.allow_pickle=allow_pickle
    def encode(self, v):
        try:
            s=json.dumps(v)
            if json.loads(s)==v and not isinstance(v,tuple): return Encoded("json", s.encode())
        except Exception: pass
        from kitaru.errors import KitaruSerializationError
        try: return Encoded("pickle", pickle.dumps(v))
        except Exception as e: raise KitaruSerializationError(str(e)) from e
    def decode(self, c, d): return json.loads(d) if c=="json" else pickle.loads(d)
