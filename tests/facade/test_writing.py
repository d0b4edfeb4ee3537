"""Writing: what it costs, what it takes for the same, and in which threads it works."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.encoders.base import TokenizingEncoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.text.blocks import Text
from larimar_memory.validate import check_metadata, same_json
from tests.quick import QuickEncoder, QuickTokens

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2).map(float) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def test_a_text_is_encoded_once_and_its_metadata_dumped_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, metadata = "Der Schl\u00fcssel liegt unter der gr\u00fcnen Matte.", {"of": "ana"}
    encoded, dumped = list[str](), list[str]()
    dumps = json.dumps

    def profile(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ == "encode" and called.__self__ == text:
            encoded.append(frame.f_code.co_filename)

    def noted(value: Any, **options: Any) -> str:
        if value == metadata:
            dumped.append(sys._getframe(1).f_code.co_filename)
        return dumps(value, **options)

    with Larimar.open(tmp_path / "m.larimar", encoder=QuickEncoder()) as memory:
        monkeypatch.setattr(json, "dumps", noted)
        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            memory.write([text], metadatas=[metadata])
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    # But for the encoder's own work, and the store's.
    before = [path.name for path in map(Path, encoded) if path.parts[-3:-1] != ("stores", "sqlite")]
    assert before == ["blocks.py", "quick.py"]
    assert [Path(name).name for name in dumped] == ["validate.py", "changes.py"]


@given(VALUES, VALUES)
def test_json_values_are_the_same_where_their_text_is(one: Any, other: Any) -> None:
    def canonical(value: Any) -> str:
        return json.dumps(value, sort_keys=True)

    assert same_json(one, other) == (canonical(one) == canonical(other))
    assert same_json({"a": one}, check_metadata({"a": json.loads(canonical(one))}))


@pytest.mark.parametrize(
    ("first", "second"), [({"a": 1}, {"a": True}), ({"a": 1}, {"a": 1.0}), ({"a": 0.0}, {"a": -0.0})]
)
def test_metadata_that_python_takes_for_equal_are_written(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    with Larimar.open(encoder=QuickEncoder()) as memory:
        for metadata in (first, second):
            memory.write(["A text."], ["d"], [metadata])
            (held,) = memory.documents()
            assert repr(held.metadata) == repr(metadata)
        # Twice in one write, it is the last that stays.
        memory.write(["A text."] * 2, ["d"] * 2, [second, first])
        (held,) = memory.documents()
        assert repr(held.metadata) == repr(first)


@pytest.mark.parametrize("encoder", [QuickEncoder(), QuickTokens()])
def test_texts_are_read_in_one_thread_and_no_longer_than_the_write(encoder: QuickEncoder) -> None:
    threads = set[str]()

    def texts(fails: bool) -> Iterator[Text]:
        for n in range(3000):
            threads.add(threading.current_thread().name)
            yield Text(f"d{n}", f"Note {n}.", {})
        if fails:
            yield Text("d", "", {})

    with Larimar.open(encoder=encoder) as memory:
        for fails in (True, False):
            if fails:
                with pytest.raises(InputError, match=r"d cannot be written\. It is empty\."):
                    memory.write_each(texts(fails))
            else:
                memory.write_each(texts(fails))
            assert memory.stats().documents == 3000
            left = [t.name for t in threading.enumerate()]
            assert not [name for name in left if name.startswith(("larimar-read", "larimar-commit"))]
    here = threading.current_thread().name in threads
    assert here is not isinstance(encoder, TokenizingEncoder)
    assert len(threads) == 1
