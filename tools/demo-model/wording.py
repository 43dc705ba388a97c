"""The words and sentences of the demo model, shared with the TypeScript task generator through wording.json."""
import json
import random
import re
from pathlib import Path

WORDING = json.loads((Path(__file__).parents[2] / "packages/demo-model/src/wording.json").read_text())
FILLER, TRAINED = WORDING["filler"], WORDING["trainedKinds"]

ATTRIBUTES = " ".join(TRAINED["attributes"]).split()
KEYS = " ".join(WORDING["keys"]).split()
UNSEEN_KEYS = " ".join(WORDING["unseenKeys"]).split()
SLOTS = {name: " ".join(FILLER[name + "s"]).split() for name in ("noun", "adjective", "verb")}

ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr pl pr sh sl sp st str th tr qu".split()
VOWELS = "a e i o u a e i o ai ea ee oo ou y".split()
CODAS = ["", "", "", "n", "r", "l", "s", "t", "m", "ck", "nd", "rt", "st", "x", "p", "ng"]


def fill(sentence: str, rng: random.Random) -> str:
    """Replaces each filler slot of `sentence` by a random word of its kind."""
    sentence = sentence.replace("{place}", rng.choice(FILLER["places"]))
    return re.sub(r"\{(\w+)\}", lambda slot: rng.choice(SLOTS[slot[1]]), sentence)


def filler_sentence(rng: random.Random) -> str:
    return fill(rng.choice(FILLER["sentences"]), rng)


def invented_word(rng: random.Random) -> str:
    """A word that no list holds: two to four random syllables, or now and then bare letters."""
    if rng.random() < 0.15:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randrange(3, 9)))
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.randrange(2, 5)))


def random_key(rng: random.Random, words=KEYS, invented: float = 0.5) -> str:
    """A key: a listed or an invented word, sometimes capitalised, sometimes a pair of two such words."""

    def word():
        w = invented_word(rng) if rng.random() < invented else rng.choice(words)
        return w.capitalize() if rng.random() < 0.12 else w

    return f"{word()} {word()}" if rng.random() < 0.15 else word()
