"""Whisper's architecture in torch, with the parameter names of Hugging Face's checkpoint.

Unlike theirs it takes windows of any length up to 30 s and carries a CTC head on the encoder,
which helps the decoder's attention to align in training and is not exported.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# CTC classes: 0 blank, 1 space, then the letters and the apostrophe.
CTC_CHARACTERS = " abcdefghijklmnopqrstuvwxyz'"


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a model."""

    num_tokens: int
    num_mels: int = 80
    d_model: int = 192
    num_heads: int = 3
    encoder_layers: int = 4
    decoder_layers: int = 3
    max_source_positions: int = 1500
    max_target_positions: int = 448


def sinusoids(length: int, channels: int) -> Tensor:
    """Return the encoder's fixed positions, float32 of shape (length, channels)."""
    increment = math.log(10_000) / (channels // 2 - 1)
    rates = torch.exp(-increment * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Attention(nn.Module):
    """Multi-head attention; the keys have no bias, as in Whisper."""

    def __init__(self, shape: ModelShape) -> None:
        """Make the four projections."""
        super().__init__()
        self.num_heads = shape.num_heads
        self.q_proj = nn.Linear(shape.d_model, shape.d_model)
        self.k_proj = nn.Linear(shape.d_model, shape.d_model, bias=False)
        self.v_proj = nn.Linear(shape.d_model, shape.d_model)
        self.out_proj = nn.Linear(shape.d_model, shape.d_model)

    def forward(self, queries: Tensor, memory: Tensor, is_causal: bool = False) -> Tensor:
        """Attend from (batch, time, d_model) to (batch, memory time, d_model)."""

        def split(projected: Tensor) -> Tensor:
            return projected.view(*projected.shape[:2], self.num_heads, -1).transpose(1, 2)

        attended = functional.scaled_dot_product_attention(
            split(self.q_proj(queries)),
            split(self.k_proj(memory)),
            split(self.v_proj(memory)),
            is_causal=is_causal,
        )
        output: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return output


class Layer(nn.Module):
    """One encoder layer, or one decoder layer if it attends to an encoder too."""

    def __init__(self, shape: ModelShape, is_decoder: bool) -> None:
        """Make an encoder or a decoder layer."""
        super().__init__()
        self.is_decoder = is_decoder
        self.self_attn_layer_norm = nn.LayerNorm(shape.d_model)
        self.self_attn = Attention(shape)
        if is_decoder:
            self.encoder_attn_layer_norm = nn.LayerNorm(shape.d_model)
            self.encoder_attn = Attention(shape)
        self.final_layer_norm = nn.LayerNorm(shape.d_model)
        self.fc1 = nn.Linear(shape.d_model, 4 * shape.d_model)
        self.fc2 = nn.Linear(4 * shape.d_model, shape.d_model)

    def forward(self, hidden: Tensor, memory: Tensor | None = None) -> Tensor:
        """Map (batch, time, d_model) to the same shape; a decoder layer needs the memory."""
        normed = self.self_attn_layer_norm(hidden)
        hidden = hidden + self.self_attn(normed, normed, is_causal=self.is_decoder)
        if self.is_decoder:
            hidden = hidden + self.encoder_attn(self.encoder_attn_layer_norm(hidden), memory)
        update: Tensor = self.fc2(functional.gelu(self.fc1(self.final_layer_norm(hidden))))
        return hidden + update


class Encoder(nn.Module):
    """Features to encoder output: half the frames, d_model channels."""

    def __init__(self, shape: ModelShape) -> None:
        """Make random weights and the fixed positions."""
        super().__init__()
        self.conv1 = nn.Conv1d(shape.num_mels, shape.d_model, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.d_model, shape.d_model, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(shape.max_source_positions, shape.d_model)
        self.embed_positions.weight = nn.Parameter(
            sinusoids(shape.max_source_positions, shape.d_model), requires_grad=False
        )
        self.layers = nn.ModuleList(Layer(shape, False) for _ in range(shape.encoder_layers))
        self.layer_norm = nn.LayerNorm(shape.d_model)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, num_mels, frames) to (batch, frames / 2, d_model)."""
        hidden = functional.gelu(self.conv2(functional.gelu(self.conv1(features))))
        hidden = hidden.transpose(1, 2)
        hidden = hidden + self.embed_positions.weight[: hidden.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden)
        output: Tensor = self.layer_norm(hidden)
        return output


class Decoder(nn.Module):
    """Tokens and encoder output to logits, with the embedding as output layer."""

    def __init__(self, shape: ModelShape) -> None:
        """Make random weights."""
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.num_tokens, shape.d_model)
        self.embed_positions = nn.Embedding(shape.max_target_positions, shape.d_model)
        nn.init.normal_(self.embed_tokens.weight, 0, 0.02)
        nn.init.normal_(self.embed_positions.weight, 0, 0.01)
        self.layers = nn.ModuleList(Layer(shape, True) for _ in range(shape.decoder_layers))
        self.layer_norm = nn.LayerNorm(shape.d_model)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """Map (batch, time) ids to (batch, time, num_tokens) logits."""
        hidden = self.embed_tokens(tokens) + self.embed_positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden, memory)
        return functional.linear(self.layer_norm(hidden), self.embed_tokens.weight)


class Whisper(nn.Module):
    """The whole model and its CTC head."""

    def __init__(self, shape: ModelShape) -> None:
        """Make both halves and the CTC head."""
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.ctc_head = nn.Linear(shape.d_model, len(CTC_CHARACTERS) + 1)

    def forward(self, features: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (batch, time, num_tokens) and the CTC logits (batch, frames, 29)."""
        memory = self.encoder(features)
        return self.decoder(tokens, memory), self.ctc_head(memory)

    @torch.inference_mode()
    def transcribe(
        self, features: Tensor, prompt: list[int], eot: int, max_new: int
    ) -> list[list[int]]:
        """Decode greedily; returns each row's tokens after the prompt, without end-of-text."""
        memory = self.encoder(features)
        tokens = torch.tensor([prompt] * len(features))
        done = torch.zeros(len(features), dtype=torch.bool)
        for _ in range(max_new):
            best = self.decoder(tokens, memory)[:, -1].argmax(-1)
            done |= best == eot
            tokens = torch.cat([tokens, best.masked_fill(done, eot)[:, None]], dim=1)
            if done.all():
                break
        return [[t for t in row if t != eot] for row in tokens[:, len(prompt) :].tolist()]
