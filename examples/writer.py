"""An agent that outlines, writes and asks a person before it publishes; every answer of the model is paid for once.

python examples/writer.py

It runs without a key: KITARU_LLM_MOCK_RESPONSE stands for the model's answers. Take that line out, `pip install
'kitaru[llm]'` and set OPENAI_API_KEY to ask a real one.
"""

import os
import time

import kitaru
from kitaru import Budget, KitaruClient, checkpoint, flow, llm

os.environ.setdefault("KITARU_LLM_MOCK_RESPONSE", "Journals make agents durable.")
MODEL = os.environ.get("KITARU_DEFAULT_MODEL", "openai/gpt-4o-mini")


@checkpoint
def publish(text: str) -> str:
    return f"published: {text}"


@flow(budget=Budget(usd=0.50, on_exhausted="wait"))
def article(topic: str) -> str:
    outline = llm(f"Outline an article about {topic}.", model=MODEL, name="outline")
    text = llm(f"Write it, in one sentence: {outline}", model=MODEL, name="text")
    if kitaru.wait(name="approve", schema=bool, question=f"Publish {text!r}?"):
        return publish(text)
    return "dropped"


if __name__ == "__main__":
    handle = article.run("durable execution")
    client = KitaruClient()
    while not client.executions.pending_waits(handle.exec_id):  # a person would answer, perhaps tomorrow
        time.sleep(0.01)
    client.executions.input(handle.exec_id, wait="approve", value=True)
    print(handle.wait())
    for call in client.executions.get(handle.exec_id).checkpoints:
        print(call.invocation_id, call.status.value)
