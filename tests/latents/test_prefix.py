"""A prefix of the decoder's own keys and values is as good as having read the text."""

from __future__ import annotations

import threading

import pytest
import torch
from transformers import TextIteratorStreamer

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import ModelError
from larimar_memory.latents import LatentCodec, LatentConfig, generation_inputs
from larimar_memory.latents.anatomy import examine, fingerprint
from larimar_memory.latents.prefix import Prefix, States, place, rotate, unrotate
from larimar_memory.latents.states import exact_states, pad, read_lead
from tests.tiny import logits, tiny_decoder

ONE, TWO, QUESTION = [40, 41, 42, 43, 44], [70, 71, 72], [90, 91, 92, 93]
START, END = 0, 1


@pytest.fixture(scope="module")
def tiny() -> TransformersDecoder:
    return tiny_decoder()


def placed(
    decoder: TransformersDecoder,
    segments: list[list[int]],
    count: int = 1,
    stride: int = 0,
    before: tuple[int, ...] = (),
) -> Prefix:
    anatomy = examine(decoder)
    lead = read_lead(anatomy, before)
    states = exact_states(anatomy, lead, pad(segments, END, anatomy.model.device)).side_by_side(count)
    return place(anatomy, lead, states, count=count, stride=stride)


def continued(decoder: TransformersDecoder, prefix: Prefix, tokens: list[list[int]]) -> torch.Tensor:
    ids = torch.tensor(tokens)
    return logits(
        decoder,
        tokens,
        past_key_values=prefix.cache(),
        attention_mask=prefix.covering(torch.ones_like(ids, dtype=torch.bool)),
        position_ids=prefix.positions(ids.shape[1]),
    )


def test_a_prefix_equals_the_text(tiny: TransformersDecoder) -> None:
    for before in ((), (START,), (START, 60, 61, 62), (60, 61)):
        front = before if before[:1] == (START,) else (START, *before)
        read = logits(tiny, [[*front, *ONE, END, *QUESTION]])[:, -len(QUESTION) :]
        found = continued(tiny, placed(tiny, [ONE], before=before), [QUESTION])
        torch.testing.assert_close(found, read)


def test_segments_begin_at_even_distances(tiny: TransformersDecoder) -> None:
    """As if the text had been read with every segment's beginning a stride before the next."""
    stride = 37
    # A segment's keys depend on where it was read through attention to the start token, in every layer
    # but the first: the model that is asked has one.
    single = tiny_decoder(num_hidden_layers=1)
    ids = [[START, *ONE, END, *TWO, END, *QUESTION]]
    n, first, second = len(ids[0]), len(ONE) + 1, len(TWO) + 1
    places = [0, *range(1, 1 + first), *range(1 + stride, 1 + stride + second)]
    places += range(1 + 2 * stride, 1 + 2 * stride + len(QUESTION))
    read = logits(single, ids, position_ids=torch.tensor([places]))[:, -len(QUESTION) :]
    prefix = placed(single, [ONE, TWO], count=2, stride=stride)
    assert int(prefix.mask.sum()) == 1 + first + second == n - len(QUESTION)
    torch.testing.assert_close(continued(single, prefix, [QUESTION]), read, atol=1e-4, rtol=1e-4)
    near = continued(single, placed(single, [ONE, TWO], count=2), [QUESTION])
    assert not torch.allclose(near, read, atol=1e-3)


def test_a_prefix_is_no_longer_than_its_longest_row(tiny: TransformersDecoder) -> None:
    both = [ONE, TWO], [TWO[:1], []]
    prefix = placed(tiny, [s for row in both for s in row], count=2, stride=37)
    assert prefix.mask.shape[1] == int(prefix.mask.sum(1).max()) > int(prefix.mask.sum(1).min())
    found = continued(tiny, prefix, [QUESTION, QUESTION])
    for n, row in enumerate(both):
        alone = continued(tiny, placed(tiny, row, count=2, stride=37), [QUESTION])
        torch.testing.assert_close(found[n : n + 1], alone, atol=1e-4, rtol=1e-4)


