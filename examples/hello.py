"""The smallest durable flow. Run it twice: the second run is the same execution, and nothing runs again.

python examples/hello.py
"""

from kitaru import checkpoint, flow


@checkpoint
def greet(name: str) -> str:
    print(f"(greeting {name}: this line appears once)")
    return f"Hello, {name}!"


@flow
def hello(name: str) -> str:
    return greet(name)


if __name__ == "__main__":
    handle = hello.run("world", idempotency_key="hello-world")
    print(handle.wait())
    print(f"kitaru executions get {handle.exec_id}")
