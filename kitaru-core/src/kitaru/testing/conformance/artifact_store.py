"""What every artifact store must do."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kitaru.errors import KitaruArtifactNotFoundError, KitaruError, KitaruUsageError
from kitaru.stack.components import ArtifactStore, SweepableStore
from kitaru.testing.conformance.artifact_store_trouble import ArtifactStoreTrouble

GrowOld = Callable[[str], None]
_HOUR = 3600.0

BAD_KEYS = ("", "/absolute", "../outside", "a/../../b", "a/./b", "a//b", "a/", "nul\0", "back\\slash")


class _Torn(io.RawIOBase):
    """A file that breaks after its first chunk, as an upload or a crash in the middle would."""

    def __init__(self) -> None:
        self.reads = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        del size
        self.reads += 1
        if self.reads > 1:
            raise OSError("the source broke")
        return b"half" * 1000


class ArtifactStoreConformance(ArtifactStoreTrouble):
    """Needs the fixture ``artifact_store``: an empty store. Keys used begin with ``conformance/``.

    Optional fixtures: ``flavor_settings`` and ``unreachable_artifact_store``, see ``ArtifactStoreTrouble``. A store
    that has ``delete_stale`` (see :class:`kitaru.stack.components.SweepableStore`) supplies ``grow_old`` too.
    """

    @pytest.fixture
    def grow_old(self) -> GrowOld | None:
        """A function that makes the value under a key look as if it was put a day ago; None: that cannot be done."""
        return None

    def test_fits_the_protocol(self, artifact_store: ArtifactStore) -> None:
        assert isinstance(artifact_store, ArtifactStore)

    @pytest.mark.parametrize("data", [b"", b"x", b"\0\xff\r\n\x1a", b"0123456789abcdef" * 200_000])
    def test_gives_back_what_was_put(self, artifact_store: ArtifactStore, data: bytes) -> None:
        artifact_store.put("conformance/value", data)
        assert artifact_store.get("conformance/value") == data
        assert type(artifact_store.get("conformance/value")) is bytes
        with artifact_store.open("conformance/value") as file:
            assert file.read() == data

    def test_takes_a_file_from_its_position_on(self, artifact_store: ArtifactStore) -> None:
        file = io.BytesIO(b"skipped" + b"kept" * 500_000)
        file.seek(7)
        artifact_store.put("conformance/file", file)
        assert artifact_store.get("conformance/file") == b"kept" * 500_000

    def test_putting_again_is_a_no_op_or_replaces(self, artifact_store: ArtifactStore) -> None:
        artifact_store.put("conformance/value", b"first")
        artifact_store.put("conformance/value", b"first")
        assert artifact_store.get("conformance/value") == b"first"
        artifact_store.put("conformance/value", b"other")
        assert artifact_store.get("conformance/value") == b"other"
        assert list(artifact_store.list("conformance/")) == ["conformance/value"]

    def test_a_put_that_fails_leaves_what_was_there(self, artifact_store: ArtifactStore) -> None:
        artifact_store.put("conformance/value", b"before")
        torn: Any = _Torn()
        with pytest.raises((OSError, KitaruError)):
            artifact_store.put("conformance/value", torn)
        another: Any = _Torn()
        with pytest.raises((OSError, KitaruError)):
            artifact_store.put("conformance/new", another)
        assert artifact_store.get("conformance/value") == b"before"
        assert not artifact_store.exists("conformance/new")
        assert list(artifact_store.list("conformance/")) == ["conformance/value"]

    def test_readers_see_all_or_nothing(self, artifact_store: ArtifactStore) -> None:
        versions = [bytes([letter]) * 100_000 for letter in b"abcd"]
        artifact_store.put("conformance/value", versions[0])
        failures: list[BaseException] = []

        def write(data: bytes) -> None:
            try:
                for _ in range(5):
                    artifact_store.put("conformance/value", data)
            except BaseException as error:
                failures.append(error)

        writers = [threading.Thread(target=write, args=(data,)) for data in versions]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            assert artifact_store.get("conformance/value") in versions
        assert not failures
        assert artifact_store.get("conformance/value") in versions

    def test_what_is_missing(self, artifact_store: ArtifactStore) -> None:
        artifact_store.put("conformance/folder/value", b"x")
        for key in ("conformance/nothing", "conformance/folder", "conformance/folder/value/below"):
            assert not artifact_store.exists(key)
            with pytest.raises(KitaruArtifactNotFoundError, match=key):
                artifact_store.get(key)
            with pytest.raises(KitaruArtifactNotFoundError, match=key):
                artifact_store.open(key)
            artifact_store.delete(key)
        assert artifact_store.exists("conformance/folder/value")

    def test_deletes(self, artifact_store: ArtifactStore) -> None:
        artifact_store.put("conformance/value", b"x")
        artifact_store.delete("conformance/value")
        artifact_store.delete("conformance/value")
        assert not artifact_store.exists("conformance/value")
        assert list(artifact_store.list("conformance/")) == []

    def test_lists_sorted_by_text_prefix(self, artifact_store: ArtifactStore) -> None:
        assert list(artifact_store.list("conformance/")) == []
        keys = ["conformance/a/2", "conformance/a/1", "conformance/ab", "conformance/b c/é"]
        for key in keys:
            artifact_store.put(key, key.encode())
        assert list(artifact_store.list("conformance/")) == sorted(keys)
        assert list(artifact_store.list("conformance/a")) == ["conformance/a/1", "conformance/a/2", "conformance/ab"]
        assert list(artifact_store.list("conformance/a/")) == ["conformance/a/1", "conformance/a/2"]
        assert list(artifact_store.list("conformance/nothing")) == []
        assert set(keys) <= set(artifact_store.list())

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_refuses_keys_that_lead_elsewhere(self, artifact_store: ArtifactStore, key: str) -> None:
        for use in (artifact_store.get, artifact_store.open, artifact_store.exists, artifact_store.delete):
            with pytest.raises(KitaruUsageError):
                use(key)
        with pytest.raises(KitaruUsageError):
            artifact_store.put(key, b"x")

    # -- what only stores that can be swept have --------------------------------------------------------------------

    @pytest.fixture
    def sweepable(self, artifact_store: ArtifactStore) -> SweepableStore:
        if not isinstance(artifact_store, SweepableStore):
            pytest.skip("this store has no delete_stale: it keeps what nobody refers to any more")
        return artifact_store

    @pytest.fixture
    def aged(self, sweepable: SweepableStore, grow_old: GrowOld | None) -> GrowOld:
        """:meth:`grow_old`, where there is something to make old."""
        del sweepable  # asked for first: a store without it has nothing to make old
        assert grow_old is not None, "a store with delete_stale needs the fixture `grow_old`"
        return grow_old

    def test_what_was_put_lately_is_not_stale(self, artifact_store: ArtifactStore, sweepable: SweepableStore) -> None:
        artifact_store.put("conformance/value", b"x")
        assert sweepable.delete_stale("conformance/value", _HOUR) is False
        assert artifact_store.get("conformance/value") == b"x"
        assert sweepable.delete_stale("conformance/missing", _HOUR) is False

    def test_what_is_old_goes_once_and_alone(
        self, artifact_store: ArtifactStore, sweepable: SweepableStore, aged: GrowOld
    ) -> None:
        for key in ("conformance/old", "conformance/older"):
            artifact_store.put(key, b"x")
            aged(key)
        assert sweepable.delete_stale("conformance/old", 1e9) is False
        assert sweepable.delete_stale("conformance/old", _HOUR) is True
        assert sweepable.delete_stale("conformance/old", _HOUR) is False
        assert list(artifact_store.list("conformance/")) == ["conformance/older"]

    @pytest.mark.parametrize("again", [b"same", b"other"])
    def test_what_is_put_again_is_young_again(
        self, artifact_store: ArtifactStore, sweepable: SweepableStore, aged: GrowOld, again: bytes
    ) -> None:
        artifact_store.put("conformance/value", b"same")
        aged("conformance/value")
        artifact_store.put("conformance/value", again)
        assert sweepable.delete_stale("conformance/value", _HOUR) is False
        assert artifact_store.get("conformance/value") == again

    def test_a_put_beside_a_sweep_leaves_its_value(
        self, artifact_store: ArtifactStore, sweepable: SweepableStore, aged: GrowOld
    ) -> None:
        """Whoever comes first: what a put has returned for is there, as something may refer to it from then on."""
        key = "conformance/value"
        for _ in range(20):
            artifact_store.put(key, b"x" * 50_000)
            aged(key)
            together = threading.Barrier(2)
            failures: list[BaseException] = []

            def sweep(together: threading.Barrier = together, failures: list[BaseException] = failures) -> None:
                try:
                    together.wait(30)
                    sweepable.delete_stale(key, _HOUR)
                except BaseException as error:
                    failures.append(error)

            sweeper = threading.Thread(target=sweep)
            sweeper.start()
            together.wait(30)
            artifact_store.put(key, b"x" * 50_000)
            sweeper.join()
            assert not failures
            assert artifact_store.get(key) == b"x" * 50_000

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_a_sweep_refuses_keys_that_lead_elsewhere(self, sweepable: SweepableStore, key: str) -> None:
        with pytest.raises(KitaruUsageError):
            sweepable.delete_stale(key, 0)
