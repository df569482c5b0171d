"""Whether an answer of a chunk is accepted, is silence, or the chunk is decoded again.

A chunk of `n` temperatures is decoded at most `n + 1` times for the same audio: a suspect answer of a
fitted window goes to the full window, once, and only there from one temperature to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..audio.decode import SAMPLE_RATE
from ..decoding.hypothesis import Hypothesis
from ..decoding.plan import Strategy
from ..transcript.checks import gate_failure, is_silence, max_tokens, suspicion
from ..types import EncoderWindow
from .pending_chunk import PendingChunk

MAX_ATTEMPTS = 2  # of the encoder, after the first


@dataclass(frozen=True)
class Verdict:
    """What becomes of an answer.

    Attributes:
        hypothesis: The answer to accept; without tokens for silence.
        needs_full_window: Whether the chunk is decoded again in the full window instead.
        needs_heat: Whether it is decoded again at the next temperature instead.
        reason: Why it is; of an accepted answer, the gate that it fails all the same.
    """

    hypothesis: Hypothesis
    needs_full_window: bool = False
    needs_heat: bool = False
    reason: str = ""


def judge(item: PendingChunk, hypothesis: Hypothesis, text: str, timestamp_begin: int) -> Verdict:
    """Return what becomes of an answer.

    Args:
        item: The chunk.
        hypothesis: The answer.
        text: Its text.
        timestamp_begin: Tokens from here on are timestamps.
    """
    gates = item.request.gates
    is_fitted = item.window.kind is EncoderWindow.FITTED
    may_encode = item.num_attempts < MAX_ATTEMPTS
    speech_s = sum(span.end - span.start for span in item.speech) / SAMPLE_RATE
    if is_silence(hypothesis, gates, speech_s, is_doubtful=is_fitted and may_encode):
        return Verdict(replace(hypothesis, tokens=()))
    if is_fitted and may_encode and not _is_forced(item, hypothesis):
        reach_s = (item.speech[-1].end - item.spans[0].start) / SAMPLE_RATE if item.speech else 0
        reason = suspicion(hypothesis, text, item.audio_s, reach_s, timestamp_begin)
        if reason:
            return Verdict(hypothesis, needs_full_window=True, reason=reason)
    reason = gate_failure(hypothesis, text, gates, item.audio_s)
    if not reason:
        return Verdict(hypothesis)
    best = better(item.best, hypothesis)
    if item.num_failed < len(gates.fallbacks):
        return Verdict(best, needs_heat=True, reason=reason)
    return Verdict(best, reason=reason)


def better(one: Hypothesis | None, other: Hypothesis) -> Hypothesis:
    return other if one is None or other.avg_logprob > one.avg_logprob else one


def most_tokens(item: PendingChunk) -> int:
    """Return the most tokens to generate for a chunk, no more than a loop has if that is rejected.

    A loop's answer is not accepted in a fitted window, nor where the gates have another temperature,
    so that where it is cut makes no difference.
    """
    plan = item.plan
    if item.window.kind is not EncoderWindow.FITTED and not item.request.gates.fallbacks:
        return plan.max_new_tokens
    return min(plan.max_new_tokens, max(max_tokens(item.audio_s), plan.min_new_tokens))


def _is_forced(item: PendingChunk, hypothesis: Hypothesis) -> bool:
    """Return whether the request's own parameters may have made an answer look suspect.

    That is an answer that was drawn, or is as short or as long as the request's limits say. A drawn
    one that is as long as a loop is suspect all the same.
    """
    plan, num_tokens = item.plan, len(hypothesis.tokens)
    if num_tokens >= plan.max_new_tokens or 0 < plan.min_new_tokens >= num_tokens:
        return True
    return plan.strategy is Strategy.SAMPLE and num_tokens < max_tokens(item.audio_s)
