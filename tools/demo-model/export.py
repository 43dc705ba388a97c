"""Writes a trained network as a Hugging Face LlamaForCausalLM folder in bfloat16."""
import json
from pathlib import Path

import torch

from tokenizer import BEGIN, END


def export(net, tokenizer, folder: Path):
    """Writes config, generation_config, model.safetensors, tokenizer and tokenizer_config into `folder`."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    s, begin, end = net.shape, tokenizer.token_to_id(BEGIN), tokenizer.token_to_id(END)
    config = LlamaConfig(
        vocab_size=s.vocabulary,
        hidden_size=s.hidden,
        intermediate_size=s.mlp,
        num_hidden_layers=s.layers,
        num_attention_heads=s.query_heads,
        num_key_value_heads=s.kv_heads,
        head_dim=s.head_dim,
        max_position_embeddings=s.max_positions,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=begin,
        eos_token_id=end,
        rope_parameters={"rope_type": "default", "rope_theta": s.theta},
    )
    llama = LlamaForCausalLM(config)
    llama.load_state_dict({name: w.detach().clone() for name, w in weights(net).items()})
    llama.generation_config = GenerationConfig(bos_token_id=begin, eos_token_id=end, do_sample=False)
    llama.to(torch.bfloat16).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    # The flat field is what readers older than transformers 5 look for.
    write_json(folder / "config.json", json.loads((folder / "config.json").read_text()) | {"rope_theta": s.theta})
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BEGIN,
            "eos_token": END,
            "add_bos_token": True,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": s.max_positions,
        },
    )


@torch.no_grad()
def load(net, folder: Path):
    """Copies the weights of an exported folder into `net`. What looks ahead is not exported and starts anew."""
    from safetensors.torch import load_file

    stored = load_file(folder / "model.safetensors")
    for name, weight in weights(net).items():
        if name in stored:  # the tied lm_head is stored once
            weight.copy_(stored[name])


def write_json(path: Path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def weights(net) -> dict:
    """Parameters under the names that LlamaForCausalLM gives them, fused matrices taken apart."""
    s = net.shape
    state = {"model.embed_tokens.weight": net.embed, "lm_head.weight": net.embed, "model.norm.weight": net.norm}
    for i, block in enumerate(net.blocks):
        q, k, v = block.qkv.split(s.qkv_rows)
        gate, up = block.gate_up.chunk(2)
        parts = {
            "self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v, "self_attn.o_proj": block.out,
            "mlp.gate_proj": gate, "mlp.up_proj": up, "mlp.down_proj": block.down,
            "input_layernorm": block.attention_norm, "post_attention_layernorm": block.mlp_norm,
        }  # fmt: skip
        state |= {f"model.layers.{i}.{name}.weight": w for name, w in parts.items()}
    return state
