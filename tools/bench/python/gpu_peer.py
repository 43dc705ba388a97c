"""The peer of bench:gpu: transformers on a model of the same shape with random bf16 weights; with kvpress where it is installed. One JSON line per run."""

import json
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def seconds(work):
    torch.cuda.synchronize()
    started = time.perf_counter()
    result = work()
    torch.cuda.synchronize()
    return time.perf_counter() - started, result


def press_of(name):
    if name == "full":
        return None
    try:
        from kvpress import SnapKVPress
    except ImportError:
        return "absent"
    return SnapKVPress(compression_ratio=0.8)


def run(model, tokens, steps, name):
    press = press_of(name)
    if press == "absent":
        return None
    ids = torch.randint(100, model.config.vocab_size, (1, tokens), device="cuda")
    torch.cuda.reset_peak_memory_stats()

    def prefill():
        if press is None:
            return model(ids, use_cache=True, logits_to_keep=1)
        with press(model):
            return model(ids, use_cache=True, logits_to_keep=1)

    prefill_seconds, out = seconds(prefill)
    cache = out.past_key_values
    last = out.logits[:, -1:].argmax(-1)

    def decode():
        token = last
        for step in range(steps):
            position = torch.tensor([[tokens + step]], device="cuda")
            answer = model(token, past_key_values=cache, use_cache=True, position_ids=position)
            token = answer.logits[:, -1:].argmax(-1)

    decode_seconds, _ = seconds(decode)
    return {
        "name": f"transformers {name}",
        "tokens": tokens,
        "prefillSeconds": prefill_seconds,
        "decodeMilliseconds": 1000 * decode_seconds / steps,
        "peakBytes": torch.cuda.max_memory_allocated(),
    }


def main():
    wanted = json.loads(sys.argv[1])
    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU")
    config = LlamaConfig(
        hidden_size=wanted["hidden"],
        intermediate_size=wanted["intermediate"],
        num_hidden_layers=wanted["layers"],
        num_attention_heads=wanted["queryHeads"],
        num_key_value_heads=wanted["kvHeads"],
        head_dim=wanted["headDim"],
        vocab_size=wanted["vocabulary"],
        max_position_embeddings=max(wanted["lengths"]) + 1024,
        attn_implementation="sdpa",
    )
    with torch.device("cuda"), torch.inference_mode():
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(config).eval()
    with torch.inference_mode():
        run(model, 512, 4, "full")
        for tokens in wanted["lengths"]:
            for name in ("full", "snapkv"):
                try:
                    row = run(model, tokens, wanted["steps"], name)
                except torch.OutOfMemoryError as error:
                    row = {"name": f"transformers {name}", "tokens": tokens, "error": str(error).split("\n")[0]}
                    torch.cuda.empty_cache()
                if row is not None:
                    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
