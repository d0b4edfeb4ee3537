"""Encoders make keys of segments and questions.

`base` is the contract, `keys` the arithmetic of keys, `none` stands for an encoder that is not loaded.
`sentence`, the default, runs any sentence-transformers folder; it loads torch, so import it by name.
"""

from larimar_memory.encoders.base import Encoder, Kind, TokenBatch, TokenizingEncoder, check_encoder
from larimar_memory.encoders.keys import check_key, cosines, unit
from larimar_memory.encoders.none import NoEncoder

__all__ = [
    "Encoder",
    "Kind",
    "NoEncoder",
    "TokenBatch",
    "TokenizingEncoder",
    "check_encoder",
    "check_key",
    "cosines",
    "unit",
]
