"""Puts a kernel together: settings, journal, codec, plugins and the components of its stack."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from kitaru.config import connection, model_registry
from kitaru.config import settings as configured
from kitaru.config.frozen import build_frozen_execution_spec
from kitaru.config.image import merge, normalise
from kitaru.config.journal_url import normalise_journal_url
from kitaru.config.settings import Settings, first
from kitaru.errors import KitaruBackendError, KitaruStateError, KitaruUsageError
from kitaru.journal import transitions
from kitaru.journal.addresses import without_secrets
from kitaru.journal.codec import Codec
from kitaru.journal.protocol import Journal
from kitaru.journal.records import ExecutionQuery
from kitaru.plugins.manager import plugin_manager
from kitaru.process_locks import ProcessLock
from kitaru.runtime import outcome
from kitaru.runtime.capture import Capture
from kitaru.runtime.clock import Clock
from kitaru.runtime.entrypoint import class_aliases
from kitaru.runtime.kernel import RECOVERABLE, RESUMABLE, Kernel, Launch
from kitaru.runtime.run import Run
from kitaru.runtime.specs import FlowSpec, stack_of
from kitaru.stack import logs, places
from kitaru.stack.built import BuiltStack, Stacks
from kitaru.stack.components import ArtifactStore, LogStore, Place, SecretStore
from kitaru.stack.journals import open_journal
from kitaru.stack.values import StackValues
from kitaru.statuses import ExecutionStatus
from kitaru.terminal.wanted import wanted as terminal_wanted

if TYPE_CHECKING:
    from kitaru.journal.records import ExecutionRecord, WaitRecord
    from kitaru.runtime.replay import ReplayPlan

_RESET_SECONDS = 5.0
_TOLD_EXECUTIONS_MAX = 1000
Recovered = Literal["resumed", "parked", "handed_over"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What ``.run()`` and ``@flow`` say about one start; None: not said."""

    stack: str | None = None
    images: tuple[Any, ...] = ()  # of `.run()`, then of `@flow`; merged field by field
    cache: bool | None = None
    retries: int | None = None
    idempotency_key: str | None = None
    flow_defaults: Mapping[str, Any] = field(default_factory=dict)  # what `@flow` said, for the record


@dataclass(slots=True)
class Assembled:
    """A kernel and what it was put together with: the stacks of this process, their logs and places."""

    kernel: Kernel
    settings: Settings
    stacks: Stacks
    logs: logs.LogRouter
    places: places.StackPlaces


_Key = tuple[str, str, str]
_open: dict[_Key, Assembled] = {}
_latest: Assembled | None = None
_lock = ProcessLock()
_clock_factory: Callable[[], Clock] = Clock
_starting = threading.local()


def open_kernel(
    settings: Settings | None = None,
    *,
    journal_url: str | None = None,
    durability: Literal["full", "process"] | None = None,
) -> Kernel:
    """The kernel of this process for a journal: the same one for the same address, durability and config directory.

    Opened on first use; afterwards this costs a few microseconds. Thread-safe. Artifact and log stores are made only
    when something is stored in them.

    Args:
        settings: default: those in force now.
        journal_url, durability: stand above the settings'.

    Raises:
        KitaruUsageError: a setting or the address is bad.
        KitaruJournalError: the journal cannot be opened.
        KitaruFeatureNotAvailableError: nothing installed opens this kind of journal.
    """
    return _opened(settings or configured.resolve(), journal_url, durability).kernel


def assembled(kernel: Kernel) -> Assembled:
    """What a kernel that :func:`open_kernel` gave was put together with. Raises KitaruStateError when it was closed."""
    with _lock:
        for one in _open.values():
            if one.kernel is kernel:
                return one
    raise KitaruStateError("this kernel was closed: open it again with kitaru.stack.assembly.open_kernel().")


def open_log_store(kernel: Kernel, execution: ExecutionRecord | None = None) -> LogStore:
    """The log store that an execution's lines go to; None: one that is started now on the default stack.

    Raises KitaruPluginError when its plugin is missing or unavailable, KitaruStateError when its stack is not here.
    """
    opened = assembled(kernel)
    if execution is not None:
        return opened.logs.of(execution)
    return opened.logs.in_force(opened.stacks.find(None))


def open_artifact_store(kernel: Kernel) -> ArtifactStore:
    """The artifact store of the default stack. Raises like :func:`open_log_store`."""
    return assembled(kernel).stacks.find(None).artifact_store


