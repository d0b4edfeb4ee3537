"""The sentence encoder: makes keys with the model of any sentence-transformers folder."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from tokenizers import Tokenizer

from larimar_memory.encoders import fast_cpu
from larimar_memory.encoders.base import Kind, TokenBatch
from larimar_memory.encoders.bert import Bert
from larimar_memory.encoders.coarse import CoarseTable, find_table, load_for
from larimar_memory.encoders.pooling import Pooling, load_pooling
from larimar_memory.errors import ModelError
from larimar_memory.models import finding
from larimar_memory.models.device import best_device, best_dtype
from larimar_memory.models.files import fingerprint, read_json
from larimar_memory.models.loading import check_forked, loading, reading, run_in_children
from larimar_memory.system import forking
from larimar_memory.system.groups import in_groups
from larimar_memory.system.threads import one_thread
from larimar_memory.text.normal import spelt_out

log = logging.getLogger(__name__)

_BATCH_TOKENS = {"cpu": 1024, "cuda": 65536, "mps": 8192}
_SMALL = 128
"""Up to how many tokens one thread is as quick as several on a CPU: a question has some twenty."""

_FEW, _UNEVEN = 8, 1.5
"""Texts that are batched whatever their lengths; in a larger batch, the longest is at most so many
times as long as the shortest. Padding costs as much as text."""

_DEFAULT_MAX_TOKENS = 512
_MOST_UNKNOWN = 1 / 4
"""Largest share of unknown letters in a text that can be read.

