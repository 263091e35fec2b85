"""Small random models of many families, with gains, scales and caps that matter, in Hugging Face's form."""

import torch

from .. import small

LLAMA = dict(
    hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64,
)  # fmt: skip
GPT = dict(n_embd=32, n_layer=2, n_head=4, n_positions=64)
GEMMA = LLAMA | dict(head_dim=12, sliding_window=8, query_pre_attn_scalar=7)
NEOX = {name: value for name, value in LLAMA.items() if name != "num_key_value_heads"}
CAPS = dict(final_logit_softcapping=2.0, attn_logit_softcapping=2.0)

FAMILIES = {  # name: transformers' config, and what it is given
    "Llama": ("Llama", LLAMA),
    "Llama, tied, biases": ("Llama", LLAMA | dict(tie_word_embeddings=True, attention_bias=True, mlp_bias=True)),
    "Qwen 2": ("Qwen2", LLAMA),
    "Qwen 3": ("Qwen3", LLAMA | dict(head_dim=12)),
    "Mistral": ("Mistral", LLAMA | dict(sliding_window=8)),
    "Gemma 1": ("Gemma", LLAMA | dict(head_dim=12)),
    "Gemma 2": ("Gemma2", GEMMA | CAPS),
    "Gemma 2, no caps": ("Gemma2", GEMMA | dict.fromkeys(CAPS)),
    "Gemma 3": ("Gemma3Text", GEMMA | dict(final_logit_softcapping=2.0)),
    "Granite": (
        "Granite",
        LLAMA | dict(logits_scaling=8.0, residual_multiplier=0.22, embedding_multiplier=3.0, attention_multiplier=0.5),
    ),
    "OLMo": ("Olmo", LLAMA),
    "OLMo 2": ("Olmo2", LLAMA),
    "Cohere": ("Cohere", LLAMA | dict(logit_scale=0.0625)),
    "MPT": ("Mpt", dict(d_model=32, n_heads=4, n_layers=2, max_seq_len=64, expansion_ratio=2)),
    "GPT-NeoX": ("GPTNeoX", NEOX),
    "GPT-NeoX, serial": ("GPTNeoX", NEOX | dict(use_parallel_residual=False)),
    "GPT-J": ("GPTJ", GPT | dict(rotary_dim=4, n_inner=48)),
    "Phi": ("Phi", LLAMA),
    "Phi-3": ("Phi3", LLAMA | dict(pad_token_id=0)),
    "Falcon": ("Falcon", NEOX | dict(ffn_hidden_size=48)),
    "StableLM": ("StableLm", LLAMA),
    "StableLM, parallel": ("StableLm", LLAMA | dict(use_parallel_residual=True, qk_layernorm=True)),
    "GPT-2": ("GPT2", GPT),
    "GPT-Neo": (
        "GPTNeo",
        dict(hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, max_position_embeddings=64)
        | dict(window_size=8, attention_types=[[["global", "local"], 1]]),
    ),
    "OPT": (
        "OPT",
        dict(hidden_size=32, word_embed_proj_dim=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4)
        | dict(max_position_embeddings=64),
    ),
    "Bloom": ("Bloom", dict(hidden_size=32, n_layer=2, n_head=4)),
    "Starcoder 2": ("Starcoder2", LLAMA),
    "Mixtral": ("Mixtral", LLAMA | dict(num_local_experts=4)),
    "Mamba": ("Mamba", dict(hidden_size=32, num_hidden_layers=2, state_size=4)),
}

BEYOND = {  # what tests do not hold to be right: a norm and a projection stand behind the stream, or in it
    "OPT 350M": ("OPT", FAMILIES["OPT"][1] | dict(word_embed_proj_dim=16, do_layer_norm_before=False)),
    "Bloom, post-norm": ("Bloom", FAMILIES["Bloom"][1] | dict(apply_residual_connection_post_layernorm=True)),
}


def write(folder, family: str):
    """Write a model and its tokenizer to a folder; transformers' own model, to compare with."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    name, settings = (FAMILIES | BEYOND)[family]
    tokens = dict(vocab_size=small.write_tokenizer(folder), bos_token_id=0, eos_token_id=1, pad_token_id=None)
    config = getattr(transformers, f"{name}Config")(**tokens | settings)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    draw_weights(model)
    model.save_pretrained(folder)
    return model


@torch.no_grad()
def draw_weights(model) -> None:
    """Logits and activations of the size of a trained model's, gains far from 1, biases that matter."""
    g = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            weight.copy_(torch.randn(weight.shape, generator=g) * 1.5 / weight.shape[-1] ** 0.5)
        elif name.endswith("bias"):
            weight.copy_(torch.randn(weight.shape, generator=g) * 0.3)
        else:
            weight.copy_(torch.rand(weight.shape, generator=g) * 2 + 0.3)