def start_flow(
    spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any], options: RunOptions
) -> tuple[Kernel, str, Run | None]:
    """Create an execution, which is committed then, and have the stack's orchestrator start it.

    Precedence of stack, cache, retries and image: ``.run()``, ``@flow``, ``configure()``, environment, project file,
    built-in (the default stack, no cache, no retries). The run is None where another process drives it.

    Raises what :meth:`Kernel.create` and :func:`open_kernel` raise, and KitaruBackendError when the orchestrator could
    not start it: the execution stands in the journal then, and the text says how to continue it.
    """
    settings = configured.resolve()
    return _start(_opened(settings, None, None), settings, spec, args, kwargs, options, None)


def start_replay(
    spec: FlowSpec,
    exec_id: str,
    options: RunOptions,
    *,
    from_: str | None,
    overrides: Mapping[str, Any] | None,
    flow_inputs: Mapping[str, Any],
    kernel: Kernel | None = None,
) -> tuple[Kernel, str, Run | None]:
    """Like :func:`start_flow`, of a replay of the execution ``exec_id``, in its journal.

    ``kernel``: one that :func:`open_kernel` gave; default: that of the settings in force. Raises like
    ``FlowDefinition.replay``; nothing was created then.
    """
    from kitaru.runtime import original  # nothing of replay is loaded by those who never do it
    from kitaru.runtime.replay import build_replay_plan

    settings = configured.resolve()
    opened = _opened(settings, None, None) if kernel is None else assembled(kernel)
    replayed = original.read(opened.kernel, spec, exec_id, flow_inputs)
    plan = build_replay_plan(
        replayed.record, replayed.entries, replayed.waits, from_=from_, overrides=overrides, flow_inputs=flow_inputs
    )
    if plan.wait_overrides:
        plan = dataclasses.replace(plan, wait_overrides=_checked_answers(exec_id, plan, replayed.waits))
    return _start(opened, settings, spec, replayed.args, replayed.kwargs, options, plan)


def _checked_answers(exec_id: str, plan: ReplayPlan, waits: Sequence[WaitRecord]) -> dict[str, Any]:
    from kitaru import answers

    schemas = {wait.key: wait.schema for wait in waits}
    return {
        key: answers.check(schemas[key], value, wait=plan.wait_names[key], exec_id=exec_id)
        for key, value in plan.wait_overrides.items()
    }


def _start(
    opened: Assembled,
    settings: Settings,
    spec: FlowSpec,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: RunOptions,
    plan: ReplayPlan | None,
) -> tuple[Kernel, str, Run | None]:
    kernel = opened.kernel
    stack = opened.stacks.select(first(options.stack, settings.stack))
    spec = with_settings(spec, options, settings)
    if settings.log_store is not None or stack.id is not None:
        # A log store that was asked for and is not there must not be found out by losing logs.
        opened.logs.in_force(stack)
    here = places.runs_here(stack)
    if not here and kernel.journal.url == "memory:":
        raise KitaruUsageError(
            f"{stack} runs executions in other processes, which cannot see a journal in memory. Use a journal in a "
            "file, or the default stack."
        )
    launch = kernel.create(
        spec,
        args,
        kwargs,
        owned=here,
        stack_name=stack.stack.name,
        idempotency_key=options.idempotency_key,
        execution_spec=_frozen(spec, stack, options, settings),
        replay=plan,
    )
    exec_id = launch.record.exec_id
    if launch.existed:
        return kernel, exec_id, _continue_existing(opened, launch, spec)
    _starting.kernel = kernel
    try:
        stack.orchestrator.start(exec_id, journal_url=kernel.journal.url)
    except Exception as error:
        if launch.run is not None:
            kernel.withdraw(launch.run)
        raise KitaruBackendError(
            f"execution {exec_id} was created, but {stack} could not start it "
            f"({type(error).__name__}: {error}). Continue it with `kitaru executions resume {exec_id}`."
        ) from error
    finally:
        _starting.kernel = None
    return kernel, exec_id, launch.run


def _continue_existing(opened: Assembled, launch: Launch, spec: FlowSpec) -> Run | None:
    """An idempotency key names an earlier execution, which belongs where it was started: continue it if nobody does."""
    record = launch.record
    if launch.run is not None or not opened.places.elsewhere(record):
        return opened.kernel.continue_existing(launch, spec)
    _, status = outcome.looked_at(opened.kernel, record)
    if status in (ExecutionStatus.PENDING, ExecutionStatus.INTERRUPTED) and not places.busy(opened.places, record):
        opened.places.start(record)
    return None


def continue_execution(kernel: Kernel, exec_id: str) -> None:
    """Have the stack continue an execution that nobody drives, as after its answer has come; returns once it has been
    taken over, or handed to an orchestrator of another place.

    Raises KitaruBackendError when that did not work; the execution stays as it was.
    """
    opened = assembled(kernel)
    record = kernel.journal.get(exec_id)
    if kernel.journal.url == "memory:":  # no other process can see it
        kernel.recover(exec_id)
    elif opened.places.elsewhere(record):
        opened.places.start(record)
    else:
        from kitaru.stack.detached import continue_detached

        continue_detached(kernel, exec_id, opened.settings)


