"""A cloud that nobody has heard of, as its provider would package it: with credentials, probes and options.

Its "cloud" is a folder: a bucket exists when its folder does, an account may use it when ``account`` in it says so.
"""

NIMBUS = """
import pathlib
import time

from kitaru.errors import KitaruUsageError
from kitaru.plugins import hookimpl
from kitaru.stack.components import Component
from kitaru.stack.credentials import Credentials, Probe
from kitaru_local.artifact_store import LocalArtifactStore


class StoreConfig:
    def __init__(self, uri, credentials=None, sync=True, chunk_size=1):
        if not isinstance(chunk_size, int):
            raise ValueError("chunk_size must be a number")
        self.uri, self.credentials, self.sync = uri, credentials, sync
        self.path = uri.removeprefix("nim://")

    __dataclass_fields__ = dict.fromkeys(("uri", "credentials", "sync", "chunk_size"))


class Store(LocalArtifactStore):
    def __init__(self, config):
        if (config.credentials or {}).get("method") != "key" or not config.credentials.get("key"):
            raise KitaruUsageError("no key")
        super().__init__(config)


def credentials(text):
    method, colon, value = (text or "").partition(":")
    if method != "nimbus-key" or not value:
        raise KitaruUsageError("credentials of nimbus are nimbus-key:ACCOUNT/KEY")
    account, _, key = value.partition("/")
    return Credentials("key", {"account": account}, {"key": key})


def components(fields, place):
    if fields["artifact_store"] == "nim://":
        raise KitaruUsageError("the artifact store names no bucket")
    return [
        Component("artifact_store", "nimbus", {"uri": fields["artifact_store"]}, credentials=True),
        Component("log_store", "artifact-store"),
        Component("orchestrator", "local"),
        Component("secret_store", "local", {"path": str(place.directory / "secrets")}),
    ]


def verify(settings, credentials):
    bucket = pathlib.Path(settings["artifact_store"]["uri"].removeprefix("nim://"))
    if not bucket.is_dir():
        return [Probe("artifact store", "there is no such bucket")]
    allowed = (bucket / "account").read_text() if (bucket / "account").exists() else credentials.public["account"]
    if allowed != credentials.public["account"]:
        return [Probe("artifact store", "the account has no permission")]
    return [Probe("artifact store")]


@hookimpl
def kitaru_register(register):
    register.component(
        "artifact_store", "nimbus", config="nimbus:StoreConfig", implementation="nimbus:Store",
        shown=("uri=location", "chunk_size"), docs="https://nimbus.example/options",
    )
    register.stack_type(
        "nimbus", provider="nimbus", display="Nimbus",
        fields={"artifact_store": "required", "altitude": "optional"},
        components="nimbus:components", credentials="nimbus:credentials", verify="nimbus:verify",
        defaults={"altitude": "high"}, resources=("provider", "altitude", "artifact_store"),
    )
    register.uri_scheme("nim://", provider="nimbus")
"""
