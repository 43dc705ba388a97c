"""Texts of the demo in Python: what `factDocument` of packages/demo-model writes, with other random numbers."""
import random

from wording import WORDING, filler_sentence


def document(rng: random.Random, keys: list[str], tokens: int, digits: int, count) -> tuple[str, str, str]:
    """(context, question, answer): one fact per key, spread evenly, as much filler as `count(text) <= tokens` allows."""
    facts = [(key, str(rng.randrange(10 ** (digits - 1), 10**digits))) for key in keys]
    sentences = [rng.choice(WORDING["facts"]).format(key=key, value=value) for key, value in facts]
    depths = [(i + rng.random()) / len(keys) for i in range(len(keys))]
    asked, answer = rng.choice(facts)
    question = " " + WORDING["question"].format(key=asked)
    filler = [filler_sentence(rng) for _ in range(tokens // 3)]

    def context(n):
        parts = filler[:n]
        for depth, sentence in reversed(list(zip(depths, sentences))):
            parts.insert(int(depth * (n + 1)), sentence)
        return " ".join(parts)

    low, high = 0, len(filler)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(context(middle) + question) <= tokens else (low, middle)
    return context(low), question, answer
