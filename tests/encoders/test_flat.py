"""Texts in one sequence have the hidden states that each has alone, whatever is beside it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AttentionInterface, BertConfig, BertModel

from larimar_memory.encoders import fast_cpu, flat
from larimar_memory.encoders.sentence import SentenceEncoder

CONFIG = BertConfig(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    attn_implementation=flat.ATTENTION,
)
TEXTS = st.lists(st.lists(st.integers(1, 49), min_size=1, max_size=12), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def bert() -> BertModel:
    torch.manual_seed(0)
    model = BertModel(CONFIG).eval()
    assert flat.heeds_groups(model)
    assert AttentionInterface()[flat.ATTENTION] is fast_cpu.short_attention
    return model


@given(st.lists(TEXTS, min_size=1, max_size=4))
@settings(max_examples=50)
def test_each_text_is_as_if_it_were_alone(bert: BertModel, groups: list[list[list[int]]]) -> None:
    with torch.inference_mode():
        found = flat.hidden_states(bert, groups)
        for group, (hidden, mask) in zip(groups, found, strict=True):
            assert mask.sum(1).tolist() == [len(text) for text in group]
            for text, states in zip(group, hidden, strict=True):
                alone = bert(input_ids=torch.tensor([text])).last_hidden_state[0]
                torch.testing.assert_close(states[: len(text)], alone, atol=1e-5, rtol=1e-4)


def test_only_models_that_can_are_read_so(encoder: SentenceEncoder) -> None:
    assert flat.heeds_groups(encoder._model)
    assert not flat.can_read(torch.nn.Linear(2, 2))
    other = BertModel(BertConfig(**{**CONFIG.to_dict(), "attn_implementation": "sdpa"}))
    assert flat.can_read(other)
    assert not flat.heeds_groups(other)
