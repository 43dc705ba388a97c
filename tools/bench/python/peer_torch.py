"""Answers the benchmark's requests with transformers: bf16 weights dequantised from the GGUF, sdpa attention, two threads."""
import json
import os
import sys
import time

import torch
from transformers import AutoModelForCausalLM, DynamicCache

torch.set_num_threads(2)
model = None


def load(path):
    global model
    folder, name = os.path.split(path)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.bfloat16, attn_implementation="sdpa").eval()


@torch.no_grad()
def run(tokens, steps):
    ids = torch.tensor([[100 + (i * 7919) % 40000 for i in range(tokens)]])
    cache = DynamicCache()
    started = time.perf_counter()
    logits = model(ids, past_key_values=cache, logits_to_keep=1).logits
    read = time.perf_counter()
    for _ in range(steps):
        logits = model(logits[:, -1:].argmax(-1), past_key_values=cache).logits
    done = time.perf_counter()
    return {"prefill": tokens / (read - started), "decode": steps / (done - read)}


for line in sys.stdin:
    request = json.loads(line)
    try:
        result = load(request["model"]) if request["op"] == "load" else run(request["tokens"], request["steps"])
        print(json.dumps({"ok": result}), flush=True)
    except Exception as error:  # the benchmark prints it and leaves this peer out
        print(json.dumps({"error": str(error)}), flush=True)