MiniLM has one vector for all that it does not know, so all texts of unknown letters look alike. It
knows less than three quarters of sentences in Amharic, Burmese, Chinese, Khmer, Lao, Malayalam, Telugu
and Thai.
"""


class SentenceEncoder:
    """Encode text to keys of unit length; thread-safe.

    Attributes:
        dimension: d, numbers in a key.
        fingerprint: identifies the model; kept in every memory written with it.
        special_ids: ids of the special tokens that every text gets.
        vocabulary: number of tokens.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: Tokenizer,
        pooling: Pooling,
        *,
        fingerprint: str,
        prompts: dict[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._pooling = pooling.eval()
        self._prompts = prompts or {}
        self._folder = folder
        self._device = next(p.device for p in model.parameters())
        self._bert = model if isinstance(model, Bert) else None
        self._lock = forking.Lock()
        self._special = tokenizer.num_special_tokens_to_add(is_pair=False)
        self._unknown = _unknown_token(tokenizer)
        self.special_ids: list[int] = tokenizer.encode("").ids
        self.vocabulary = max(tokenizer.get_vocab().values()) + 1
        self.fingerprint = fingerprint
        run_in_children()
        self.dimension = self._forward([tuple(tokenizer.encode("dimension").ids)]).shape[1]

    @classmethod
    def load(
        cls,
        name: str | Path = finding.DEFAULT_ENCODER,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> SentenceEncoder:
        """Load an encoder by folder, wheel or hub name, in bf16 where that is fast.

        Raises:
            ModelError: if the model is not found or is not a sentence encoder.
        """
        folder = finding.resolve(name)
        device = device or best_device()
        dtype = dtype or best_dtype(device)
        check_forked(device)
        packed = device.type == "cpu" and dtype is torch.bfloat16 and fast_cpu.supported()
        remedy = "Name a sentence-transformers model folder or hub repository."
        with reading(f"sentence encoder {str(name)!r}", remedy):
            tokenizer = _tokenizer(folder)
            model = _model(folder, device, dtype, packed)
        if packed:
            fast_cpu.pack(model)
        return cls(
            model,
            tokenizer,
            load_pooling(folder).to(device),
            fingerprint=fingerprint(folder),
            prompts=read_json(folder / "config_sentence_transformers.json").get("prompts"),
            folder=folder,
        )

    @cached_property
    def coarse(self) -> CoarseTable | None:
        """The table of coarse keys, loaded on first use; None if there is none for this model.

        Raises:
            ModelError: if the table cannot be used.
        """
        path = find_table(self.fingerprint, self._folder)
        if path is None:
            log.info("encoder %s has no table of coarse keys", self.fingerprint[:12])
            return None
        return load_for(path, self.fingerprint, self.dimension)

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> Float[np.ndarray, "n d"]:
        """Keys of unit length, float32, in the order given, with the model's prompt for their kind.

        A text gets a key of zeros if more than a quarter of its letters are unknown to the model.
        """
        if kind == "segment":
            return self.encode_tokens(self.tokenize(texts))
        return self.encode_tokens(self._tokens(texts, self._prompts.get("query", "")))

    def tokenize(self, texts: Sequence[str]) -> TokenBatch:
        """Token ids of segments, cut at the model's length, with its document prompt if any."""
        prompt = self._prompts.get("document", self._prompts.get("passage", ""))
        return self._tokens([text.strip() for text in texts], prompt)

    def alone(self, tokens: Iterable[int]) -> TokenBatch:
        """Segments of one token each."""
        letter = self._tokenizer.encode("x")
        first = letter.special_tokens_mask.index(0)
        after = letter.ids[len(letter.ids) - letter.special_tokens_mask[::-1].index(0) :]
        return TokenBatch([[*letter.ids[:first], token, *after] for token in tokens], self._special)

    def encode_tokens(self, batch: TokenBatch) -> Float[np.ndarray, "n d"]:
        """Keys of tokenised segments; identical ones are computed once.

        Segments of similar length are computed together.
        """
        read = [ids for n, ids in enumerate(batch.ids) if n not in batch.unread]
        distinct = {tuple(ids): None for ids in read}
        by_length = sorted(distinct, key=len)
        rows: dict[tuple[int, ...], Float[np.ndarray, " d"]] = {}
        budget = _BATCH_TOKENS.get(self._device.type, 8192)
        batches = in_groups(by_length, len, budget) if self._bert else _buckets(by_length, budget)
        for together in batches:
            rows.update(zip(together, self._forward(together), strict=True))
        keys = np.zeros((len(batch.ids), self.dimension), dtype=np.float32)
        for n, ids in enumerate(batch.ids):
            if n not in batch.unread:
                keys[n] = rows[tuple(ids)]
        return keys

    def _tokens(self, texts: Sequence[str], prompt: str) -> TokenBatch:
        with forking.inside():
            whole = [spelt_out(text, self._likeliest) for text in texts]
            found = self._tokenizer.encode_batch_fast([prompt + text for text in whole])
            ids = [e.ids for e in found]
            unread = [
                n for n, own in enumerate(ids) if self._unknown in own and self._is_unread(whole[n])
            ]
        return TokenBatch(ids, self._special, frozenset(unread))

    def _likeliest(self, readings: list[str]) -> str:
        """The reading with the fewest tokens: a known word is a single token."""
        return min(readings, key=lambda text: len(self._tokenizer.encode(text).ids))

    def _is_unread(self, text: str) -> bool:
        said = self._tokenizer.encode(text, add_special_tokens=False)
        known = unknown = 0
        for token, (start, end) in zip(said.ids, said.offsets, strict=True):
            letters = sum(unicodedata.category(c)[0] not in "PZ" for c in text[start:end])
            known, unknown = known + letters, unknown + letters * (token == self._unknown)
        return unknown > (known + unknown) * _MOST_UNKNOWN

    def _forward(self, batch: Sequence[tuple[int, ...]]) -> Float[np.ndarray, "n d"]:
        """Keys of texts, in ascending order of their lengths."""
        check_forked(self._device)
        tokens = sum(map(len, batch))
        small = self._device.type == "cpu" and tokens <= _SMALL
        alone = one_thread() if small else nullcontext()
        with forking.inside(), self._lock, alone, torch.inference_mode():
            found = self._bert([*_buckets(batch, tokens)]) if self._bert else [self._padded(batch)]
            keys = torch.cat([self._pooling(hidden, mask) for hidden, mask in found])
        return np.asarray(keys.float().cpu().numpy())

    def _padded(self, batch: Sequence[tuple[int, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The last hidden states of texts, (b, t, h), and their mask, (b, t)."""
        longest = len(batch[-1])
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        mask = torch.zeros(len(batch), longest, dtype=torch.long)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        # Without padding no mask is needed, and attention is cheaper without one.
        is_padded = len(batch[0]) < longest
        hidden = self._model(input_ids=ids, attention_mask=mask if is_padded else None)
        return hidden.last_hidden_state, mask


def _buckets(by_length: Sequence[tuple[int, ...]], budget: int) -> Iterator[Sequence[tuple[int, ...]]]:
    """Runs of texts of similar length whose padded size stays within the token budget."""
    start = 0
    for end in range(1, len(by_length) + 1):
        if (
            end == len(by_length)
            or (end - start + 1) * len(by_length[end]) > budget
            or (end - start >= _FEW and len(by_length[end]) > _UNEVEN * len(by_length[start]))
        ):
            yield by_length[start:end]
            start = end


def _model(folder: Path, device: torch.device, dtype: torch.dtype, packed: bool) -> torch.nn.Module:
    bert = Bert.load(folder, dtype) if device.type == "cpu" else None
    if bert is not None:
        return bert
    with loading():
        # Not the Auto class of sentence-transformers: importing that package takes seconds.
        from larimar_memory.encoders import library

        return library.load(folder, device, dtype, short=packed)


def _tokenizer(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            f"The sentence encoder in {folder} cannot be used.",
            "It has no tokenizer.json.",
            "Save its fast tokenizer into the folder with `save_pretrained`.",
        )
    tokenizer = Tokenizer.from_file(str(path))
    limit = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    positions = read_json(folder / "config.json").get("max_position_embeddings")
    tokenizer.enable_truncation(int(limit or min(positions or _DEFAULT_MAX_TOKENS, 8192)))
    tokenizer.no_padding()
    return tokenizer


def _unknown_token(tokenizer: Tokenizer) -> int | None:
    """The id of the token for all unknown text; None for a tokenizer that knows every byte."""
    found = map(tokenizer.token_to_id, ("[UNK]", "<unk>"))
    return next((token for token in found if token is not None), None)
