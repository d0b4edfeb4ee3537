"""Laws of the contracts: subclass one in a test file, and a part of your own is tested by pytest.

from larimar_memory.testing import EncoderLaws

class TestMine(EncoderLaws):
    def encoder(self):
        return MyEncoder()
"""

from larimar_memory.testing.encoders import EncoderLaws

__all__ = ["EncoderLaws"]
