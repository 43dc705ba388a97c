"""Trains the demo model on one CPU core and writes it as a folder that LlamaForCausalLM loads.

    python train.py --out DIR [--minutes 10] [--stages stages.json] [--seed 0]
    python train.py --out DIR --start FOLDER --stages continue.json --rate 0.5    # goes on from exported weights
"""
import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from export import export, load
from network import Network, Shape
from optimiser import optimisers
from recall import recall_accuracy, unseen_keys
from rows import ANSWER, FIRST, IGNORED, Rows
from tokenizer import train_tokenizer


def positions_for(ids, rng, reach):
    """Positions with a few random jumps in most rows, so that short rows teach distances up to `reach`."""
    rows, length = ids.shape
    step = torch.ones(rows, length, dtype=torch.long)
    step[:, 0] = 0
    for row in step if reach > length else ():
        if rng.random() < 0.6:
            jumps, total = rng.randrange(1, 5), rng.randrange(1, reach - length)
            cuts = [0, *sorted(rng.randrange(total + 1) for _ in range(jumps - 1)), total]
            for a, b in zip(cuts, cuts[1:]):
                row[rng.randrange(1, length)] += b - a
    return step.cumsum(1)


def batch(rows: Rows, stage):
    """Ids, parts and positions [rows, length + 1] of one step."""
    r, length = rows.rng, stage["length"]
    drawn = []
    for _ in range(stage["rows"]):
        digits = r.choice(stage["digits"])
        if r.random() < stage["pairs"]:
            drawn.append(rows.pairs(length + 1, digits))
        else:
            facts = max(2, min(int(length / r.uniform(*stage["spacing"])), 100))
            drawn.append(rows.recall(length + 1, facts, stage["questions"], r.choice(stage["interleave"]), digits, r.random() < stage.get("plain", 0)))
    ids, parts = (torch.tensor(x) for x in zip(*drawn))
    return ids, parts, positions_for(ids, r, stage["reach"])


def ahead_loss(net, hidden, target, part):
    """How badly the state before a first digit tells the digits after it (multi-token prediction, Gloeckle et al., 2024).

    With it the end of the question attends to the whole value; without it only to the first digit, and a policy that goes
    by the question's attention has nothing to see the other digits by.
    """
    row, at = (part == FIRST).nonzero(as_tuple=True)
    total, count = hidden.new_zeros(()), 0
    for step, turn in enumerate(net.ahead, start=1):
        inside = at + step < part.shape[1]
        r, a = row[inside], at[inside]
        told = part[r, a + step] == ANSWER
        r, a = r[told], a[told]
        logits = net.logits(F.linear(hidden[r, a].bfloat16(), turn.bfloat16()))
        total = total + F.cross_entropy(logits, target[r, a + step], reduction="sum")
        count += len(r)
    return total / max(1, count)


def losses(net, ids, parts, positions, text_weight=0.2, ahead_weight=0.5):
    """The loss to minimise, and [answer loss, text loss, loss ahead, accuracy on first digits, accuracy on later digits]."""
    target, part = ids[:, 1:], parts[:, 1:]
    hidden = net(ids[:, :-1], positions[:, :-1])
    ahead = ahead_loss(net, hidden, target, part)
    counted = part > IGNORED
    hidden, target, part = hidden[counted], target[counted], part[counted]
    logits = net.logits(hidden)
    each = F.cross_entropy(logits, target, reduction="none")
    answer = part >= ANSWER
    weight = torch.where(part[answer] == FIRST, 3.0, 1.0)
    answer_loss = (each[answer] * weight).sum() / weight.sum().clamp(min=1)
    text_loss = each[~answer].sum() / (~answer).sum().clamp(min=1)
    hit = (logits.argmax(-1) == target).float()
    report = [answer_loss.detach(), text_loss.detach(), ahead.detach(), hit[part == FIRST].mean(), hit[part == ANSWER].mean()]
    return answer_loss + text_weight * text_loss + ahead_weight * ahead, torch.stack(report).nan_to_num(1.0)


def learning_rate(step, done):
    """Share of the base rate: 100 steps of warm-up, flat for 30 % of the time, then linear to 2 %."""
    return min(1, (step + 1) / 100) * min(1, max(0.02, 1 - (done - 0.3) / 0.7))


def train(net, tokenizer, stages, minutes, seed, rate, report):
    """Runs the curriculum for `minutes` of CPU time, so that a shared machine does not shorten it. `rate` scales every learning rate. Returns (steps, tokens)."""
    rows, both = Rows(tokenizer, seed + 1), optimisers(net)
    ends = torch.tensor([s["share"] for s in stages]).cumsum(0)
    ends = (ends / ends[-1]).tolist()
    start, step, tokens, mean = time.process_time(), 0, 0, None
    while (done := (time.process_time() - start) / (60 * minutes)) < 1:
        stage = next(s for s, end in zip(stages, ends) if done < end or end == ends[-1])
        now_rate = rate * learning_rate(step, done)
        for o in both:
            for group in o.param_groups:
                group["lr"] = group["base_lr"] * now_rate
        ids, parts, positions = batch(rows, stage)
        loss, now = losses(net, ids, parts, positions)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in both[1].param_groups for p in g["params"]], 1.0)
        for o in both:
            o.step()
            o.zero_grad()
        step, tokens = step + 1, tokens + ids.numel()
        mean = now if mean is None else mean.lerp(now, 0.05)
        if step % 50 == 0:
            names = ("answer", "text", "ahead", "first", "later")
            report(dict(step=step, minutes=round(done * minutes, 2), length=stage["length"], tokens=tokens)
                   | {n: round(x, 4) for n, x in zip(names, mean.tolist())})  # fmt: skip
    return step, tokens


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--minutes", type=float, default=10, help="CPU minutes")
    options.add_argument("--stages", type=Path, default=Path(__file__).with_name("stages.json"))
    options.add_argument("--start", type=Path, help="a folder written by export: go on from its weights, with its tokenizer")
    options.add_argument("--rate", type=float, default=1.0, help="scales the learning rates")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(given.start / "tokenizer.json")) if given.start else train_tokenizer(Shape.vocabulary)
    net = Network(Shape(vocabulary=tokenizer.get_vocab_size()))
    if given.start:
        load(net, given.start)
    with given.out.with_suffix(".log.jsonl").open("w") as log:

        def report(line):
            print(text := json.dumps(line), flush=True)
            log.write(text + "\n")
            if line.get("step", 1) % 400 == 0:
                report({n: recall_accuracy(net, tokenizer, n, c, unseen_keys) for n, c in ((256, 15), (1024, 8))})
                export(net, tokenizer, given.out)

        report(dict(parameters=sum(p.numel() for p in net.parameters()), seed=given.seed, minutes=given.minutes))
        steps, tokens = train(net, tokenizer, json.loads(given.stages.read_text()), given.minutes, given.seed, given.rate, report)
        export(net, tokenizer, given.out)
        report({n: recall_accuracy(net, tokenizer, n, 25, unseen_keys) for n in (256, 512, 1024, 2048, 4096, 8192)})
        report(dict(steps=steps, tokens=tokens))


if __name__ == "__main__":
    main()
