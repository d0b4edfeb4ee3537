"""Laws of the contracts: subclass one in a test file, and pytest tests a part of your own.

from larimar_memory.testing import EncoderLaws

class TestMine(EncoderLaws):
    def encoder(self):
        return MyEncoder()
"""

import pytest

for _laws in ("decoders", "encoders", "keys", "stores"):
    pytest.register_assert_rewrite(f"{__name__}.{_laws}")

from larimar_memory.testing.decoders import DecoderLaws  # noqa: E402 - rewritten before the import
from larimar_memory.testing.encoders import EncoderLaws  # noqa: E402
from larimar_memory.testing.stores import StoreLaws  # noqa: E402

__all__ = ["DecoderLaws", "EncoderLaws", "StoreLaws"]
