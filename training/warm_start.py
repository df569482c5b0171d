"""Starts a new model from the weights of an earlier one with another tokenizer."""

from pathlib import Path

import torch

from training.model import Whisper
from training.tokens import SpeechTokenizer

_EMBEDDING = "decoder.embed_tokens.weight"


def warm_start(model: Whisper, tokenizer: SpeechTokenizer, path: Path) -> int:
    """Copy another checkpoint's weights, the token embeddings by name.

    A text token that the checkpoint lacks starts as the mean of the longest tokens that spell it
    there; a special token that it lacks keeps its random row.

    Args:
        model: The model to fill; the sizes must be the checkpoint's.
        tokenizer: The model's tokenizer.
        path: A checkpoint with `tokens` (names by id) and the weights, `average` or `model`.

    Returns:
        How many token embeddings were found by name.
    """
    state = torch.load(path, weights_only=True)
    weights = state["average"] if "average" in state else state["model"]
    places = {token: i for i, token in enumerate(state["tokens"])}
    rows = model.decoder.embed_tokens.weight.detach().clone()
    num_copied = 0
    for token_id, token in enumerate(tokenizer.all_tokens()):
        if token in places:
            rows[token_id] = weights[_EMBEDDING][places[token]]
            num_copied += 1
        elif token_id < tokenizer.eot:
            pieces = [places[piece] for piece in _longest_pieces(token, places)]
            rows[token_id] = weights[_EMBEDDING][pieces].mean(dim=0)
    model.load_state_dict({**weights, _EMBEDDING: rows})
    return num_copied


def _longest_pieces(token: str, places: dict[str, int]) -> list[str]:
    pieces = []
    while token:
        # A byte-level alphabet holds every single character, so a piece is always found.
        length = next(n for n in range(len(token), 0, -1) if token[:n] in places)
        pieces.append(token[:length])
        token = token[length:]
    return pieces
