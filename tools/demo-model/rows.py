"""Training rows: token ids with the part that each token plays in the loss."""
import random

from tokenizers import Tokenizer

from tokenizer import BEGIN, END
from wording import ATTRIBUTES, KEYS, TRAINED, WORDING, fill, filler_sentence, random_key

# What a token counts for: nothing, language model, later digits of an answer, first digit of an answer.
IGNORED, TEXT, ANSWER, FIRST = range(4)


class Row:
    """A growing list of token ids and their parts. Every piece of text but the first starts with a space or a new line."""

    def __init__(self, tokenizer: Tokenizer, gap):
        self.encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
        self.end = tokenizer.token_to_id(END)
        self.gap = gap
        self.ids, self.parts = [tokenizer.token_to_id(BEGIN)], [IGNORED]

    def __len__(self):
        return len(self.ids)

    def add(self, ids, part):
        self.ids += ids
        self.parts += [part] * len(ids)

    def text(self, text, part=TEXT, room=None):
        """Adds a sentence after the gap between sentences, cut to `room` tokens."""
        gap = self.gap() if len(self.ids) > 1 else ""
        self.add(self.encode(gap + text)[:room], part)

    def answer(self, value):
        ids = self.encode(f" {value}")
        self.add(ids[:1], FIRST)
        self.add(ids[1:], ANSWER)


class Rows:
    """Draws random rows. `keys` draws a key, so that evaluation can ask for keys that training never draws."""

    def __init__(self, tokenizer: Tokenizer, seed: int, keys=random_key):
        self.rng = random.Random(seed)
        self.tokenizer = tokenizer
        self.draw_key = keys

    def row(self) -> Row:
        r = self.rng
        breaks = r.choice((0.0, 0.0, 0.0, 0.1, 0.4))  # share of the gaps that are new lines
        return Row(self.tokenizer, lambda: "\n" if r.random() < breaks else " ")

    def keys(self, count) -> list[str]:
        found = {}
        while len(found) < count:
            found[self.draw_key(self.rng)] = None
        return list(found)

    def value(self, digits) -> str:
        r = self.rng
        return str(r.randrange(1, 10)) + "".join(str(r.randrange(10)) for _ in range(digits - 1))

    def filler(self):
        """Endless filler sentences; one row in ten repeats a short block instead."""
        r = self.rng
        if r.random() < 0.1:
            block = [fill(r.choice(("The {noun} is {adjective}.", "Here we go.", "There and back again.")), r) for _ in range(r.randrange(3, 9))]
            while True:
                yield from block
        while True:
            yield filler_sentence(r)

    def recall(self, length: int, facts: int, questions: int, interleave: float, digits: int, plain: bool = False):
        """Facts between filler, then `questions` questions; `interleave` is the chance of a question right after a fact.

        `plain` asks in the wording of the demo only. Returns exactly `length` ids and their parts.
        """
        r, row = self.rng, self.row()
        body = max(length // 3, length - 34 * questions)
        keys = self.keys(facts)
        at = sorted(r.randrange(1, max(2, body - 20)) for _ in keys)
        attribute = "code" if plain or r.random() < 0.5 else r.choice(ATTRIBUTES)
        passkey = None if plain or r.random() > 0.2 else r.randrange(len(keys))
        filler, seen, told = self.filler(), [], 0
        while len(row) < body:
            if told < len(keys) and at[told] <= len(row):
                seen.append(self.fact(row, keys[told], self.value(digits), attribute, told == passkey, plain))
                told += 1
                if r.random() < interleave:
                    self.ask(row, *r.choice(seen), plain)
            else:
                dense = facts * 40 > length and told < len(keys)
                row.text(next(filler), room=max(1, at[told] - len(row)) if dense else body - len(row))
        for fact in r.sample(seen, min(questions, len(seen))):
            self.ask(row, *fact, plain)
        while len(row) < length:
            row.text(next(filler), IGNORED)
        return row.ids[:length], row.parts[:length]

    def fact(self, row, key, value, attribute, passkey, plain):
        """Adds a fact; its digits are random and carry no loss. Returns the (key, value, attribute) to ask for."""
        r = self.rng
        frames = WORDING["facts"] if attribute == "code" and (plain or r.random() < 0.6) else TRAINED["facts"]
        frame = TRAINED["passkey"]["fact"] if passkey else r.choice(frames)
        head, *tails = frame.format(key=key, value="\0", attribute=attribute).split("\0")
        row.text(head.rstrip())
        row.add(row.encode(f" {value}"), IGNORED)
        row.add(row.encode(tails[0].rstrip()), TEXT)
        for tail in tails[1:]:  # the second mention of a pass key is an answer to the first
            row.answer(value)
            row.add(row.encode(tail), TEXT)
        return (None if passkey else key), value, attribute

    def ask(self, row, key, value, attribute, plain):
        r = self.rng
        question = True
        if key is None:
            frame = TRAINED["passkey"]["question"]
        elif plain or (attribute == "code" and r.random() < 0.6):
            frame = WORDING["question"]
        elif r.random() < 0.2:
            frame, question = r.choice(TRAINED["statements"]), False
        else:
            frame = r.choice(TRAINED["questions"])
        row.text(frame.format(key=key, attribute=attribute))
        row.answer(value)
        row.add(row.encode("."), TEXT)
        if question:
            row.add([row.end], TEXT)

    def pairs(self, length: int, digits: int):
        """Bare "amber 4 river 7 amber 4" rows: the densest form of the lookup."""
        r, row = self.rng, self.row()
        table = {k: self.value(digits) for k in self.keys(r.randrange(3, 12))}
        link = r.choice(("", " is", ":", "? Answer:"))
        seen = set()
        while len(row) < length:
            key = r.choice(list(table))
            row.text(key + link, IGNORED)
            if key in seen:
                row.answer(table[key])
            else:
                row.add(row.encode(f" {table[key]}"), IGNORED)
            seen.add(key)
        return row.ids[:length], row.parts[:length]
