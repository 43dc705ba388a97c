"""Accuracy of the exported model: with the full cache by length, or under the policies of kvpress.

    python evaluate.py --model DIR full --lengths 512 1024 2048 4096
    python evaluate.py --model DIR policies --lengths 1024 --kept 0.5 0.2 0.1 0.05

aware: the whole prompt is read, the cache is cut, the answer is decoded (so its first digit comes from the uncut cache).
agnostic: the context is read, the cache is cut, question and answer follow.
An answer is right when every digit is, decoded greedily. Every policy keeps the last --window tokens, inside its budget.
"""
import argparse
import random

import torch
from transformers import AutoTokenizer, DynamicCache, LlamaForCausalLM

from documents import document
from wording import KEYS, UNSEEN_KEYS, invented_word


def presses():
    """The policies, each a function from the share of the cache to drop to a press."""
    import kvpress

    return {
        "SnapKV": lambda r: kvpress.SnapKVPress(r, window_size=16),
        "TOVA": kvpress.TOVAPress,
        "KeyDiff": kvpress.KeyDiffPress,
        "ExpectedAttention": kvpress.ExpectedAttentionPress,
        "StreamingLLM": kvpress.StreamingLLMPress,
        "Random": kvpress.RandomPress,
        "Knorm": kvpress.KnormPress,
    }


def protect(press, window):
    """Makes `press` keep the last `window` tokens whatever their score."""
    score = press.score

    def protected(*args, **named):
        scores = score(*args, **named).clone()
        scores[..., scores.shape[-1] - window :] = torch.inf
        return scores

    press.score = protected
    return press


class Reader:
    """Reads prompts with a model and decodes greedily."""

    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()

    def count(self, text):
        return len(self.tokenizer.encode(text))

    @torch.no_grad()
    def answer(self, context, question, steps, press=None, aware=True) -> str:
        """`steps` tokens after the prompt, the cache cut by `press` after the prompt (aware) or after the context."""
        read = self.tokenizer.encode(context)
        asked = self.tokenizer.encode(question, add_special_tokens=False)
        first, rest = (read + asked, []) if aware else (read, asked)
        cache = DynamicCache()
        if press:
            with press(self.model):
                logits = self.forward(first, 0, cache)
        else:
            logits = self.forward(first, 0, cache)
        position, got = len(first), []
        if rest:
            logits = self.forward(rest, position, cache)
            position += len(rest)
        while len(got) < steps:
            got.append(logits.argmax().item())
            logits = self.forward(got[-1:], position, cache)
            position += 1
        return self.tokenizer.decode(got).strip()

    def forward(self, ids, position, cache):
        positions = torch.arange(position, position + len(ids))[None]
        return self.model(torch.tensor([ids]), past_key_values=cache, position_ids=positions).logits[0, -1]


def texts(reader, length, rows, digits, spacing, pool):
    """`rows` documents whose keys come from `pool(rng, count)`."""
    rng = random.Random(length)
    for _ in range(rows):
        yield document(rng, pool(rng, max(2, length // spacing)), length, digits, reader.count)


def listed(words):
    return lambda rng, count: rng.sample(words, min(count, len(words)))


POOLS = {"trained": listed(KEYS), "unseen": listed(UNSEEN_KEYS), "invented": lambda rng, n: list({invented_word(rng): 0 for _ in range(n)})}


def full(reader, given):
    print(f"| {given.digits} digits, n = {given.rows} |", *(f"{n} |" for n in given.lengths))
    for name, pool in POOLS.items():
        shares = []
        for length in given.lengths:
            right = [reader.answer(c, q, given.digits) == a for c, q, a in texts(reader, length, given.rows, given.digits, given.spacing, pool)]
            shares.append(sum(right) / len(right))
        print(f"| {name} keys |", *(f"{s:.2f} |" for s in shares), flush=True)


def policies(reader, given):
    for length in given.lengths:
        documents = list(texts(reader, length, given.rows, given.digits, given.spacing, POOLS["trained"]))
        print(f"\n{length} tokens, {given.digits} digits, n = {given.rows}, last {given.window} tokens kept by all\n")
        print("| policy |", *(f"{mode} {100 * k:g} % |" for mode in given.modes for k in given.kept))
        for name, press in presses().items():
            shares = []
            for mode in given.modes:
                for kept in given.kept:
                    right = [
                        reader.answer(c, q, given.digits, protect(press(1 - kept), given.window), mode == "aware") == a for c, q, a in documents
                    ]
                    shares.append(sum(right) / len(right))
            print(f"| {name} |", *(f"{s:.2f} |" for s in shares), flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("what", choices=["full", "policies"])
    options.add_argument("--model", required=True)
    options.add_argument("--lengths", type=int, nargs="+", default=[1024])
    options.add_argument("--kept", type=float, nargs="+", default=[0.5, 0.2, 0.1, 0.05])
    options.add_argument("--modes", nargs="+", default=["aware", "agnostic"])
    options.add_argument("--rows", type=int, default=50)
    options.add_argument("--digits", type=int, default=5)
    options.add_argument("--spacing", type=int, default=64, help="tokens per fact")
    options.add_argument("--window", type=int, default=16)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    {"full": full, "policies": policies}[given.what](Reader(given.model), given)


if __name__ == "__main__":
    main()
