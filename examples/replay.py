"""One bad step in a finished run: put it right, and pay only for what depends on it.

python examples/replay.py
"""

from kitaru import KitaruClient, checkpoint, flow

SOURCES = ["the manual", "the forum", "the changelog"]
paid: list[str] = []


@checkpoint
def summarise(source: str) -> str:
    paid.append(f"summarise {source}")
    return f"nonsense about {source}" if source == "the forum" else f"facts from {source}"


@checkpoint
def combine(summaries: list[str]) -> str:
    paid.append("combine")
    return "; ".join(summaries)


@flow
def report(sources: list[str], style: str = "plain") -> str:
    return f"[{style}] {combine([summarise(source) for source in sources])}"


if __name__ == "__main__":
    first = report.run(SOURCES)
    print(first.wait())
    print("paid for:", paid)

    # One summary is nonsense. Put a better one in its place: only `combine` depends on it.
    paid.clear()
    second = report.replay(first.exec_id, overrides={"checkpoint.summarise#2": "facts from the forum"})
    print(second.wait())
    print("paid for:", paid)

    # Another source: its summary is new, the others are found though their places have changed.
    paid.clear()
    third = report.replay(second.exec_id, sources=["the code", *SOURCES], style="bold")
    print(third.wait())
    print("paid for:", paid)

    for call in KitaruClient().executions.get(third.exec_id).checkpoints:
        print(f"{call.invocation_id:14}", "reused" if call.original_call_id else "ran")
