"""A payment that may or may not have gone out: it is in doubt, and looked up before anything is paid twice.

python examples/payment.py
"""

import kitaru
from kitaru import InDoubt, KitaruClient, KitaruUserCodeError, checkpoint, flow


class Bank:
    """The other side. It books what arrives, also when its answer gets lost on the way back."""

    def __init__(self) -> None:
        self.booked: dict[str, int] = {}
        self.line_is_bad = True

    def pay(self, cents: int, key: str) -> str:
        self.booked[key] = cents
        if self.line_is_bad:
            raise ConnectionError("the line went dead after the request was sent")
        return f"receipt for {cents}"


bank = Bank()


def look_up(doubt: InDoubt) -> object:
    """Ask the bank: was it booked under this key? Then that is the result; if not, the payment may run again."""
    print(f"{doubt.invocation_id} is in doubt: {doubt.reason}")
    cents = bank.booked.get(doubt.idempotency_key)
    return f"receipt for {cents}, found at the bank" if cents is not None else doubt.run_again()


@checkpoint(effect="once", in_doubt=look_up)
def pay(cents: int) -> str:
    key = kitaru.current().idempotency_key
    assert key is not None
    return bank.pay(cents, key)


@flow
def order(cents: int) -> str:
    return pay(cents)


if __name__ == "__main__":
    handle = order.run(990)
    try:
        handle.wait()
    except KitaruUserCodeError as error:
        print(f"failed: {error.__cause__}")
    client = KitaruClient()
    print("the call is", client.executions.get(handle.exec_id).checkpoints[0].status)

    client.executions.retry(handle.exec_id)  # a crash and `kitaru executions resume` come to the same
    for _ in client.executions.watch(handle.exec_id):
        pass
    print(client.executions.result(handle.exec_id))
    print("payments made:", len(bank.booked))
