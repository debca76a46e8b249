"""A post that somebody must approve: the flow lets go, and the answer continues it in a process of its own.

python examples/approval.py
"""

import time

from pydantic import BaseModel

import kitaru
from kitaru import KitaruClient, KitaruWaitingError, checkpoint, flow


class Verdict(BaseModel):
    approved: bool
    comment: str = ""


@checkpoint
def draft(topic: str) -> str:
    return f"Ten things about {topic}."


@checkpoint
def publish(text: str) -> str:
    return f"published: {text}"


@flow
def post(topic: str) -> str:
    text = draft(topic)
    # timeout=0: this process does not stay and wait. In your own flows leave it out, or give it some seconds.
    verdict = kitaru.wait(schema=Verdict, name="approve", question=f"Publish {text!r}?", timeout=0)
    return publish(text) if verdict.approved else f"dropped: {verdict.comment}"


if __name__ == "__main__":
    handle = post.run("waiting")
    try:
        handle.wait()
    except KitaruWaitingError as waiting:
        print(waiting)  # names the command; here we answer ourselves

    client = KitaruClient()
    print("the question:", client.executions.pending_waits(handle.exec_id)[0].question)
    client.executions.input(handle.exec_id, wait="approve", value={"approved": True, "comment": "fine"})
    while not client.executions.status(handle.exec_id).finished:
        time.sleep(0.05)
    print(client.executions.result(handle.exec_id))