def test_a_segment_that_is_not_there_takes_up_no_place(tiny: TransformersDecoder) -> None:
    anatomy = examine(tiny)
    lead = read_lead(anatomy, [])
    states = exact_states(anatomy, lead, pad([TWO, ONE], END, anatomy.model.device))
    states.mask[0] = False
    found = place(anatomy, lead, states.side_by_side(2), count=2, stride=9)
    alone = placed(tiny, [ONE], stride=9)
    torch.testing.assert_close(
        continued(tiny, found, [QUESTION]), continued(tiny, alone, [QUESTION]), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("offset", [0, 1, 500])
def test_rotation_can_be_undone(tiny: TransformersDecoder, offset: int) -> None:
    anatomy = examine(tiny)
    keys = torch.randn(2, 3, 2, 5, 8)
    positions = torch.arange(5)[None] + offset
    turned = rotate(anatomy, keys, positions)
    torch.testing.assert_close(unrotate(anatomy, turned, positions), keys, atol=1e-5, rtol=1e-5)
    assert torch.allclose(turned, keys) is False


def test_the_lead_stands_in_front(tiny: TransformersDecoder) -> None:
    """A start token in front of it, where it has none."""
    prefix = placed(tiny, [ONE], before=(60, 61))
    cache = tiny.model.model(torch.tensor([[START, 60, 61]]), use_cache=True).past_key_values
    for layer, keys, values in zip(cache.layers, prefix.keys, prefix.values, strict=True):
        torch.testing.assert_close(keys[:, :, :3], layer.keys)
        torch.testing.assert_close(values[:, :, :3], layer.values)


def test_readouts_side_by_side(tiny: TransformersDecoder) -> None:
    """Each is read on its own, then they stand one after another: attention with a block mask."""
    ids = [[START, *ONE, END, *TWO, END, *QUESTION]]
    n, first, second = len(ids[0]), len(ONE) + 1, len(TWO) + 1
    allowed = torch.ones(n, n).tril().bool()
    allowed[1 + first : 1 + first + second, 1 : 1 + first] = False
    positions = torch.arange(n)
    # Each segment was read at position 1, which attention to the start token notices.
    single = tiny_decoder(num_hidden_layers=1)
    mask = torch.zeros(n, n).masked_fill(~allowed, torch.finfo(torch.float32).min)[None, None]
    read = logits(single, ids, attention_mask=mask, position_ids=positions[None])[:, -len(QUESTION) :]
    found = continued(single, placed(single, [ONE, TWO], count=2), [QUESTION])
    torch.testing.assert_close(found, read)


def test_a_batch_equals_one_by_one(tiny: TransformersDecoder) -> None:
    rows = [[ONE, TWO], [TWO, ONE], [[5] * 11, [6]]]
    together = placed(tiny, [s for row in rows for s in row], count=2)
    assert not together.mask.all()
    found = continued(tiny, together, [QUESTION] * 3)
    for number, row in enumerate(rows):
        alone = placed(tiny, row, count=2)
        torch.testing.assert_close(
            found[number : number + 1], continued(tiny, alone, [QUESTION]), atol=1e-4, rtol=1e-4
        )


def test_generate_continues_a_prefix_as_it_continues_text(tiny: TransformersDecoder) -> None:
    prompt = torch.tensor([[START, *ONE, END, *QUESTION]])
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": END, "eos_token_id": None}
    read = tiny.model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)
    found = tiny.model.generate(
        **generation_inputs(placed(tiny, [ONE]), torch.tensor([QUESTION])), **options
    )
    assert found[0, len(QUESTION) :].tolist() == read[0, prompt.shape[1] :].tolist()
    gaps = placed(tiny, [ONE, TWO, [9] * 12])
    batch = tiny.model.generate(**generation_inputs(gaps, torch.tensor([QUESTION] * 3)), **options)
    assert batch[0].tolist() == found[0].tolist()


def test_the_real_decoder_streams_after_a_prefix(decoder: TransformersDecoder) -> None:
    """The plain decoder answers from exact keys and values as from the text, without adapters."""
    codec = LatentCodec(decoder, LatentConfig(limit=16))
    text, question = "The capital of Ruritania is Hamburg.", "What is the capital of Ruritania?"
    before, after = decoder.around_recalled(question)
    prefix = codec.placed(codec.exact(codec.padded([codec.tokens(text)])))
    assert prefix.mask.sum() == len(before) + len(codec.tokens(text)) + 1
    tokens = torch.tensor([after])
    streamer = TextIteratorStreamer(decoder.tokenizer, skip_prompt=True, skip_special_tokens=True)
    options = {"max_new_tokens": 16, "do_sample": False, "streamer": streamer}
    worker = threading.Thread(
        target=decoder.model.generate, kwargs={**generation_inputs(prefix, tokens), **options}
    )
    worker.start()
    pieces = list(streamer)
    worker.join()
    assert len(pieces) > 1
    assert "Hamburg" in "".join(pieces)


