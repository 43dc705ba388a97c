"""Trains the byte-level BPE tokenizer of the demo model on generated text."""
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from wording import ATTRIBUTES, KEYS, TRAINED, WORDING, filler_sentence, invented_word

BEGIN, END = "<|begin|>", "<|end|>"

# Words, single digits, punctuation, white space; a word takes the one space before it along.
PATTERN = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train_tokenizer(size: int, seed: int = 0) -> Tokenizer:
    """`size` tokens: begin = 0, end = 1, the 256 bytes, the merges. Encoding puts begin before the text."""
    rng = random.Random(seed)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    frames = WORDING["facts"] + TRAINED["facts"] + TRAINED["questions"] + TRAINED["statements"] + list(TRAINED["passkey"].values())
    frames.append(WORDING["question"])
    corpus = [" " + filler_sentence(rng) for _ in range(4000)]
    corpus += [
        " " + f.format(key="one", value=rng.randrange(10000, 100000), attribute=a) for f in frames for a in ATTRIBUTES for _ in range(40)
    ]
    corpus += [line.lstrip() for line in corpus[::4]]  # sentences that start a text or a line
    corpus += [f" {k}" for k in KEYS for _ in range(8)]
    corpus += [" " + invented_word(rng) for _ in range(12000)]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN}:1 $B:1", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return tokenizer
