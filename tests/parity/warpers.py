"""Scores and sampling parameters, and what HF's warpers make of them. The scores need no torch."""

from __future__ import annotations

import numpy as np

Parameters = dict[str, int | float]

NUM_TOKENS = 400
PLANS: dict[str, Parameters] = {
    "none": {"top_k": 0},
    "defaults": {},
    "temperature 0.5": {"temperature": 0.5, "top_k": 0},
    "temperature 2": {"temperature": 2.0, "top_k": 0},
    **{f"top_k {k}": {"top_k": k} for k in (1, 2, 5, 399, 400, 1000)},
    **{f"top_p {p}": {"top_p": p, "top_k": 0} for p in (0.0, 0.1, 0.5, 0.9, 0.999)},
    **{f"typical_p {p}": {"typical_p": p, "top_k": 0} for p in (0.05, 0.2, 0.5, 0.95)},
    **{f"epsilon {c}": {"epsilon_cutoff": c, "top_k": 0} for c in (3e-4, 3e-3, 0.02, 0.9)},
    **{f"eta {c}": {"eta_cutoff": c, "top_k": 0} for c in (3e-4, 3e-3, 0.02, 0.6)},
    # Where the order shows: each cut changes what the next one sees.
    "temperature, top_k, top_p": {"temperature": 1.7, "top_k": 20, "top_p": 0.83},
    "cold, top_p": {"temperature": 0.4, "top_k": 0, "top_p": 0.8},
    "top_k, top_p": {"top_k": 5, "top_p": 0.7},
    "top_k, typical_p": {"top_k": 12, "typical_p": 0.4},
    "top_p, typical_p": {"top_k": 0, "top_p": 0.6, "typical_p": 0.5},
    "typical_p, epsilon": {"top_k": 0, "typical_p": 0.6, "epsilon_cutoff": 0.02},
    "epsilon, eta": {"top_k": 0, "epsilon_cutoff": 0.01, "eta_cutoff": 0.1},
    "typical_p, eta": {"top_k": 0, "typical_p": 0.5, "eta_cutoff": 0.05},
    "all": {
        "temperature": 1.3,
        "top_k": 60,
        "top_p": 0.9,
        "typical_p": 0.8,
        "epsilon_cutoff": 0.01,
        "eta_cutoff": 0.02,
    },
}


def scores_to_warp() -> dict[str, np.ndarray]:
    """Return float32 scores (NUM_TOKENS,) of every kind, the same each time."""
    rng = np.random.default_rng(20)
    few = np.full(NUM_TOKENS, -np.inf)
    few[[3, 70, 71, 399]] = [1.0, 0.5, 0.4, -2.0]
    one = np.full(NUM_TOKENS, -np.inf)
    one[17] = -3.0
    forbidden = rng.normal(0, 3, NUM_TOKENS)
    forbidden[rng.permutation(NUM_TOKENS)[:250]] = -np.inf
    peaked = rng.normal(0, 1, NUM_TOKENS)
    peaked[5] = 60.0
    found = {
        "flat": rng.normal(0, 0.3, NUM_TOKENS),
        "usual": rng.normal(0, 2, NUM_TOKENS),
        "sharp": rng.normal(0, 6, NUM_TOKENS),
        "far from zero": rng.normal(-40, 3, NUM_TOKENS),
        # Powers of two, so that ties are ties in every sum.
        "ties": np.log(2.0) * rng.integers(0, 4, NUM_TOKENS),
        "uniform": np.zeros(NUM_TOKENS),
        "peaked": peaked,
        "one-hot": one,
        "few": few,
        "forbidden": forbidden,
    }
    return {name: scores.astype(np.float32) for name, scores in found.items()}


def warped_by_hf() -> dict[str, np.ndarray]:
    """Return float32 probabilities (plans, NUM_TOKENS) after HF's warpers, for each scores."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    tiny = {"d_model": 8, "vocab_size": 32, "encoder_layers": 1, "decoder_layers": 1}
    heads = {"encoder_attention_heads": 1, "decoder_attention_heads": 1}
    ids = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 0}
    model = WhisperForConditionalGeneration(WhisperConfig(**tiny, **heads, **ids))
    prompt = torch.tensor([[1]])
    found: dict[str, list[np.ndarray]] = {}
    for plan in PLANS.values():
        # HF's own choice and order of warpers, not ours.
        chosen = model._get_logits_processor(
            GenerationConfig(do_sample=True, **plan), input_ids_seq_length=1, device="cpu"
        )
        for name, scores in scores_to_warp().items():
            warped = chosen(prompt, torch.from_numpy(scores)[None])
            found.setdefault(name, []).append(warped.softmax(-1)[0].numpy())
    return {name: np.array(rows, np.float32) for name, rows in found.items()}
