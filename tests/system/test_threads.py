"""A block in one thread limits the thread that enters it, and no other."""

from __future__ import annotations

import threading

import torch

from larimar_memory.system.threads import one_thread


def test_only_the_thread_that_asks_is_limited() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen = list[int]()
        with one_thread():
            other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
            other.start()
            other.join()
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        assert seen == [3]
    finally:
        torch.set_num_threads(before)


def test_blocks_may_be_in_each_other() -> None:
    before = torch.get_num_threads()
    with one_thread(), one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
