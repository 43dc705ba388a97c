"""Answers the prompts of bench:retrieval with kvpress: python retrieval_kvpress.py MODEL.gguf PROMPTS.jsonl ROWS.jsonl

Goes on where it was stopped. Every press compresses the same forward pass: its `compress` gets what the library's own hook would give it, layer by
layer, as a layer's output at prefill does not depend on what is evicted afterwards.
"""
import contextlib
import json
import os
import sys

import torch
from kvpress import (AdaKVPress, ChunkKVPress, CriticalKVPress, CURPress, ExpectedAttentionPress, KeyDiffPress, KnormPress, LagKVPress,
                     PyramidKVPress, RandomPress, SnapKVPress, StreamingLLMPress, TOVAPress)
from transformers import AutoModelForCausalLM, DynamicCache

RATIOS = {"50%": 0.5, "20%": 0.8, "10%": 0.9}
SNAP = "snapkv(window=64)"


def presses(ratio):
    snap = lambda: SnapKVPress(compression_ratio=ratio)
    return {
        SNAP: snap(),
        f"adakv({SNAP}, form=safeguard)": AdaKVPress(snap()),
        f"pyramidkv({SNAP}, form=kvpress)": PyramidKVPress(compression_ratio=ratio),
        f"chunkkv({SNAP}, whole=true)": ChunkKVPress(snap()),
        f"criticalkv({SNAP})": CriticalKVPress(snap()),
        "tova(protectNewest=true)": TOVAPress(compression_ratio=ratio),
        "expected-attention": ExpectedAttentionPress(compression_ratio=ratio),
        "keydiff": KeyDiffPress(compression_ratio=ratio),
        "knorm": KnormPress(compression_ratio=ratio),
        "lagkv": LagKVPress(compression_ratio=ratio),
        "cur": CURPress(compression_ratio=ratio),
        "streaming-llm": StreamingLLMPress(compression_ratio=ratio),
        "random": RandomPress(compression_ratio=ratio),
    }


CASES = {"full@100%": None} | {f"{name}@{budget}": press for budget, ratio in RATIOS.items() for name, press in presses(ratio).items()}


@contextlib.contextmanager
def compressing(model, stores):
    """Lets every press compress what each layer has just read; masks of ragged presses are kept beside the entries."""

    def hook(module, inputs, kwargs, output):
        layer = kwargs["past_key_values"].layers[module.layer_idx]
        for name, press in CASES.items():
            module.masked_key_indices = None
            keys, values = layer.keys, layer.values
            if press is not None:
                keys, values = press.compress(module, kwargs["hidden_states"], keys, values, output[1], kwargs)
            stores[name].append((keys, values, module.masked_key_indices))
        module.masked_key_indices = None
        return output

    for press in CASES.values():
        if press is not None:
            press.post_init_from_model(model)
    hooks = []
    for layer in model.model.layers:
        layer.self_attn.rotary_emb = model.model.rotary_emb
        hooks.append(layer.self_attn.register_forward_hook(hook, with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def score(model, entries, length, fed, answer):
    """[exact, share of digits, mean log-probability] of an answer behind a compressed text."""
    cache = DynamicCache()
    for index, (keys, values, masked) in enumerate(entries):
        cache.update(keys.clone(), values.clone(), index)
        model.model.layers[index].self_attn.masked_key_indices = masked
    ids = fed + answer[:-1]
    positions = torch.arange(length, length + len(ids))[None]
    logits = forward(model, cache, torch.tensor([ids]), positions)[0, -len(answer):]
    for layer in model.model.layers:
        layer.self_attn.masked_key_indices = None
    probabilities = logits.log_softmax(-1)
    right = [int(row.argmax()) == token for row, token in zip(logits, answer)]
    mean = sum(float(row[token]) for row, token in zip(probabilities, answer)) / len(answer)
    return [int(all(right)), round(sum(right) / len(right), 4), round(mean, 4)]


def forward(model, cache, ids, positions):
    """The model's own layers, each with a causal mask over what it holds: layers of one cache may hold different numbers of entries."""
    hidden = model.model.embed_tokens(ids)
    embeddings = model.model.rotary_emb(hidden, positions)
    rows = ids.shape[1]
    for index, layer in enumerate(model.model.layers):
        past = cache.layers[index].keys.shape[2]
        mask = torch.ones(rows, past + rows, dtype=torch.bool).tril(past)[None, None]
        hidden = layer(hidden, attention_mask=mask, position_ids=positions, past_key_values=cache, cache_position=positions[0],
                       position_embeddings=embeddings)
    return model.lm_head(model.model.norm(hidden))


@torch.no_grad()
def answer_prompt(model, prompt):
    stores = {name: [] for name in CASES}
    torch.manual_seed(0)
    with compressing(model, stores):
        model(torch.tensor([prompt["compressed"]]), past_key_values=DynamicCache(), logits_to_keep=1)
    length = len(prompt["compressed"])
    return {name: score(model, entries, length, prompt["fed"], prompt["answer"]) for name, entries in stores.items()}


def main(path, prompts, rows):
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    folder, name = os.path.split(path)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32, attn_implementation="sdpa").eval()
    key = lambda row: tuple(row[name] for name in ("source", "model", "length", "setting", "sample"))
    done = {key(json.loads(line)) for line in open(rows)} if os.path.exists(rows) else set()
    for line in open(prompts):
        prompt = json.loads(line)
        if key(prompt) in done:
            continue
        facts = {name: prompt[name] for name in ("source", "model", "length", "setting", "sample")}
        with open(rows, "a") as file:
            file.write(json.dumps(facts | {"scores": answer_prompt(model, prompt)}) + "\n")
        print(*key(prompt), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