def resume(kernel: Kernel, exec_id: str, *, retry: bool = False) -> None:
    """Continue an execution where its stack has it run: on a thread of this process, or in another place.

    ``retry``: a failed one, its failed calls reopened. Raises like :meth:`Kernel.resume` and :meth:`Kernel.retry`, and
    KitaruBackendError when the other place could not start it: it can be resumed again.
    """
    opened = assembled(kernel)
    record, status = outcome.looked_at(kernel, kernel.journal.get(exec_id))
    if not opened.places.elsewhere(record):
        if retry:
            kernel.retry(exec_id)
        else:
            kernel.resume(exec_id)
        return
    transitions.check_accepted(record, status.value, ("failed",) if retry else RESUMABLE)
    if retry or record.status == "cancelled":
        kernel.reopen(exec_id)
    opened.places.start(record)


def recover(kernel: Kernel, exec_id: str, owners_lost_max: int) -> Recovered:
    """:meth:`Kernel.recover`, where the execution's stack has it run. Raises like that and like :func:`resume`.

    One that its place is about to run already, or still believes to run, is left alone: KitaruStateError says so.
    """
    opened = assembled(kernel)
    record = kernel.journal.get(exec_id)
    if record.owners_lost >= owners_lost_max or not opened.places.elsewhere(record):
        run = kernel.recover(exec_id, owners_lost_max=owners_lost_max)
        return "parked" if run is None else "resumed"
    _, status = outcome.looked_at(kernel, record)
    transitions.check_accepted(record, status.value, RECOVERABLE)
    if places.busy(opened.places, record):
        raise KitaruStateError(
            f"execution {exec_id} has no living owner, but its stack's orchestrator says that its process is starting "
            f"or running. `kitaru executions resume {exec_id}` starts another one all the same."
        )
    opened.places.start(record)
    return "handed_over"


def cancel(kernel: Kernel, exec_id: str) -> None:
    """Stop an execution and its children for good, in this process and in the places where their stacks have them run.

    Raises like :meth:`Kernel.cancel`, and KitaruBackendError when a place could not be reached: the cancellation is
    recorded all the same.
    """
    record = kernel.cancel(exec_id)
    places.cancel(kernel, assembled(kernel).places, record)


def kernel_to_start_on(journal_url: str | None) -> Kernel:
    """For ``start_execution``: the kernel whose orchestrator calls back on this thread, else :func:`open_kernel`."""
    starting: Kernel | None = getattr(_starting, "kernel", None)
    if starting is not None and starting.journal.url == journal_url:
        return starting
    return open_kernel(journal_url=journal_url)


def with_settings(spec: FlowSpec, options: RunOptions, settings: Settings | None = None) -> FlowSpec:
    """``spec`` with cache and retries as they hold for one start: ``.run()``, ``@flow``, settings, built-in."""
    settings = settings or configured.resolve()
    cache = first(options.cache, spec.cache, settings.cache, False)
    retries = first(options.retries, spec.retries, settings.retries, 0)
    if cache == spec.cache and retries == spec.retries:
        return spec
    return dataclasses.replace(spec, cache=cache, retries=retries)


def open_secret_store() -> SecretStore:
    """The secret store of the stack in force. Opens no journal.

    Raises KitaruPluginError when the stack has none, or its plugin is missing or unavailable.
    """
    settings = configured.resolve()
    return Stacks(Place(settings.config_directory, settings.durability)).select(settings.stack).secret_store


def use_clock(factory: Callable[[], Clock]) -> None:
    """Have kernels that are opened from now on go by the clocks that ``factory`` makes; ``Clock`` is the real one.

    For tests. Kernels that are open keep theirs: call :func:`reset` first.
    """
    global _clock_factory
    _clock_factory = factory


def reset() -> None:
    """Close and forget all kernels of this process, for tests.

    Executions that still run are interrupted first and given a few seconds to reach their next checkpoint.
    """
    global _latest
    with _lock:
        _latest = None
        while _open:
            opened = _open.popitem()[1]
            kernel = opened.kernel
            runs = list(kernel.runs.values())
            kernel.interrupt_all()
            for run in runs:
                run.done.wait(_RESET_SECONDS)
            opened.logs.close(_RESET_SECONDS)
            kernel.journal.close()


def home(name: str | None, kernel: Kernel) -> dict[str, Any] | None:
    """What the frozen spec of a child that names its own stack says of it; None: the child has its parent's."""
    if name is None:
        return None
    opened = assembled(kernel)
    return _home(opened.stacks.select(name), opened.settings)


