"""Makes packages/tokenizer/goldens: ids and texts by the Rust library and by sentencepiece, for vocabularies trained here.

pip install tokenizers==0.23.1 sentencepiece==0.2.3 protobuf
python tools/tokenizer-goldens/make.py packages/tokenizer/goldens LICENSE
"""

import io
import json
import random
import sys
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as spm
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

TARGET, CORPUS = Path(sys.argv[1]), Path(sys.argv[2])
PIECES = list("abzABZ019 \n\t\r'’.,;:!?-_()[]{}<>|/\\@#$%^&*+=~`\"") + (
    "  |   |\r\n|'s|'S|'LL|'ve|é|É|ß|ſ|ǅ|ʰ|ª|中|文|あ|カ|ー|한|ا|े|ิ|\u0301|\u0085|\u00a0|\u2003|\u3000|\ufeff|\u200b|\u200d|½|²|٣|४|Ⅷ|①"
    "|𝟙|𝔘|😀|👍🏽|€|→|＋|。|、|«|\x00|\x1b|<bos>|<turn>|▁|▁a|the |ing|Work|camelCase|HTTPServer|don't|I'M|license|\u00b5"
).split("|")


def texts(count, seed):
    rng = random.Random(seed)
    return [""] + ["".join(rng.choice(PIECES) for _ in range(rng.randint(1, 18))) for _ in range(count - 1)]


def train_byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s?\w+|\s?[^\s\w]+|\s+"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([CORPUS.read_text(), "  'll .[ ([ !? the's 've '' 12 345 ½½ ²²"] * 2, trainer)
    return json.loads(tokenizer.to_str())["model"]


def train_sentencepiece():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.read_text().splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=420,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    proto = spm.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto


def merges_of(proto):
    """As transformers converts sentencepiece BPE: every split of a piece into two pieces, best piece first."""
    pieces = {p.piece: (i, p.score) for i, p in enumerate(proto.pieces) if p.type == 1}
    found = []
    for piece, (_, score) in pieces.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in pieces and right in pieces:
                found.append((-score, pieces[left][0], pieces[right][0], [left, right]))
    return [merge for *_, merge in sorted(found)]


def byte_level_specs(model):
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    raw = dict(byte_level, use_regex=False)

    def split(pattern, behavior, invert=False):
        return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}

    def spec(*parts, **changes):
        return {"normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(parts)}, "decoder": byte_level, **changes}

    size = len(model["vocab"])
    token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [
        dict(token, id=size, content="<bos>", lstrip=True, rstrip=True),
        dict(token, id=size + 1, content="<turn>"),
        dict(token, id=size + 2, content="<turn><bos>"),
        dict(token, id=size + 3, content="camelCase", special=False, single_word=True, normalized=True),
    ]
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    return {
        "byte level": spec(byte_level),
        "byte level with prefix space": spec(dict(byte_level, add_prefix_space=True)),
        "single digits": spec({"type": "Digits", "individual_digits": True}, byte_level),
        "runs of digits": spec({"type": "Digits", "individual_digits": False}, byte_level),
        "split, merged with previous": spec(split({"Regex": "\\s"}, "MergedWithPrevious"), raw),
        "split, merged with next": spec(split({"String": "."}, "MergedWithNext"), raw),
        "split, contiguous": spec(split({"Regex": "[\\s.]"}, "Contiguous"), raw),
        "split, removed": spec(split({"Regex": "[0-9]+"}, "Removed"), raw),
        "split, all but removed": spec(split({"Regex": "\\p{L}+|\\p{N}"}, "Removed", True), raw),
        "split at white space": spec({"type": "WhitespaceSplit"}, raw),
        "punctuation": spec({"type": "Punctuation", "behavior": "Isolated"}, raw),
        "NFKC and strip": spec(byte_level, normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}, strip]}),
        "added tokens": spec(byte_level, added_tokens=added),
    }


