"""What every secret store must do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from kitaru.errors import KitaruNotFoundError
from kitaru.stack.components import SecretStore


class SecretStoreConformance:
    """Needs the fixture ``secret_store``. Secrets get new names and are removed again."""

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
