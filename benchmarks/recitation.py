"""Segments said again from nothing but their latents, as they come back from a store."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int8

from benchmarks.result import Figures, rate
from benchmarks.session import Session
from larimar_memory.latents import LatentCodec
from larimar_memory.latents.stored import StoredForm
from larimar_memory.text.segments import segment
from larimar_memory.train.evaluate import edit_distance, say

_BATCH = 32
_STEP = 8
_GIVEN = ("Ada", "Bruno", "Clara", "Dmitri", "Esther", "Farid", "Greta", "Hugo", "Ingrid", "Jonas")
_FAMILY = ("Okafor", "Lindqvist", "Marchetti", "Novak", "Pereira", "Quintana", "Rasmussen", "Szabo")


def _number(draw: random.Random) -> str:
    return str(draw.randint(10_000, 99_999))


def _uuid(draw: random.Random) -> str:
    return str(uuid.UUID(int=draw.getrandbits(128), version=4))


def _name(draw: random.Random) -> str:
    return f"{draw.choice(_GIVEN)} {draw.choice(_FAMILY)}"


RARE: dict[str, Callable[[random.Random], str]] = {
    "5-digit number": _number,
    "UUID": _uuid,
    "proper name": _name,
}
"""Strings put into sentences, by what they are."""


def sentences(texts: Sequence[str]) -> list[str]:
    """Segments of texts, without blanks around them."""
    found = (piece.text.strip() for text in texts for piece in segment(text))
    return list(dict.fromkeys(text for text in found if text))


def openings(
    codec: LatentCodec, texts: Sequence[str], draw: random.Random, count: int, lengths: tuple[int, int]
) -> list[str]:
    """Beginnings of sentences, whole words, of all lengths in tokens between these alike."""
    found = list[str]()
    for text in texts:
        if len(found) == count:
            break
        wanted, words = draw.randint(*lengths), text.split()
        while words and len(codec.tokens(" ".join(words))) > wanted:
            words.pop()
        opening = " ".join(words)
        if len(codec.tokens(opening)) >= max(lengths[0], wanted - 3):
            found.append(opening)
    return found


def with_rare(
    texts: Sequence[str], make: Callable[[random.Random], str], draw: random.Random, count: int
) -> list[tuple[str, str]]:
    """Sentences of 8 to 14 words with a string in place of one of them, and the string."""
    found = list[tuple[str, str]]()
    for text in texts:
        words = text.split()
        if len(found) == count:
            break
        if 8 <= len(words) <= 14:
            string = make(draw)
            words[draw.randrange(1, len(words) - 1)] = string
            found.append((" ".join(words), string))
    return found


def drawn(session: Session, tokens: int, purpose: str) -> list[str]:
    """Sentences of so many tokens of prose, in an order drawn for a purpose."""
    texts = sentences(session.prose(tokens).paragraphs)
    session.draw(purpose).shuffle(texts)
    return texts


def said_again(codec: LatentCodec, texts: Sequence[str]) -> list[str]:
    """What the decoder says, greedily, from the stored latents of each text."""
    return _said(codec, texts, codec.stored_form, _stored(codec, texts, codec.stored_form))


def _stored(codec: LatentCodec, texts: Sequence[str], form: StoredForm) -> list[Int8[np.ndarray, " n"]]:
    return [form.pack(z) for z in codec.encode(texts)]


def _said(
    codec: LatentCodec, texts: Sequence[str], form: StoredForm, held: Sequence[Int8[np.ndarray, " n"]]
) -> list[str]:
    latents = list[Float[np.ndarray, "m dz"]]()
    for stored in held:
        z = form.unpack(stored)
        if z is None:
            raise ValueError("a latent did not come back as it was stored")
        latents.append(z)
    said = ["" for _ in texts]
    order = sorted(range(len(texts)), key=lambda n: len(latents[n]))
    for at in range(0, len(order), _BATCH):
        batch = order[at : at + _BATCH]
        prefix = codec.prefix([[latents[n]] for n in batch])
        longest = max(len(codec.tokens(texts[n])) for n in batch)
        for n, ids in zip(batch, say(codec, prefix, longest + 4), strict=True):
            said[n] = codec.decoder.tokenizer.decode([t for t in ids if t >= 0])
            if -1 in ids:
                # Never ended: no text equals it.
                said[n] += "\0"
    return said


def exactness(codec: LatentCodec, texts: Sequence[str], form: StoredForm | None = None) -> Figures:
    """Shares said again without a difference, altogether and by length; edit distances; and the bytes
    that the latents take for each of the decoder's tokens.

    Args:
        form: how the latents are stored; by default, as the codec's are.
    """
    form = form or codec.stored_form
    held = _stored(codec, texts, form)
    said = _said(codec, texts, form, held)
    by_length: dict[str, list[bool]] = {}
    edits = list[float]()
    for text, again in zip(texts, said, strict=True):
        tokens = codec.tokens(text)
        top = -(-len(tokens) // _STEP) * _STEP
        by_length.setdefault(f"{top - _STEP + 1} to {top}", []).append(text == again)
        edits.append(edit_distance(tokens, codec.tokens(again)) / len(tokens))
    ordered = sorted(by_length.items(), key=lambda item: int(item[0].split()[-1]))
    return {
        "bytes_per_token": sum(z.nbytes for z in held) / sum(len(codec.tokens(text)) for text in texts),
        "exact": rate([a == b for a, b in zip(texts, said, strict=True)]),
        "edit_distance": sum(edits) / len(edits),
        "by_tokens": {name: rate(hits) for name, hits in ordered},
        "missed": [[a, b] for a, b in zip(texts, said, strict=True) if a != b][:10],
    }
