"""``get_secret()``: the values of a named secret, from the secret store of the stack."""

from __future__ import annotations

from kitaru.errors import KitaruUsageError


def get_secret(name: str) -> dict[str, str]:
    """The values of a secret by the names they have in it. Works anywhere, also outside a flow.

    Nothing of it is recorded: in a flow, call it inside the checkpoint that needs it, and do not return what it gives.

    Raises:
        KitaruUsageError: the name is blank, or one that the credentials of stacks have.
        KitaruNotFoundError: there is no secret of this name.
        KitaruPluginError: the stack has no secret store, or its plugin is missing.
        KitaruBackendError: the secret store cannot be read.
    """
    if not isinstance(name, str) or not name.strip():
        raise KitaruUsageError("kitaru.get_secret() takes the name of a secret, and that is blank.")
    from kitaru.stack import assembly, records  # settings, plugins and stores: read on use

    return assembly.open_secret_store().get(records.not_reserved(name.strip()))
