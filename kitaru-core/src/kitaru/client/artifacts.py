"""``client.artifacts``: what calls returned and saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.client.arguments import check_limit
from kitaru.errors import KitaruArtifactNotFoundError, KitaruNotFoundError, KitaruUsageError

if TYPE_CHECKING:
    from kitaru.client.executions import Executions
    from kitaru.models import ArtifactRef


class Artifacts:
    """The artifacts of one journal. Nothing is decoded before :meth:`ArtifactRef.load` is called."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    def get(self, artifact_id: str) -> ArtifactRef:
        """One artifact by the id that :meth:`list` gives it.

        Raises:
            KitaruUsageError: this is not the id of an artifact.
            KitaruArtifactNotFoundError: there is none of this id, or a later attempt of its call replaced it.
        """
        exec_id, _, seq = artifact_id.rpartition(":") if isinstance(artifact_id, str) else ("", "", "")
        if not exec_id or not (seq.isascii() and seq.isdigit()):
            raise KitaruUsageError(
                f"artifact_id={artifact_id!r}: must be the id of an artifact, as client.artifacts.list() gives it."
            )
        try:
            found = [one for one in self._executions.get(exec_id).artifacts if one.artifact_id == artifact_id]
        except KitaruNotFoundError as error:
            raise KitaruArtifactNotFoundError(
                f"artifact {artifact_id} does not exist: there is no execution {exec_id}."
            ) from error
        if not found:
            raise KitaruArtifactNotFoundError(
                f"execution {exec_id} has no artifact {artifact_id}. `kitaru executions get {exec_id} --output json` "
                "lists those it has."
            )
        return found[0]

    # Last in the class: from here on, `list` names this method and not the type.

    def list(
        self,
        exec_id: str,
        *,
        name: str | None = None,
        kind: str | None = None,
        producing_call: str | None = None,
        limit: int | None = None,
    ) -> list[ArtifactRef]:
        """The artifacts of an execution, call by call: what each saved, then what it returned. Filters match exactly.

        Args:
            name: the name it was saved under; of a result, the checkpoint's name.
            kind: the type it was saved as; results have none.
            producing_call: invocation id of the call.
            limit: at most this many, 1 or more.

        Raises KitaruUsageError for a bad limit, KitaruNotFoundError when there is no such execution.
        """
        check_limit(limit)
        found = [
            one
            for one in self._executions.get(exec_id).artifacts
            if (name is None or one.name == name)
            and (kind is None or one.kind == kind)
            and (producing_call is None or one.producing_call == producing_call)
        ]
        return found[:limit]
