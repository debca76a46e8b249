"""Exceptions in the journal: what people read, and the same exception again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import traceback

import pytest

from kitaru import checkpoint, flow
from kitaru.client import KitaruClient
from kitaru.errors import (
    FailureOrigin,
    KitaruExecutionError,
    KitaruNotFoundError,
    KitaruTimeoutError,
    KitaruUserCodeError,
)
from kitaru.journal.codec import Codec
from kitaru.runtime.failures import exception_from, exception_type, failure_from

CODEC = Codec()


class Plain(Exception):
    pass


class NeedsArguments(ValueError):
    def __init__(self, code, *, hint):
        super().__init__(f"code {code}")
        self.code, self.hint = code, hint


class NeverCalled(LookupError):
    made = 0

    def __init__(self, *args):
        super().__init__(*args)
        type(self).made += 1


class OwnText(RuntimeError):
    def __str__(self):
        return f"<<{self.args[0]}>>"


class Slotted(Exception):
    __slots__ = ("extra",)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class Kept(OSError):
    def __init__(self, path):
        super().__init__(5, "input/output error", path)
        self.where = path


def through_json(error, origin=FailureOrigin.USER_CODE, codec=CODEC):
    return json.loads(json.dumps(failure_from(error, origin=origin, codec=codec)))


def again(error, codec=CODEC):
    return exception_from(through_json(error, codec=codec), codec)


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        Plain(),
        Plain("a", 1, (2,)),
        ValueError("bad"),
        KeyError("k"),
        NeedsArguments(7, hint=["x"]),
        OwnText("inner"),
        Slotted("s"),
        FileNotFoundError(2, "No such file or directory", "/nowhere"),
        Kept("/disk"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        StopIteration(3),
        SystemExit("bye"),
        KeyboardInterrupt(),
        asyncio.CancelledError("c"),
        json.JSONDecodeError("msg", "doc", 1),
        subprocess.CalledProcessError(3, ["cmd"], output=b"out"),
        KitaruTimeoutError("late"),
        KitaruExecutionError("x", exec_id="e", status="failed", failure_origin=FailureOrigin.RUNTIME),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_same_type_message_and_attributes_come_back(error):
    rebuilt = again(raised(error))
    assert type(rebuilt) is type(error)
    assert str(rebuilt) == str(error) and rebuilt.args == error.args
    hidden = {"_kitaru_message", "_kitaru_traceback"}
    assert {k: v for k, v in getattr(rebuilt, "__dict__", {}).items() if k not in hidden} == error.__dict__
    for name in ("errno", "filename", "code", "value", "pos", "lineno", "returncode", "start", "object"):
        assert getattr(rebuilt, name, None) == getattr(error, name, None), name


def test_what_people_read():
    failure = through_json(raised(NeedsArguments(7, hint=None)))
    assert failure["message"] == "code 7" and failure["origin"] == "user_code"
    assert failure["exception_type"] == f"{__name__}.NeedsArguments"
    assert failure["traceback"].startswith("Traceback (most recent call last)")
    assert "test_failures.py" in failure["traceback"] and failure["traceback"].rstrip().endswith("code 7")
    assert exception_type(ValueError) == "ValueError"


def test_no_init_runs_on_the_way_back():
    error = NeverCalled("x")
    made = NeverCalled.made
    assert type(again(error)) is NeverCalled and NeverCalled.made == made


@checkpoint
def fails():
    raise Plain("deep down")


@flow
def runs():
    fails()


def test_kitarus_own_frames_do_not_lead_the_traceback():

    handle = runs.run()
    with pytest.raises(KitaruUserCodeError):
        handle.wait()
    text = KitaruClient().executions.get(handle.exec_id).failure.traceback
    first_frame = text.splitlines()[1]
    assert "test_failures.py" in first_frame, text


# -- classes that cannot be rebuilt -----------------------------------------------------------------------------


def local_error(*bases):
    return type("Local", bases, {"__module__": __name__, "__qualname__": "local_error.<locals>.Local"})


@pytest.mark.parametrize(
    "bases", [(ValueError,), (LookupError, RuntimeError), (Plain,), (KitaruNotFoundError,), (KeyError,), (OSError,),
              (UnicodeDecodeError,), (BaseException,)]
)  # fmt: skip
def test_a_stand_in_has_the_name_the_message_and_the_builtin_bases(bases):
    error = Exception.__new__(local_error(*bases)) if bases == (UnicodeDecodeError,) else local_error(*bases)("gone")
    rebuilt = again(error)
    assert type(rebuilt).__name__ == "Local" and str(rebuilt) == str(error)
    builtin = [one for one in type(error).__mro__ if one.__module__ == "builtins" and one is not object]
    assert all(isinstance(rebuilt, one) for one in builtin)
    assert type(again(error)) is type(rebuilt), "equal failures have one type"
    assert type(again(rebuilt)).__name__ == "Local" and str(again(rebuilt)) == str(error), "also a second time"


def test_a_class_that_is_not_loaded_is_caught_by_its_builtin_bases():
    failure = through_json(NeedsArguments(7, hint=1))
    failure["exception"]["class"] = "no.such.module:Remote.NeedsArguments"
    rebuilt = exception_from(failure, CODEC)
    assert isinstance(rebuilt, ValueError) and str(rebuilt) == "code 7"
    assert (type(rebuilt).__module__, type(rebuilt).__qualname__) == ("no.such.module", "Remote.NeedsArguments")
    assert rebuilt.code == 7 and rebuilt.hint == 1
    assert "no.such.module" not in sys.modules


def test_a_name_that_is_no_exception_any_more_gives_a_stand_in():
    failure = through_json(ValueError("x"))
    failure["exception"]["class"] = "threading:Thread"
    rebuilt = exception_from(failure, CODEC)
    assert isinstance(rebuilt, ValueError) and not isinstance(rebuilt, threading.Thread)


@pytest.mark.parametrize(
    "failure",
    [
        {},
        {"message": "m", "exception_type": "ValueError"},
        {"message": "m", "exception": None},
        {
            "message": "m",
            "exception": {"class": "builtins:ExceptionGroup", "bases": ["ExceptionGroup"], "message": "m"},
        },
        {"message": "m", "exception": {"class": 5, "bases": ["open", 7], "args": "xy", "message": "m"}},
    ],
)
def test_an_incomplete_failure_still_gives_an_exception(failure):
    rebuilt = exception_from(failure, CODEC)
    assert isinstance(rebuilt, Exception) and str(rebuilt) == failure.get("message", "")


# -- exceptions that make trouble -------------------------------------------------------------------------------


def test_an_exception_without_a_text_is_recorded():
    failure = through_json(raised(Mute("x")))
    assert failure["message"] == "<Mute whose __str__ raised RuntimeError>"
    assert type(exception_from(failure, CODEC)) is Mute


def test_attributes_that_cannot_be_stored_are_left_out_alone():
    error = NeedsArguments(7, hint=threading.Lock())
    rebuilt = again(error)
    assert type(rebuilt) is NeedsArguments and rebuilt.code == 7 and not hasattr(rebuilt, "hint")


def test_args_that_cannot_be_stored_leave_the_message():
    error = Plain("lock", threading.Lock())
    rebuilt = again(error)
    assert isinstance(rebuilt, Plain) and type(rebuilt).__name__ == "Plain" and str(rebuilt) == str(error)


def test_without_pickle_an_attribute_that_needs_it_is_left_out():
    error = NeedsArguments(7, hint=lambda: 1)
    assert again(error).hint() == 1
    rebuilt = again(error, Codec(allow_pickle=False))
    assert rebuilt.code == 7 and not hasattr(rebuilt, "hint")
    assert not hasattr(exception_from(through_json(error), Codec(allow_pickle=False)), "hint")


class Fighting(Exception):
    @property
    def __dict__(self):
        raise RuntimeError("no dict")

    @property
    def args(self):
        raise RuntimeError("no args")

    @property
    def __notes__(self):
        raise RuntimeError("no notes")


def test_an_exception_that_fights_is_recorded_all_the_same():
    failure = through_json(Fighting())
    assert failure["exception_type"].endswith("Fighting")
    assert isinstance(exception_from(failure, CODEC), Exception)


def test_huge_exceptions_are_cut():
    error = raised(Plain("x" * 3_000_000))
    failure = through_json(error)
    assert len(json.dumps(failure)) < 300_000
    assert len(failure["traceback"]) < 70_000 and failure["traceback"].startswith("... (")
    assert isinstance(exception_from(failure, CODEC), Plain)


def test_a_deep_recursion_is_recorded():
    def deeper(n):
        return deeper(n + 1)

    try:
        deeper(0)
    except RecursionError as error:
        failure = through_json(error)
    assert failure["exception_type"] == "RecursionError" and len(failure["traceback"]) < 70_000


# -- causes, notes, groups --------------------------------------------------------------------------------------


def test_causes_and_contexts_come_back():
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise NeedsArguments(1, hint=2) from first
    except NeedsArguments as error:
        rebuilt = again(error)
    assert isinstance(rebuilt.__cause__, KeyError) and rebuilt.__cause__.args == ("first",)
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise Plain("second")
    except Plain as error:
        rebuilt = again(error)
    assert isinstance(rebuilt.__context__, KeyError) and rebuilt.__cause__ is None
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise Plain("second") from None
    except Plain as error:
        assert again(error).__context__ is None


def test_notes_come_back_and_odd_ones_do_no_harm():
    error = Plain("x")
    error.add_note("one")
    assert again(error).__notes__ == ["one"]
    error.__notes__ = 5
    assert not hasattr(again(error), "__notes__")


def test_groups_come_back_with_their_members():
    error = ExceptionGroup("several", [ValueError("a"), ExceptionGroup("inner", [local_error(KeyError)("b")])])
    rebuilt = again(raised(error))
    assert type(rebuilt) is ExceptionGroup and str(rebuilt) == str(error)
    matched, _ = rebuilt.split(KeyError)
    assert matched is not None and str(matched.exceptions[0].exceptions[0]) == "'b'"
    worse = again(BaseExceptionGroup("worse", [KeyboardInterrupt(), ValueError(1)]))
    assert type(worse) is BaseExceptionGroup and isinstance(worse.exceptions[0], KeyboardInterrupt)


def test_circles_and_long_chains_end():
    one, two = Plain("one"), Plain("two")
    one.__cause__, two.__cause__ = two, one
    assert str(again(one).__cause__) == "two"
    chain = Plain("0")
    for number in range(500):
        link = Plain(str(number))
        link.__cause__ = chain
        chain = link
    assert str(again(chain)) == "499"
    wide = ExceptionGroup("wide", [Plain(str(number)) for number in range(500)])
    rebuilt = again(wide)
    assert isinstance(rebuilt, ExceptionGroup) and str(rebuilt) == str(wide)


def test_a_failure_raised_again_keeps_its_first_traceback():
    def guilty():
        raise Plain("x")

    try:
        guilty()
    except Plain as error:
        rebuilt = again(error)
    second = failure_from(raised(rebuilt), origin=FailureOrigin.USER_CODE, codec=CODEC)["traceback"]
    assert "in guilty" in second and "Raised again from the journal" in second
    assert "".join(traceback.format_exception_only(rebuilt)).strip() == second.strip().splitlines()[-1]
