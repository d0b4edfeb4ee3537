"""Token ids of text that is data: whatever it spells, no control token comes of it."""

from __future__ import annotations

from typing import Any


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text, none of them of a control token. Safe for threads.

    `split_special_tokens=True` alone would not do: it is a switch inside a fast tokenizer, which
    another thread may turn meanwhile, and added tokens that are not called special still count.
    """
    ids = _pipeline(tokenizer, text)
    control = control_ids(tokenizer)
    return ids if control.isdisjoint(ids) else _spelt(tokenizer, ids, control)


def control_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that a tokenizer calls special, but for one that says "unknown character"."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {id for id, token in added.items() if token.special}
    special |= set(getattr(tokenizer, "all_special_ids", ()))
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    if type(model).__name__ in ("NoneType", "Unigram") or getattr(model, "unk_token", None):
        named = ("bos", "eos", "pad", "sep", "cls", "mask")
        acting = {getattr(tokenizer, f"{name}_token_id", None) for name in named}
        special -= {getattr(tokenizer, "unk_token_id", None)} - acting
    return frozenset(special)


def _pipeline(tokenizer: Any, text: str) -> list[int]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        found: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
            "input_ids"
        ]
        return found
    # The steps of `encode`, but for the first, which looks for added tokens.
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    words = [text]
    if backend.pre_tokenizer is not None:
        words = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
    model = backend.model
    return [token.id for word in words for token in model.tokenize(word)]


def _spelt(tokenizer: Any, ids: list[int], control: frozenset[int]) -> list[int]:
    """Ids in which what spells a control token that is in the vocabulary itself is taken apart."""
    out = list[int]()
    for id in ids:
        if id not in control:
            out.append(id)
            continue
        for char in tokenizer.convert_ids_to_tokens(id):
            out += [i for i in _pipeline(tokenizer, char) if i not in control]
    return out
