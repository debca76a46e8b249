"""kitaru.save() and kitaru.load(), client.artifacts, and which calls a call was given results of."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.artifacts import safe_save
from kitaru.errors import (
    KitaruArtifactNotFoundError,
    KitaruContextError,
    KitaruCorruptionError,
    KitaruSerializationError,
    KitaruUsageError,
)
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly


def refused(function: Any, *args: Any, **kwargs: Any) -> str:
    """What a checkpoint is told when it calls ``function`` so."""
    try:
        function(*args, **kwargs)
    except kitaru.KitaruError as error:
        return f"{type(error).__name__}: {error}"
    return "not refused"


@dataclasses.dataclass
class Draft:
    text: str


@checkpoint
def write(topic: str) -> str:
    kitaru.save("draft", Draft(topic), type=" Response ", tags=["a", "b"])
    kitaru.save("big", "x" * 100_000, type="blob")
    return f"about {topic}"


@checkpoint
def read(exec_id: str, name: str) -> Any:
    return kitaru.load(exec_id, name)


@flow
def writing() -> str:
    return write("whales")


@flow
def loading(exec_id: str, name: str) -> Any:
    return read(exec_id, name)


@flow
def asking(name: str) -> Any:
    write("whales")
    return read(kitaru.current().exec_id, name)


# -- save and load ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"), [("draft", Draft("whales")), ("big", "x" * 100_000), ("write", "about whales")]
)
def test_another_execution_loads_what_was_saved_or_returned(name: str, value: Any) -> None:
    source = writing.run()
    source.wait()
    assert loading.run(source.exec_id, name).wait() == value
    assert asking.run(name).wait() == value


def test_outside_a_checkpoint_both_are_refused_whatever_their_arguments() -> None:
    @flow
    def bad() -> list[str]:
        return [refused(kitaru.save, "", 1, type="nonsense"), refused(kitaru.load, "no-uuid", "")]

    for told in bad.run().wait():
        assert told.startswith("KitaruContextError") and "inside a checkpoint" in told
    with pytest.raises(KitaruContextError, match="nothing is running here"):
        kitaru.save("a", 1)


@checkpoint
def misuse() -> list[str]:
    return [
        refused(kitaru.save, "a", 1, type="nonsense"),
        refused(kitaru.save, " ", 1),
        refused(kitaru.save, "a", 1, tags="text"),
        refused(kitaru.load, "no-uuid", "a"),
        refused(kitaru.load, "00000000-0000-4000-8000-000000000000", "a"),
        refused(kitaru.load, kitaru.current().exec_id, "nothing"),
    ]


@flow
def misusing() -> list[str]:
    return misuse()


def test_bad_arguments_say_what_is_allowed() -> None:
    kind, name, tags, no_uuid, nowhere, nothing = misusing.run().wait()
    assert kind.startswith("KitaruUsageError") and "blob, context, input, output, prompt, response" in kind
    assert name.startswith("KitaruUsageError") and tags.startswith("KitaruUsageError")
    assert no_uuid.startswith("KitaruUsageError") and "'no-uuid'" in no_uuid
    assert nowhere.startswith("KitaruRuntimeError") and "no execution 0000" in nowhere
    assert nothing.startswith("KitaruRuntimeError") and "no artifact `nothing`" in nothing


def test_a_value_that_cannot_be_stored_fails_the_save(kernel: Kernel) -> None:
    @checkpoint
    def bad() -> None:
        kitaru.save("generator", (n for n in range(3)))

    @flow
    def badly() -> None:
        bad()

    with pytest.raises(Exception, match="generator") as caught:
        badly.run().wait()
    assert isinstance(caught.value.__cause__, KitaruSerializationError)


@checkpoint
def twice() -> int:
    kitaru.save("same", 1)
    kitaru.save("same", 2)
    kitaru.save("twice", 3)
    return 4


@checkpoint
def several(exec_id: str) -> list[str]:
    return [refused(kitaru.load, exec_id, "same"), refused(kitaru.load, exec_id, "twice")]


@flow
def ambiguous() -> list[str]:
    twice()
    return several(kitaru.current().exec_id)


def test_an_ambiguous_name_lists_its_candidates() -> None:
    same, both = ambiguous.run().wait()
    assert same.startswith("KitaruRuntimeError") and same.count("call twice / artifact same / manual") == 2
    assert "artifact twice / manual" in both and "artifact twice / output" in both


@checkpoint
def part(number: int) -> int:
    return number * 10


@checkpoint
def loaded(exec_id: str) -> list[Any]:
    return [kitaru.load(exec_id, "part"), kitaru.load(exec_id, "part#2"), kitaru.load(exec_id, "mine")]


@flow
def parts() -> list[Any]:
    part(1)
    part(2)
    part(3, id="mine")
    return loaded(kitaru.current().exec_id)


def test_calls_of_one_checkpoint_are_told_apart_by_their_invocation_ids() -> None:
    assert parts.run().wait() == [10, 20, 30]


@checkpoint(retries=1)
def retried() -> int:
    attempt = kitaru.current().attempt
    kitaru.save("progress", attempt)
    kitaru.save("progress", attempt + 10)
    if attempt == 1:
        kitaru.save("clue", "why it failed")
        raise ValueError
    return attempt


@flow
def retrying() -> int:
    return retried()


def test_a_later_attempt_replaces_what_an_earlier_one_saved() -> None:
    handle = retrying.run()
    handle.wait()
    found = KitaruClient().artifacts.list(handle.exec_id)
    assert [(one.name, one.load()) for one in found] == [
        ("clue", "why it failed"), ("progress", 2), ("progress", 12), ("retried", 2)
    ]  # fmt: skip


@checkpoint(runtime="isolated")
def apart(topic: str) -> str:
    kitaru.save("notes", {"topic": topic})
    kitaru.save("large", topic * 20_000, type="blob")
    kitaru.log(cost=3)
    return topic


@flow
def isolating() -> str:
    return apart("sea")


def test_an_isolated_body_saves_and_logs_too() -> None:
    handle = isolating.run()
    handle.wait()
    (call,) = KitaruClient().executions.get(handle.exec_id).checkpoints
    assert call.metadata == {"cost": 3}
    assert {one.name: one.load() for one in call.artifacts} == {
        "notes": {"topic": "sea"}, "large": "sea" * 20_000, "apart": "sea"
    }  # fmt: skip


def test_equal_large_values_are_stored_once(own_store: Path) -> None:
    @checkpoint
    def same(number: int) -> str:
        return "y" * 50_000

    @flow
    def all_the_same() -> int:
        return sum(len(same(number)) for number in range(5))

    assert all_the_same.run().wait() == 250_000
    blobs = [path for path in own_store.rglob("*") if path.is_file() and path.parent.name == "sha256"]
    assert len(blobs) == 1


def test_safe_save_falls_back_to_what_can_be_said() -> None:
    saved: list[Any] = []

    def picky(name: str, value: Any, *, type: str) -> None:
        saved.append((name, value, type))
        if type != "blob":
            raise TypeError("no")

    assert safe_save("p", 1 + 2j, artifact_type="prompt", save_func=picky) == "blob"
    assert saved == [("p", 1 + 2j, "prompt"), ("p", {"repr": "(1+2j)", "python_type": "complex"}, "blob")]
    assert safe_save("p", 1, artifact_type="blob", save_func=picky) == "blob"

    def broken(name: str, value: Any, *, type: str) -> None:
        raise OSError(type)

    with pytest.raises(OSError, match="blob"):
        safe_save("p", 1, artifact_type="prompt", save_func=broken)


# -- the client -------------------------------------------------------------------------------------------------


def test_the_client_lists_and_filters_artifacts() -> None:
    handle = writing.run()
    handle.wait()
    artifacts = KitaruClient().artifacts
    draft, big, result = artifacts.list(handle.exec_id)
    assert (draft.name, draft.kind, draft.save_type, draft.producing_call) == ("draft", "response", "manual", "write")
    assert draft.metadata["tags"] == ["a", "b"] and draft.metadata["kitaru_artifact_type"] == "response"
    assert (result.name, result.kind, result.save_type, result.load()) == ("write", None, "output", "about whales")
    assert artifacts.list(handle.exec_id, kind="blob") == [big]
    assert artifacts.list(handle.exec_id, name="draft", producing_call="write") == [draft]
    assert artifacts.list(handle.exec_id, producing_call="nobody") == []
    assert artifacts.list(handle.exec_id, limit=1) == [draft]
    assert artifacts.get(big.artifact_id) == big and artifacts.get(big.artifact_id).load() == "x" * 100_000
    with pytest.raises(KitaruUsageError, match="limit=0"):
        artifacts.list(handle.exec_id, limit=0)


def test_an_unknown_artifact_is_named() -> None:
    handle = writing.run()
    handle.wait()
    artifacts = KitaruClient().artifacts
    for unknown in (f"{handle.exec_id}:999", "00000000-0000-4000-8000-000000000000:1"):
        with pytest.raises(KitaruArtifactNotFoundError, match=unknown):
            artifacts.get(unknown)
    for malformed in ("", "x", f"{handle.exec_id}:", f"{handle.exec_id}:²"):
        with pytest.raises(KitaruUsageError):
            artifacts.get(malformed)


def test_a_corrupted_artifact_is_named_by_its_id(own_store: Path) -> None:
    handle = writing.run()
    handle.wait()
    (blob,) = [path for path in own_store.rglob("*") if path.is_file() and path.parent.name == "sha256"]
    blob.write_bytes(b"z" * blob.stat().st_size)
    (big,) = KitaruClient().artifacts.list(handle.exec_id, name="big")
    with pytest.raises(KitaruCorruptionError) as caught:
        big.load()
    assert big.artifact_id in str(caught.value) and "`big`" in str(caught.value)
    blob.unlink()
    with pytest.raises(KitaruArtifactNotFoundError):
        big.load()


# -- lineage ----------------------------------------------------------------------------------------------------


@checkpoint
def make(what: Any) -> Any:
    return {"made": what} if isinstance(what, str) else what


@checkpoint
def use(*values: Any, **named: Any) -> int:
    return 7


def parents(exec_id: str) -> dict[str, list[str]]:
    calls = KitaruClient().executions.get(exec_id).checkpoints
    names = {call.call_id: call.invocation_id for call in calls}
    return {call.invocation_id: [names[one] for one in call.parent_call_ids] for call in calls}


@flow
def passing() -> int:
    first, second = make("a"), make("b")
    use(first)
    use(second, other=first)
    use([first, 1], {"k": second})
    use({"made": "a"})  # equal to the first result, but not it
    return use(use(1))  # a number says nothing of where it comes from


def test_results_are_followed_from_call_to_call() -> None:
    handle = passing.run()
    handle.wait()
    assert parents(handle.exec_id) == {
        "make": [], "make#2": [], "use": ["make"], "use#2": ["make#2", "make"], "use#3": ["make", "make#2"],
        "use#4": [], "use#5": [], "use#6": [],
    }  # fmt: skip


@flow
def futures() -> int:
    number = use.submit(1)
    made = make.map(["a", "b"])
    together = use.submit(number, made[1])
    return use(together, [made[0]]) if together.result() else 0


def test_futures_are_followed_whatever_their_value_is() -> None:
    handle = futures.run()
    handle.wait()
    assert parents(handle.exec_id) == {
        "use": [], "make": [], "make#2": [], "use#2": ["use", "make#2"], "use#3": ["use#2", "make"]
    }  # fmt: skip


@checkpoint
def constant(number: int) -> str:
    return "a text that is the same constant every time"


@checkpoint
def word(number: int) -> str:
    return "same"


@flow
def constants() -> int:
    one, two = constant(1), constant(2)
    word(3)
    use("same")
    return use(one) + use(two)


def test_constants_are_nobodys_results() -> None:
    handle = constants.run()
    handle.wait()
    assert [parents(handle.exec_id)[name] for name in ("use", "use#2", "use#3")] == [[], [], []]


@checkpoint
def through(value: Any) -> Any:
    return value


@flow
def passing_through() -> int:
    return use(through(make("a")))


def test_a_value_that_is_passed_on_comes_from_the_last_call_that_gave_it() -> None:
    handle = passing_through.run()
    handle.wait()
    assert parents(handle.exec_id)["through"] == ["make"]
    assert parents(handle.exec_id)["use"] == ["through"]


@checkpoint
def large(letter: str) -> Any:
    return {"text": letter * 40_000, "all": list(range(5000))}


@flow
def large_ones() -> int:
    return use(large("x"), other=large("y"))


def test_large_results_are_followed_without_being_kept() -> None:
    handle = large_ones.run()
    handle.wait()
    assert parents(handle.exec_id)["use"] == ["large", "large#2"]


def test_results_are_not_kept_alive() -> None:
    gone: list[bool] = []

    @checkpoint
    def heavy(size: int) -> Any:
        return Draft("x" * size)

    @flow
    def dropping() -> int:
        for size in (10, 100_000):
            value = heavy(size)
            watch = weakref.ref(value)
            del value
            gc.collect()
            gone.append(watch() is None)
        return 1

    dropping.run().wait()
    assert gone == [True, True]


stops = [True]


@checkpoint
def maybe(value: Any) -> int:
    if stops[0]:
        raise RuntimeError("not yet")
    return 1


@flow
def resumed() -> int:
    return maybe(make("a")) + use(make.submit("b"))


def test_recorded_results_are_followed_after_a_resume(kernel: Kernel) -> None:
    handle = resumed.run()
    with pytest.raises(Exception, match="not yet"):
        handle.wait()
    stops[0] = False
    kernel.retry(handle.exec_id).done.wait(30)
    assert parents(handle.exec_id) == {"make": [], "maybe": ["make"], "make#2": [], "use": ["make#2"]}


def test_two_clients_see_the_same(kernel: Kernel) -> None:
    handle = writing.run()
    handle.wait()
    before = KitaruClient().executions.get(handle.exec_id)
    assembly.reset()
    after = KitaruClient().executions.get(handle.exec_id)
    assert before == after and before.artifacts == before.checkpoints[0].artifacts


@checkpoint
def noted(topic: str) -> str:
    kitaru.save("note", {"topic": topic}, tags=["kept"])
    kitaru.log(cached="mine", label="mine too")
    return topic


@flow
def noting(topic: str, times: int) -> str:
    return noted(topic) * times


def test_a_replay_has_what_its_reused_calls_saved_and_logged() -> None:
    original = noting.run("whales", 1)
    original.wait()
    replayed = KitaruClient().executions.replay(original.exec_id, times=2)
    while not KitaruClient().executions.status(replayed.exec_id).finished:
        pass
    found = KitaruClient().executions.get(replayed.exec_id)
    (call,) = found.checkpoints
    assert found.result() == "whaleswhales" and call.original_call_id is not None
    assert call.metadata == {"cached": "mine", "label": "mine too"} and call.invocation_id == "noted"
    assert [(one.name, one.load()) for one in call.artifacts] == [("note", {"topic": "whales"}), ("noted", "whales")]
