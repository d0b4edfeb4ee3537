"""The laws of the receipts that a store keeps, and of the search in its files; part of `StoreLaws`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from larimar_memory.errors import InputError
from larimar_memory.stores.base import Store
from larimar_memory.system.pieces import Pieces
from larimar_memory.testing.writes import batch

_TEXT = "quixotic zymurgy on the isle of Ren"


class ReceiptLaws:
    """The laws of receipts; a store that keeps none refuses them."""

    def reopen(self, store: Store) -> Store:
        """See `StoreLaws`."""
        return store

    def test_lines_of_receipts_are_kept_in_order_for_good(self, store: Store) -> None:
        """Each line is made from the last, by one thread at a time; deleting and purging keep them."""
        assert store.receipts() == ([], 0)
        try:
            store.add_receipts(lambda last: [f"{last} one", "two \u2028 \u00e9"])
        except InputError:
            assert (store.keeps_receipts, store.receipts()) == (False, ([], 0))
            pytest.skip("the store keeps no receipts")
        assert store.keeps_receipts
        store.add_receipts(lambda _: [])

        def add(name: str) -> None:
            for _ in range(3):
                store.add_receipts(lambda last: [f"{last}{name}"])

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(add, "abc"))
        lines = store.receipts().lines
        assert lines[:2] == ["None one", "two \u2028 \u00e9"]
        assert all(after[:-1] == before for before, after in pairwise(lines[1:]))
        store.write("n", [batch("d", ["one"])])
        store.delete("n", to_purge=True)
        store.purge()
        store = self.reopen(store)
        assert store.receipts() == (lines, 11)

    def test_lines_that_cannot_be_made_change_nothing(self, store: Store) -> None:
        """An error of the function that makes the lines reaches the caller."""

        def fails(last: str | None) -> list[str]:
            raise ZeroDivisionError(last)

        with pytest.raises((ZeroDivisionError, InputError)):
            store.add_receipts(fails)
        assert store.receipts() == ([], 0)

    def test_what_is_erased_is_in_no_file(self, store: Store) -> None:
        """What was written is in the files, if there are any, until it is erased."""
        latents = [np.arange(64, dtype=np.int8)]
        store.write(
            "n", [batch("d", [_TEXT], {"of": "mallory"}, latents=latents), batch("e", ["other"])]
        )
        pieces = Pieces()
        for value in (_TEXT.encode(), latents[0].tobytes(), b"mallory"):
            pieces.add(value)
        searched = store.search_files(pieces)
        if not searched:
            pytest.skip("the store has no files, or they cannot be searched")
        assert set().union(*(file.found or () for file in searched)) == set(pieces)
        assert sum(file.size for file in searched) > 0
        store.delete("n", ids=["d"], to_purge=True)
        store.purge()
        assert not any(file.found for file in store.search_files(pieces) or ())