def _home(stack: BuiltStack, settings: Settings) -> dict[str, Any]:
    """Where an execution belongs, for whoever continues or reads it: None is left out of the document."""
    return {
        "stack": stack.stack.name,
        "stack_id": stack.id,
        "artifact_store": stack.artifact_uri if stack.id is not None else None,
        "log_store": logs.recorded(settings.log_store),
    }


def _frozen(spec: FlowSpec, stack: BuiltStack, options: RunOptions, settings: Settings) -> dict[str, Any]:
    """What the journal says of a start, for whoever continues it: read by ``Kernel`` and shown by the client."""
    registry = model_registry.registry_of(settings)
    said = [normalise(image, "image=") for image in options.images]
    image = merge([*said, settings.image])
    return build_frozen_execution_spec(
        resolved_execution={
            **_home(stack, settings),
            "cache": spec.cache,
            "retries": spec.retries,
            "budget": spec.budget,
            "image": model_registry.transported(image, registry),
        },
        flow_defaults={**options.flow_defaults, "image": said[-1] if said else None},
        connection=connection.connection_document(settings),
        model_registry=registry.document() if registry.aliases else None,
    )


def _opened(settings: Settings, journal_url: str | None, durability: Literal["full", "process"] | None) -> Assembled:
    global _latest
    latest = _latest
    if latest is not None and latest.settings is settings and durability is None and journal_url is None:
        return latest
    url = normalise_journal_url(journal_url) if journal_url is not None else settings.journal_url
    if url == without_secrets(settings.journal_url):  # as a journal gives its own address; its password is known here
        url = settings.journal_url
    chosen = durability or settings.durability
    # A forked child finds its parent's kernels here, and they refuse: even a new SQLite connection to the same file
    # would share the parent's idea of the locks it holds.
    key = (url, chosen, str(settings.config_directory))
    with _lock:
        opened = _open.get(key)
        if opened is None:
            opened = _open[key] = _assemble(settings, url, chosen)
        elif opened.settings is not settings:
            _adopt(opened, settings)
        if journal_url is None and durability is None:
            _latest = opened
    return opened


def _adopt(opened: Assembled, settings: Settings) -> None:
    """Settings changed while the kernel was open: what starts from now on goes by the new ones."""
    kernel = opened.kernel
    kernel.max_concurrency = settings.max_concurrency
    kernel.lease_seconds = settings.lease_seconds
    if settings.allow_pickle != kernel.codec.allow_pickle:
        kernel.codec = _codec(settings)
    opened.logs.preferred = settings.log_store
    opened.settings = settings


def _assemble(settings: Settings, url: str, durability: Literal["full", "process"]) -> Assembled:
    if url in (settings.server_url, configured.default_journal_url(settings.config_directory)):
        connection.validate(settings)
    clock = _clock_factory()
    stacks = Stacks(Place(settings.config_directory, durability))
    journal = open_journal(url, durability)
    router = logs.LogRouter(stacks, settings.log_store)
    where = places.StackPlaces(stacks, journal.url)
    kernel = Kernel(
        journal,
        _codec(settings),
        StackValues(stacks, journal.url, lambda stack: _told(journal, stack)),
        clock=clock,
        lease_seconds=settings.lease_seconds,
        max_concurrency=settings.max_concurrency,
        capture=Capture(router, clock) if settings.log_capture else None,
        places=where,
    )
    router.ended = kernel.join
    manager = plugin_manager()
    if manager.observer_hooks():
        from kitaru.plugins.observers import ObserverSink

        kernel.events = ObserverSink(manager, journal)
    if terminal_wanted():
        from kitaru.terminal.events import TerminalSink

        kernel.events = TerminalSink(kernel.events, journal)
    if "zenml" in sys.modules:  # its lines become ours; where there is none, nobody's logging is touched
        from kitaru.terminal.handler import install_terminal_log_intercept

        install_terminal_log_intercept()
    return Assembled(kernel, settings, stacks, router, where)


def _told(journal: Journal, stack: str) -> str:
    """What the newest executions say of a stack that this installation does not have."""
    for record in journal.list(ExecutionQuery(limit=_TOLD_EXECUTIONS_MAX), lambda _: None):
        if stack_of(record.spec) == stack:
            uri = record.spec["resolved_execution"].get("artifact_store", "unknown")
            return f"stack `{record.stack_name}` ({uri}, id {stack})"
    return f"the stack with the id {stack}"


def _codec(settings: Settings) -> Codec:
    return Codec(
        allow_pickle=settings.allow_pickle,
        serializers=plugin_manager().serializers(),
        aliases=class_aliases(),
    )
