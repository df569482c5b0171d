"""How much longer a plan takes than plain decoding, so that turns and queues can count it."""

from __future__ import annotations

from .plan import DecodePlan

TOKENS_PER_S = 3.3  # tokens generated per second of audio, as for continuous speech
_PER_ROW = 0.2  # share of the first row's time: five beams took 1.4 times greedy search's in all


def effort(plan: DecodePlan, audio_s: float = 30.0) -> float:
    """Return how many times as long as plain decoding a plan takes, about; 1 for plain decoding.

    Half the time of plain decoding is the encoder's; the decoder's grows with rows and tokens.

    Args:
        plan: How a chunk is decoded.
        audio_s: Length of its window, in seconds.
    """
    plain = max(1.0, TOKENS_PER_S * audio_s)
    expected = max(plain * max(1.0, plan.patience or 1.0), plan.min_new_tokens)
    tokens = plan.max_new_tokens if plan.is_endless else min(expected, plan.max_new_tokens)
    rows = 1 + _PER_ROW * (plan.num_rows - 1)
    return (1 + rows * tokens / plain) / 2
