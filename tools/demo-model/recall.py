"""Share of questions that a network answers with every digit right, the whole text in its cache."""
import random

import torch

from rows import ANSWER, Rows
from wording import UNSEEN_KEYS, random_key


def unseen_keys(rng: random.Random) -> str:
    """Keys that training never draws: held-out words, never invented ones."""
    return random_key(rng, UNSEEN_KEYS, invented=0)


@torch.no_grad()
def recall_accuracy(net, tokenizer, length, count, keys=random_key, spacing=64, digits=5, seed=99, plain=True) -> float:
    """Asks 4 questions at the end of each of `count` texts with one fact per `spacing` tokens; teacher forced."""
    rows, right, asked = Rows(tokenizer, seed, keys), 0, 0
    facts = max(4, min(length // spacing, 100))
    for _ in range(count):
        ids, parts = (torch.tensor([x]) for x in rows.recall(length + 1, facts, 4, 0.0, digits, plain))
        hidden = net(ids[:, :-1], torch.arange(length)[None])
        at = parts[0, 1:] >= ANSWER
        hits = net.logits(hidden[0, at]).argmax(-1) == ids[0, 1:][at]
        answers = hits[: len(hits) // digits * digits].view(-1, digits).all(1)
        right, asked = right + answers.sum().item(), asked + len(answers)
    return right / asked