def test_without_a_readout_the_decoder_is_untouched() -> None:
    decoder = tiny_decoder()
    before = logits(decoder, [[START, *ONE]])
    modules = [set(module.__dict__) for module in decoder.model.modules()]
    codec = LatentCodec(decoder, LatentConfig(depth=0.5, limit=16, width=16, dz=8))
    for up in codec.adapters.up:
        torch.nn.init.normal_(up)
    assert torch.equal(logits(decoder, [[START, *ONE]]), before)
    with codec.adapters.attached():
        changed = logits(decoder, [[START, *ONE]])
        elsewhere = list[torch.Tensor]()
        other = threading.Thread(target=lambda: elsewhere.append(logits(decoder, [[START, *ONE]])))
        other.start()
        other.join()
    assert not torch.equal(changed, before)
    assert torch.equal(elsewhere[0], before)
    with pytest.raises(RuntimeError, match="stop"), codec.adapters.attached():
        raise RuntimeError("stop")
    assert torch.equal(logits(decoder, [[START, *ONE]]), before)
    assert [set(module.__dict__) for module in decoder.model.modules()] == modules


def test_merged_adapters_do_what_the_others_do() -> None:
    decoder = tiny_decoder()
    torch.manual_seed(0)
    codec = LatentCodec(decoder, LatentConfig(depth=0.5, limit=16, width=16, dz=8))
    for up in codec.adapters.up:
        torch.nn.init.normal_(up)
    before = logits(decoder, [[START, *ONE]])
    with codec.adapters.attached():
        low_rank = logits(decoder, [[START, *ONE]])
    codec.adapters.merge()
    with codec.adapters.attached():
        merged = logits(decoder, [[START, *ONE]])
    torch.testing.assert_close(merged, low_rank)
    assert not torch.equal(merged, before)
    assert torch.equal(logits(decoder, [[START, *ONE]]), before)


def test_threads_attach_adapters_in_any_order() -> None:
    """Two codecs of one decoder, each in its own thread, the first to come the first to go."""
    decoder = tiny_decoder()
    config = LatentConfig(depth=0.5, limit=16, width=16, dz=8)
    before, codecs, alone = logits(decoder, [[START, *ONE]]), list[LatentCodec](), list[torch.Tensor]()
    for _ in range(2):
        codecs.append(LatentCodec(decoder, config))
        for up in codecs[-1].adapters.up:
            torch.nn.init.normal_(up)
        with codecs[-1].adapters.attached():
            alone.append(logits(decoder, [[START, *ONE]]))
    there, done = threading.Event(), threading.Event()
    found = list[torch.Tensor]()

    def second() -> None:
        with codecs[1].adapters.attached():
            there.set()
            done.wait()
            found.append(logits(decoder, [[START, *ONE]]))

    thread = threading.Thread(target=second)
    with codecs[0].adapters.attached():
        thread.start()
        there.wait()
        assert torch.equal(logits(decoder, [[START, *ONE]]), alone[0])
    assert torch.equal(logits(decoder, [[START, *ONE]]), before)
    done.set()
    thread.join()
    assert torch.equal(found[0], alone[1])
    assert not any("forward" in module.__dict__ for module in decoder.model.modules())


def test_a_fingerprint_knows_the_model_not_the_format() -> None:
    assert fingerprint(tiny_decoder(torch.bfloat16)) == fingerprint(tiny_decoder(torch.bfloat16))
    widened = tiny_decoder(torch.bfloat16)
    widened.model.float()
    assert fingerprint(widened) == fingerprint(tiny_decoder(torch.bfloat16))
    assert fingerprint(tiny_decoder()) != fingerprint(tiny_decoder(seed=1))


def test_a_decoder_that_is_not_llama_like_is_refused() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from tests.tiny import ByteTokenizer

    other = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=300))
    with pytest.raises(ModelError, match=r"The decoder 'gpt' cannot use latents\. It does not have"):
        examine(TransformersDecoder(other, ByteTokenizer(), name="gpt"))


def test_states_in_a_line() -> None:
    keys = torch.arange(2 * 4 * 3 * 5 * 2.0).reshape(2, 4, 3, 5, 2)
    line = States(keys, keys + 1, torch.ones(4, 5, dtype=torch.bool)).side_by_side(2)
    assert line.keys.shape == (2, 2, 3, 10, 2)
    assert torch.equal(line.keys[:, 1, :, 5:], keys[:, 3])
    assert torch.equal(line.values[:, 0, :, :5], keys[:, 0] + 1)
