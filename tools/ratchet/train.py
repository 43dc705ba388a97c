"""Fits the feature map of RatchetKV to a model: python train.py MODEL TEXTS OUT.safetensors [--features 64] [--steps 400]

MODEL is a Hugging Face folder or a .gguf file, TEXTS a folder of .txt files. Layer by layer the map is fitted so that attention over sinks, recent
entries and the state of everything between them gives what attention over all entries gives (distillation: no labels, the model stays as it is). The
result is what `ratchet(features=learned, weights="OUT.safetensors")` reads: phi(t) = exp(W t + b - |t|^2 / 2), t = x / headDim^(1/4).

Stopped, it goes on where it was: each finished layer is kept beside OUT.
"""
import argparse
import os

import torch
from safetensors.torch import load_file, save_file
from transformers import AttentionInterface, AutoModelForCausalLM, AutoTokenizer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

PARTS = ("queries", "keys", "queryBias", "keyBias")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("texts")
    parser.add_argument("out")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400, help="per layer")
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--documents", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=1024, help="of each document")
    parser.add_argument("--sinks", type=int, default=4)
    parser.add_argument("--recent", type=int, default=64)
    parser.add_argument("--rows", type=int, default=64, help="queries of a document that a step looks at")
    parser.add_argument("--layers", type=int, default=None, help="only the first ones, to try things out")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def load(path):
    if path.endswith(".gguf"):
        folder, name = os.path.split(path)
        place = {"pretrained_model_name_or_path": folder or ".", "gguf_file": name}
    else:
        place = {"pretrained_model_name_or_path": path}
    return AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(**place)


@torch.no_grad()
def observe(model, tokenizer, options):
    """Rotated queries, keys and values of every layer: layer -> documents -> (q [H, n, d], k [G, n, d], v [G, n, d])."""
    seen = [[] for _ in range(model.config.num_hidden_layers)]

    def watching(module, query, key, value, *rest, **named):
        seen[module.layer_idx].append(tuple(x[0].half() for x in (query, key, value)))
        return sdpa_attention_forward(module, query, key, value, *rest, **named)

    AttentionInterface.register("watching", watching)
    model.set_attn_implementation("watching")
    names = sorted(name for name in os.listdir(options.texts) if name.endswith(".txt"))
    for name in names[: options.documents]:
        with open(os.path.join(options.texts, name), encoding="utf8") as file:
            ids = tokenizer(file.read(), return_tensors="pt").input_ids[:, : options.tokens]
        model(ids, use_cache=False, logits_to_keep=1)
    return seen


def phi(x, weight, bias):
    t = x / x.shape[-1] ** 0.25
    return torch.exp(t @ weight.transpose(-1, -2) + bias[:, None] - (t * t).sum(-1, keepdim=True) / 2)


def loss(document, rows, parameters, options):
    """Squared difference of mixed and full attention, over that of attention without the state: 1 is no better than forgetting."""
    q, k, v = (x.float() for x in document)
    groups, n, d = k.shape
    q = q.view(groups, -1, n, d)
    errors = []
    for row in rows.tolist():
        own = q[:, :, row]  # [G, R, d]
        logits = own @ k[:, : row + 1].transpose(-1, -2) / d**0.5
        full = logits.softmax(-1) @ v[:, : row + 1]
        cut = row + 1 - options.recent
        exact = torch.cat([logits[..., : options.sinks], logits[..., cut:]], -1)
        stored = torch.cat([v[:, : options.sinks], v[:, cut : row + 1]], 1)
        lse = exact.logsumexp(-1, keepdim=True)
        kept = exact.softmax(-1) @ stored
        features = phi(k[:, options.sinks : cut], parameters["keys"], parameters["keyBias"])  # [G, E, F]
        mine = phi(own, parameters["queries"], parameters["queryBias"])  # [G, R, F]
        weights = mine @ features.transpose(-1, -2)
        total = weights.sum(-1, keepdim=True) + 1e-30
        share = torch.sigmoid(total.log() - lse)
        mixed = (1 - share) * kept + share * (weights @ v[:, options.sinks : cut]) / total
        errors.append((mixed - full).square().sum() / ((kept - full).square().sum() + 1e-6))
    return torch.stack(errors).mean()


def fit(documents, groups, headDim, options):
    generator = torch.Generator().manual_seed(options.seed)
    weight = torch.randn(groups, options.features, headDim, generator=generator)
    bias = torch.full((groups, options.features), -0.5 * torch.log(torch.tensor(float(options.features))).item())
    parameters = {"queries": weight.clone(), "keys": weight.clone(), "queryBias": bias.clone(), "keyBias": bias.clone()}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(parameters.values(), lr=options.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
    first = options.sinks + options.recent + 16
    held = documents[-1]
    probe = torch.linspace(first, held[1].shape[1] - 1, 16).long()
    with torch.no_grad():
        before = loss(held, probe, parameters, options).item()
    for step in range(options.steps):
        document = documents[step % max(1, len(documents) - 1)]
        rows = torch.randint(first, document[1].shape[1], (max(1, options.rows // 8),), generator=generator)
        optimiser.zero_grad()
        loss(document, rows, parameters, options).backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        after = loss(held, probe, parameters, options).item()
    return {name: value.detach() for name, value in parameters.items()}, before, after


def main():
    options = arguments()
    torch.manual_seed(options.seed)
    model, tokenizer = load(options.model)
    seen = observe(model, tokenizer, options)
    groups, _, headDim = seen[0][0][1].shape
    layers = []
    for layer, documents in enumerate(seen[: options.layers]):
        kept = f"{options.out}.layer{layer}"
        if not os.path.exists(kept):
            parameters, before, after = fit(documents, groups, headDim, options)
            save_file(parameters, kept + ".part")
            os.replace(kept + ".part", kept)
            print(f"layer {layer}: error against forgetting {before:.3f} untrained, {after:.3f} trained (text held out)", flush=True)
        layers.append(load_file(kept))
    stacked = {name: torch.stack([layer[name] for layer in layers]) for name in PARTS}
    save_file(stacked, options.out, metadata={"format": "kvsift-ratchet", "features": str(options.features), "seed": str(options.seed)})
    for layer in range(len(layers)):
        os.remove(f"{options.out}.layer{layer}")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