def pre_tokenizer_specs():
    """Patterns as the tokenizer.json of each family has them, under the name that GGUF files give it."""
    tail = "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    upper, lower = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
    word, mark, end = "[^\\r\\n\\p{L}\\p{N}]?", " ?[^\\s\\p{L}\\p{N}]+", "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
    ascii_mark = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
    cased = f"{word}{upper}*{lower}+%s|{word}{upper}+{lower}*%s|%s|{mark}[\\r\\n/]*{tail}"
    patterns = {
        "gpt-2": [gpt2],
        "smollm": ["\\p{N}", gpt2],
        "llama-bpe": [f"{end}|{word}\\p{{L}}+|\\p{{N}}{{1,3}}|{mark}[\\r\\n]*{tail}"],
        "qwen2": [f"{end}|{word}\\p{{L}}+|\\p{{N}}|{mark}[\\r\\n]*{tail}"],
        "tekken": [cased % ("", "", "\\p{N}")],
        "gpt-4o": [cased % (end + "?", end + "?", "\\p{N}{1,3}")],
        "deepseek-v3": [
            "\\p{N}{1,3}",
            "[一-龥぀-ゟ゠-ヿ]+",
            f"{ascii_mark}|[^\\r\\n\\p{{L}}\\p{{P}}\\p{{S}}]?[\\p{{L}}\\p{{M}}]+| ?[\\p{{P}}\\p{{S}}]+[\\r\\n]*{tail}",
        ],
    }
    raw = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    cut = lambda regex: {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    return {
        name: {"normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*map(cut, each), raw]}, "decoder": raw}
        for name, each in patterns.items()
    }


def sentencepiece_specs():
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prefixed = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, space]}
    back = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [dict(token, id=i, content=text) for i, text in enumerate(["<unk>", "<s>", "</s>"])]
    base = {"normalizer": prefixed, "pre_tokenizer": None, "decoder": {"type": "Sequence", "decoders": [*back, strip]}, "added_tokens": added}
    metaspace = {"type": "Metaspace", "replacement": "▁"}
    never = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    return {
        "sentencepiece": base,
        "metaspace, first": dict(base, normalizer=None, pre_tokenizer=dict(metaspace, prepend_scheme="first", split=False)),
        "metaspace, split": dict(base, normalizer=None, pre_tokenizer=dict(metaspace, prepend_scheme="always", split=True)),
        "no prefix": dict(base, normalizer=space, pre_tokenizer=never, decoder={"type": "Sequence", "decoders": back}),
    }


def run(name, spec, model, count, seed):
    full = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "post_processor": None, "model": model, **spec}
    tokenizer = Tokenizer.from_str(json.dumps(full))
    cases = []
    for text in texts(count, seed):
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append([text, ids, plain, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)])
    return {"name": name, "spec": spec, "cases": cases}


def sentencepiece_run(name, proto, count, seed, prefix=True, extra=()):
    proto = spm.ModelProto.FromString(proto.SerializeToString())
    proto.normalizer_spec.add_dummy_prefix = prefix
    for piece, score, kind in extra:
        proto.pieces.add(piece=piece, score=score, type=kind)
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    cases = [[text, processor.encode(text), processor.decode(processor.encode(text))] for text in texts(count, seed)]
    vocabulary = [[p.piece, p.score, p.type] for p in proto.pieces]
    return {"name": name, "prefix": prefix, "vocabulary": vocabulary, "cases": cases}


def write(path, lines):
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


TARGET.mkdir(exist_ok=True)
bpe, proto = train_byte_level(), train_sentencepiece()
spm_model = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": False}
spm_model |= {"vocab": {p.piece: i for i, p in enumerate(proto.pieces)}, "merges": merges_of(proto)}
write(TARGET / "byte-level.jsonl", [{"model": bpe}] + [run(n, s, bpe, 60, 1) for n, s in byte_level_specs(bpe).items()])
pre = [run(n, s, dict(bpe, ignore_merges=n in ("llama-bpe", "tekken")), 80, 7) for n, s in pre_tokenizer_specs().items()]
write(TARGET / "pre-tokenizers.jsonl", [{"model": bpe}] + [{"name": each["name"], "cases": each["cases"]} for each in pre])
write(TARGET / "metaspace.jsonl", [{"model": spm_model}] + [run(n, s, spm_model, 60, 2) for n, s in sentencepiece_specs().items()])
write(
    TARGET / "sentencepiece.jsonl",
    [
        sentencepiece_run("plain", proto, 150, 3),
        sentencepiece_run("no prefix", proto, 60, 4, prefix=False),
        sentencepiece_run("user-defined pieces", proto, 60, 5, extra=[("<turn>", 0, 4), ("▁▁▁", 0, 4), ("camelCase", 0, 4)]),
        sentencepiece_run("pieces that cross words", proto, 60, 6, extra=[("e▁", -0.5, 1), ("e▁t", -0.6, 1), ("z▁A", -0.7, 1)]),
    ],
)
