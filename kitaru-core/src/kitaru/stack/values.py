"""Large values in the artifact stores of several stacks.

A reference says where its value lies: a bare key in the default stack's store, ``<stack id>:<key>`` in another's. A
stack's id is never used twice and its record outlives it, so a reference stays good; moving a value to another store
would be copying it and referring to the copy.
"""

from __future__ import annotations

from collections.abc import Callable

from kitaru.errors import KitaruArtifactNotFoundError, KitaruBackendError, KitaruStateError
from kitaru.stack.built import Stacks
from kitaru.stack.components import ArtifactStore
from kitaru.stack.journals import register_journal


class StackValues:
    """The kernel's ``ValueStore``: the stores of all stacks, each made when it is first needed. Thread-safe.

    Args:
        stacks: the stacks of this process.
        journal_url: what a store is told of before the first value goes into it (see ``journals``).
        told: what the journal knows of a stack that this installation does not: text for an error.
    """

    def __init__(self, stacks: Stacks, journal_url: str, told: Callable[[str], str]) -> None:
        self._stacks = stacks
        self._journal_url = journal_url
        self._told = told
        self._ready: dict[str | None, ArtifactStore] = {}

    def put(self, key: str, data: bytes, stack: str | None) -> str:
        """See ``ValueStore``. Raises KitaruStateError when the stack is not known here."""
        (self._ready.get(stack) or self._prepared(stack)).put(key, data)
        return key if stack is None else f"{stack}:{key}"

    def get(self, ref: str) -> bytes:
        """See ``ValueStore``. Raises KitaruArtifactNotFoundError naming key, stack and URI."""
        stack, colon, key = ref.partition(":")
        if not colon:
            return self._stacks.find(None).artifact_store.get(ref)
        try:
            built = self._stacks.find(stack)
        except KitaruStateError as error:
            raise KitaruArtifactNotFoundError(
                f"the value {key} lies in the artifact store of {self._told(stack)}, which this installation does not "
                "have. Read it where that stack is set up; `kitaru stack list` shows the stacks here."
            ) from error
        try:
            return built.artifact_store.get(key)
        except KitaruArtifactNotFoundError as error:
            raise KitaruArtifactNotFoundError(
                f"the artifact store of {built} ({built.artifact_uri}) has no value {key} any more: {error}"
            ) from error
        except KitaruBackendError as error:
            raise KitaruBackendError(
                f"the value {key} could not be read from the artifact store of {built} ({built.artifact_uri}): {error}"
            ) from error

    def _prepared(self, stack: str | None) -> ArtifactStore:
        built = self._stacks.find(stack)
        store = built.artifact_store
        register_journal(store, self._journal_url, stack)
        self._ready[stack] = store
        return store
