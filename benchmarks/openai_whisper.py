"""openai/whisper itself with the weights of a CTranslate2 folder, in float32.

Needs `pip install openai-whisper`, and with it torch.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hf import num_layers, tensors
from talkmill.engine.model.weights import Weights, read_weights

# transformers' names of parts, and openai's; longer ones first.
_PARTS = {
    "encoder_attn_layer_norm": "cross_attn_ln",
    "self_attn_layer_norm": "attn_ln",
    "final_layer_norm": "mlp_ln",
    "encoder_attn": "cross_attn",
    "self_attn": "attn",
    "embed_tokens": "token_embedding",
    "embed_positions.weight": "positional_embedding",
    "encoder.layer_norm": "encoder.ln_post",
    "decoder.layer_norm": "decoder.ln",
    "layers": "blocks",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
}
_ANY_PART = re.compile("|".join(map(re.escape, _PARTS)))
_MAX_TOKENS = 448


def load(folder: Path) -> Any:
    """Return a `whisper.model.Whisper` with the weights and the alignment heads in `folder`."""
    torch = importlib.import_module("torch")
    library = importlib.import_module("whisper.model")
    weights = read_weights(folder / "model.bin")
    model = library.Whisper(library.ModelDimensions(**_dimensions(weights)))
    model.load_state_dict(
        {_name(name): torch.from_numpy(np.array(tensor)) for name, tensor in tensors(weights)}
    )
    config: Mapping[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if heads := config.get("alignment_heads"):
        mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
        for layer, head in heads:
            mask[layer, head] = True
        model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    return model.eval()


def _name(name: str) -> str:
    return _ANY_PART.sub(lambda part: _PARTS[part[0]], name.removeprefix("model."))


def _dimensions(weights: Weights) -> dict[str, int]:
    num_tokens, width = weights["decoder/embeddings/weight"].shape
    return {
        "n_mels": weights["encoder/conv1/weight"].shape[1],
        "n_audio_ctx": len(weights["encoder/position_encodings/encodings"]),
        "n_audio_state": width,
        "n_audio_head": int(weights["encoder/num_heads"]),
        "n_audio_layer": num_layers(weights, "encoder"),
        "n_vocab": num_tokens,
        "n_text_ctx": _MAX_TOKENS,
        "n_text_state": width,
        "n_text_head": int(weights["decoder/num_heads"]),
        "n_text_layer": num_layers(weights, "decoder"),
    }
