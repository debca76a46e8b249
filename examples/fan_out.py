"""Work on many things at once: each call is recorded on its own, so a killed run repeats only what had not ended.

python examples/fan_out.py
"""

import time

from kitaru import checkpoint, flow, unmapped


@checkpoint
def fetch(source: str) -> str:
    time.sleep(0.1)  # stands for a slow download
    return f"the text of {source}"


@checkpoint
def count(text: str, letter: str) -> int:
    return text.count(letter)


@flow(max_concurrency=8)
def survey(sources: list[str], letter: str) -> dict[str, int]:
    texts = fetch.map(sources)  # a list of futures, running at once
    counts = count.map(texts, unmapped(letter))  # each starts as soon as its text is there
    return {source: future.result() for source, future in zip(sources, counts, strict=True)}


if __name__ == "__main__":
    found = survey.run([f"page {number}" for number in range(12)], letter="t").wait()
    print(f"{sum(found.values())} times in {len(found)} pages")
