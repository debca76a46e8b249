from dataclasses import dataclass


@dataclass(slots=True)
class LogRecord:
    timestamp: int
    level: str
    message: str
    source: str
    call_id: str | None = None
    invocation_id: str | None = None
    checkpoint_name: str | None = None
    attempt: int | None = None
    logger: str | None = None
    module: str | None = None
    filename: str | None = None
    lineno: int | None = None
