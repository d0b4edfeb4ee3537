"""What cannot be ingested by many is said in the package's own errors."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from larimar_memory.distributed import ingest
from larimar_memory.distributed.rows import Reading, texts_of
from larimar_memory.errors import InputError, LarimarError, MemoryBusyError, MemoryFileError
from larimar_memory.larimar import Larimar
from tests.quick import QuickCoarse

pa = pytest.importorskip("pyarrow")


def refusal(*given: Any, **how: Any) -> LarimarError:
    """The error of an ingestion."""
    with pytest.raises(LarimarError) as told:
        ingest(*given, encoder=QuickCoarse(), progress=False, **how)
    return told.value


def read(table: dict[str, list[Any]] | Any) -> list[Any]:
    """The texts of a table."""
    rows = table if isinstance(table, pa.Table) else pa.table(table)
    return [*texts_of(rows, Reading(), lambda _: None)]


def test_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    told = refusal("x.txt", tmp_path / "m.larimar")
    assert isinstance(told, InputError)
    assert told.what == "Nothing was ingested."
    assert told.why.startswith("Ray Data is not installed (")
    assert told.remedy == 'Install it with `pip install "larimar-memory[ray]"`.'
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_listens(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        where = f"{scheme}127.0.0.1:{held.getsockname()[1]}"
        told = refusal("x.txt", tmp_path / "m.larimar", address=where)
    assert isinstance(told, InputError)
    assert told.what == f"Ray cannot be reached at {where}."
    assert "Connection refused" in told.why
    assert told.remedy == "Check the address and that `ray status` answers there."


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (None, "A memory in RAM cannot be written by many processes."),
        (":memory:", "A memory in RAM cannot be written by many processes."),
        (7, "A int cannot be written by many processes."),
    ],
)
def test_a_target_that_cannot_be_written_by_many(target: Any, why: str) -> None:
    told = refusal("x.txt", target)
    assert isinstance(told, InputError)
    assert told.why == why
    assert told.remedy == "Name a memory file, or the address of a PostgreSQL database."


def test_a_memory_object_is_no_target() -> None:
    with Larimar.open(encoder=QuickCoarse()) as memory:
        assert refusal("x.txt", memory).why == "A Larimar cannot be written by many processes."


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_workers_that_are_no_number(workers: Any, tmp_path: Path) -> None:
    told = refusal("x.txt", tmp_path / "m.larimar", workers=workers)
    assert told.why == f"workers is {workers!r}."


@pytest.mark.parametrize("gpus", [-1, float("nan"), float("inf"), "1", True])
def test_gpus_that_are_no_number(gpus: Any, tmp_path: Path) -> None:
    told = refusal("x.txt", tmp_path / "m.larimar", gpus=gpus)
    assert told.why == f"gpus is {gpus!r}."


def test_columns_and_values_of_rows() -> None:
    texts = read({"text": ["One.", "Two."], "id": [1, 2], "metadata": [{"a": 1}, {"a": None}]})
    assert [(t.id, t.text, t.metadata) for t in texts] == [("1", "One.", {"a": 1}), ("2", "Two.", {})]
    texts = read({"text": ["One.", "One."], "metadata": ['{"a": null}', None], "more": [1, 2]})
    assert texts[0].id == texts[1].id
    assert [t.metadata for t in texts] == [{"a": None}, {}]
    mapped = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    assert read({"text": ["One."], "metadata": mapped})[0].metadata == {"a": 1}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"body": ["One."], "id": ["a"]}, "It has no column text; its columns are body, id."),
        ({"text": ["One.", None]}, "It is a NoneType, not a str."),
        ({"text": [7], "id": ["a"]}, "document 'a' cannot be written. It is a int, not a str."),
        ({"text": [" "], "id": ["a"]}, "document 'a' cannot be written. It is empty."),
        ({"text": ["One."], "id": [""]}, "'' cannot be a document id."),
        ({"text": ["One."], "id": [1.5]}, "1.5 cannot be a document id."),
        ({"text": ["One."], "id": ["a"], "metadata": ["{"]}, "It is text, and no JSON"),
        ({"text": ["One."], "id": ["a"], "metadata": ["[1]"]}, "The metadata of document 'a'"),
        ({"text": ["One."], "id": ["a"], "metadata": [[1]]}, "The metadata of document 'a'"),
    ],
)
def test_rows_that_cannot_be_written(table: dict[str, list[Any]], said: str) -> None:
    with pytest.raises(InputError) as told:
        read(table)
    assert said in str(told.value)


@pytest.mark.slow
def test_what_workers_refuse_and_the_same_call_goes_on(cluster: Any, tmp_path: Path) -> None:
    target = tmp_path / "m.larimar"
    told = refusal(cluster.data.from_items([{"body": "One."}]), target, workers=1)
    assert isinstance(told, InputError)
    assert told.why == "It has no column text; its columns are body."
    assert (tmp_path / "m.larimar.shards").is_dir()


def test_paths_that_cannot_be_read(cluster: Any, tmp_path: Path) -> None:
    target = tmp_path / "m.larimar"
    told = refusal(tmp_path / "none", target)
    assert told.why == "There is no such file or folder."
    assert refusal("-", target).why == "Other processes cannot read it."
    assert refusal(7, target).why == "It is a int."
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jpg").write_bytes(b"\0")
    told = refusal([tmp_path / "in"], target)
    assert told.why.startswith("None of the files can be read. The first is ")
    (tmp_path / "bad.parquet").write_bytes(b"no")
    assert "cannot be read as Parquet" in refusal(tmp_path / "bad.parquet", target).why
    assert "cannot be ingested" in refusal("nowhere://a/b", target).what
    assert not target.exists()


def test_more_gpus_than_there_are(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.")
    told = refusal(tmp_path / "a.txt", tmp_path / "m.larimar", gpus=0.5)
    assert isinstance(told, InputError)
    assert told.why == "Each worker is to have 0.5 GPUs, and the cluster has 0."


def test_one_ingestion_at_a_time_and_an_episode_of_a_database(
    cluster: Any, tmp_path: Path, address: str
) -> None:
    (tmp_path / "a.txt").write_text("One.")
    told = refusal(tmp_path / "a.txt", address, episode="trip")
    assert told.remedy == (
        "Name a folder that all workers see with shards=; they are committed in order from there."
    )
    (tmp_path / "s").mkdir()
    with FileLock(tmp_path / "s" / "lock"):
        told = refusal(tmp_path / "a.txt", tmp_path / "m.larimar", shards=tmp_path / "s")
    assert isinstance(told, MemoryBusyError)
    (tmp_path / "file").write_text("")
    told = refusal(tmp_path / "a.txt", tmp_path / "m.larimar", shards=tmp_path / "file")
    assert isinstance(told, MemoryFileError)
    assert told.what.startswith("The shards cannot be kept in ")
