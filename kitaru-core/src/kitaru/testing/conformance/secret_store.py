"""What every secret store must do."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kitaru.errors import KitaruBackendError, KitaruNotFoundError, KitaruUsageError
from kitaru.stack.components import SecretStore

#: Names that lead elsewhere, or that no store can have: each is refused before anything is asked of the service.
BAD_NAMES = ("", " ", "../outside", "a/../../b", "/absolute", "nul\0", "new\nline", "x" * 2_000, "-option")
_BOUND_SECONDS = 60.0


class SecretStoreConformance:
    """Needs the fixture ``secret_store``. Secrets get new names and are removed again.

    Optional: ``unreachable_secret_store``, whose service cannot be reached or refuses the credentials.
    """

    @pytest.fixture
    def unreachable_secret_store(self) -> SecretStore | None:
        """With None, what needs it is skipped."""
        return None

    @pytest.fixture
    def name(self, secret_store: SecretStore) -> Iterator[str]:
        """A name that no secret has."""
        name = f"conformance-{uuid.uuid4().hex}"
        yield name
        if name in secret_store.list():
            secret_store.delete(name)

    def test_fits_the_protocol(self, secret_store: SecretStore) -> None:
        assert isinstance(secret_store, SecretStore)

    def test_gives_back_what_was_set(self, secret_store: SecretStore, name: str) -> None:
        values = {"KEY": "value", "OTHER": 'é "quoted"\nsecond line'}
        secret_store.set(name, values)
        assert secret_store.get(name) == values

    def test_setting_again_replaces_the_whole(self, secret_store: SecretStore, name: str) -> None:
        secret_store.set(name, {"OLD": "1", "BOTH": "1"})
        secret_store.set(name, {"BOTH": "2"})
        assert secret_store.get(name) == {"BOTH": "2"}

    def test_lists_sorted_names(self, secret_store: SecretStore, name: str) -> None:
        assert name not in secret_store.list()
        secret_store.set(name, {"KEY": "value"})
        names = secret_store.list()
        assert name in names
        assert names == sorted(names)

    def test_what_is_missing(self, secret_store: SecretStore, name: str) -> None:
        with pytest.raises(KitaruNotFoundError, match=name):
            secret_store.get(name)
        with pytest.raises(KitaruNotFoundError, match=name):
            secret_store.delete(name)
        secret_store.set(name, {"KEY": "value"})
        secret_store.delete(name)
        assert name not in secret_store.list()
        with pytest.raises(KitaruNotFoundError, match=name):
            secret_store.get(name)

    @pytest.mark.parametrize("bad", BAD_NAMES, ids=range(len(BAD_NAMES)))
    def test_refuses_names_that_lead_elsewhere(self, secret_store: SecretStore, bad: str) -> None:
        for use in (
            secret_store.get,
            secret_store.delete,
            lambda name: secret_store.set(name, {"KEY": "v4lue-c4nary"}),
        ):
            with pytest.raises(KitaruUsageError) as caught:
                use(bad)
            assert "v4lue-c4nary" not in str(caught.value)

    @pytest.mark.parametrize("suffix", ["plain", "with-dash", "with_underscore", "with.dot", "UPPER", "n" * 80])
    def test_names_come_back_as_they_are(self, secret_store: SecretStore, name: str, suffix: str) -> None:
        full = f"{name[:40]}-{suffix}"
        secret_store.set(full, {"KEY": "value"})
        try:
            assert full in secret_store.list()
            assert secret_store.get(full) == {"KEY": "value"}
        finally:
            secret_store.delete(full)
        assert full not in secret_store.list()

    def test_keeps_large_values_and_many(self, secret_store: SecretStore, name: str) -> None:
        values = {f"KEY_{number}": "v" * 400 for number in range(20)} | {"PEM": "-----BEGIN\n" + "é" * 1_000}
        secret_store.set(name, values)
        assert secret_store.get(name) == values

    def test_a_name_can_be_used_again_after_it_was_deleted(self, secret_store: SecretStore, name: str) -> None:
        for number in range(3):
            secret_store.set(name, {"KEY": str(number)})
            assert secret_store.get(name) == {"KEY": str(number)}
            secret_store.delete(name)
            assert name not in secret_store.list()

    def test_a_reader_sees_one_setting_whole(self, secret_store: SecretStore, name: str) -> None:
        settings = [{"USER": letter * 50, "PASSWORD": letter * 50} for letter in "abcd"]
        secret_store.set(name, settings[0])
        with ThreadPoolExecutor(5) as pool:
            writes = [pool.submit(secret_store.set, name, values) for values in settings]
            while not all(write.done() for write in writes):
                assert secret_store.get(name) in settings
        for write in writes:
            write.result()
        assert secret_store.get(name) in settings

    def test_access_that_fails_is_said_in_time_and_without_values(
        self, unreachable_secret_store: SecretStore | None
    ) -> None:
        store = unreachable_secret_store
        if store is None:
            pytest.skip("no `unreachable_secret_store`")
        uses = (
            lambda: store.get("conformance-nothing"),
            lambda: store.set("conformance-nothing", {"KEY": "v4lue-c4nary"}),
            store.list,
            lambda: store.delete("conformance-nothing"),
        )
        for use in uses:
            begun = time.monotonic()
            with pytest.raises(KitaruBackendError) as caught:
                use()
            assert time.monotonic() - begun < _BOUND_SECONDS
            assert "v4lue-c4nary" not in str(caught.value)
