"""A tool that fails now and then: attempts with growing pauses, each one on record with its traceback.

python examples/retrying.py
"""

from kitaru import KitaruClient, checkpoint, current, flow


class BusyError(Exception):
    """The service asks to come back later."""


@checkpoint(retries=3, backoff=0.05, backoff_factor=2.0, retry_on=BusyError, timeout=10.0)
def ask(question: str) -> str:
    if current().attempt < 3:
        raise BusyError("try again later")
    return f"the answer to {question!r}"


@checkpoint
def fragile() -> None:
    raise LookupError("nothing there")


@flow
def persistent(question: str) -> str:
    try:
        fragile()
    except LookupError as error:  # failures arrive as what they are; on a resume this one is met again, not repeated
        print(f"going on without it: {error}")
    return ask(question)


if __name__ == "__main__":
    handle = persistent.run("why")
    print(handle.wait())
    for call in KitaruClient().executions.get(handle.exec_id).checkpoints:
        print(call.invocation_id, [attempt.status.value for attempt in call.attempts])
