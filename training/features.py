"""Whisper's log-mel features, for whole batches in torch."""

import torch
from transformers import WhisperFeatureExtractor

SAMPLE_RATE = 16_000
NUM_MELS = 80
HOP_SAMPLES = 160
_FFT_SAMPLES = 400

_MEL_FILTERS = torch.tensor(WhisperFeatureExtractor().mel_filters.T, dtype=torch.float32)
_HANN = torch.hann_window(_FFT_SAMPLES)


def log_mel(samples: torch.Tensor, num_real_frames: torch.Tensor | None = None) -> torch.Tensor:
    """Return the log-mel features of a batch of windows.

    Args:
        samples: float32 of shape (batch, num_samples).
        num_real_frames: int64 of shape (batch,). Frames from there on become 0.0, which is how
            faster-whisper pads a short window; by default all are real.

    Returns:
        float32 of shape (batch, 80, num_samples // 160).
    """
    spectrum = torch.stft(
        samples, _FFT_SAMPLES, HOP_SAMPLES, window=_HANN, return_complex=True
    )[..., :-1]  # fmt: skip
    mel = _MEL_FILTERS @ spectrum.abs().square()
    log = mel.clamp(min=1e-10).log10()
    log = torch.maximum(log, log.amax(dim=(-2, -1), keepdim=True) - 8.0)
    features = (log + 4.0) / 4.0
    if num_real_frames is not None:
        frames = torch.arange(features.shape[-1])
        features = features * (frames < num_real_frames[:, None])[:, None, :]
    return features
