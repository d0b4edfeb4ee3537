"""Laws of the contracts: subclass one in a test file, and a part of your own is tested by pytest.

from larimar_memory.testing import DecoderLaws

class TestMine(DecoderLaws):
    def decoder(self):
        return MyDecoder()
"""

import pytest

pytest.register_assert_rewrite(f"{__name__}.decoders")

from larimar_memory.testing.decoders import DecoderLaws  # noqa: E402 - rewritten before it is imported

__all__ = ["DecoderLaws"]
