"""HF's Whisper from CTranslate2's variables: the same numbers on both sides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

Weights = Mapping[str, np.ndarray]
_State = dict[str, np.ndarray]


def to_hf(weights: Weights, num_mels: int) -> WhisperForConditionalGeneration:
    """Return the model that has these (dequantized, float32) variables."""
    d_model = weights["decoder/embeddings/weight"].shape[1]
    counts = {
        side: sum(f"{side}/layer_{i}/ffn/linear_0/weight" in weights for i in range(99))
        for side in ("encoder", "decoder")
    }
    ffn = weights["decoder/layer_0/ffn/linear_0/weight"].shape[0]
    heads = int(weights["decoder/num_heads"])
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=weights["decoder/embeddings/weight"].shape[0],
            num_mel_bins=num_mels,
            d_model=d_model,
            encoder_layers=counts["encoder"],
            decoder_layers=counts["decoder"],
            encoder_attention_heads=heads,
            decoder_attention_heads=heads,
            encoder_ffn_dim=ffn,
            decoder_ffn_dim=ffn,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=0,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )
    state: _State = {
        "model.encoder.embed_positions.weight": weights["encoder/position_encodings/encodings"],
        "model.decoder.embed_positions.weight": weights["decoder/position_encodings/encodings"],
        "model.decoder.embed_tokens.weight": weights["decoder/embeddings/weight"],
        "proj_out.weight": weights["decoder/embeddings/weight"],
    }
    for i in (1, 2):
        _put(state, f"model.encoder.conv{i}", weights, f"encoder/conv{i}")
    for side in ("encoder", "decoder"):
        _norm(state, f"model.{side}.layer_norm", weights, f"{side}/layer_norm")
        for i in range(counts[side]):
            _layer(state, f"model.{side}.layers.{i}", weights, f"{side}/layer_{i}")
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected, unexpected
    assert all("k_proj.bias" in name for name in missing), missing
    return model.eval()


def _put(state: _State, to: str, weights: Weights, name: str) -> None:
    state[f"{to}.weight"] = weights[f"{name}/weight"]
    state[f"{to}.bias"] = weights[f"{name}/bias"]


def _norm(state: _State, to: str, weights: Weights, name: str) -> None:
    state[f"{to}.weight"] = weights[f"{name}/gamma"]
    state[f"{to}.bias"] = weights[f"{name}/beta"]


def _layer(state: _State, to: str, weights: Weights, name: str) -> None:
    _attention(state, f"{to}.self_attn", weights, f"{name}/self_attention", "qkv", "out")
    _norm(state, f"{to}.self_attn_layer_norm", weights, f"{name}/self_attention/layer_norm")
    if f"{name}/attention/linear_0/weight" in weights:
        _attention(state, f"{to}.encoder_attn", weights, f"{name}/attention", "q", "kv", "out")
        _norm(state, f"{to}.encoder_attn_layer_norm", weights, f"{name}/attention/layer_norm")
    _norm(state, f"{to}.final_layer_norm", weights, f"{name}/ffn/layer_norm")
    _put(state, f"{to}.fc1", weights, f"{name}/ffn/linear_0")
    _put(state, f"{to}.fc2", weights, f"{name}/ffn/linear_1")


def _attention(state: _State, to: str, weights: Weights, name: str, *parts: str) -> None:
    for i, part in enumerate(parts):
        names = ["out_proj"] if part == "out" else [f"{letter}_proj" for letter in part]
        matrices = np.split(weights[f"{name}/linear_{i}/weight"], len(names))
        biases = np.split(weights[f"{name}/linear_{i}/bias"], len(names))
        for target, matrix, bias in zip(names, matrices, biases, strict=True):
            state[f"{to}.{target}.weight"] = matrix
            if target != "k_proj":
                state[f"{to}.{target}.bias"] = bias
