"""Whether an answer of a chunk is accepted, is silence, or the chunk is decoded again.

With `n` temperatures the same audio is decoded at most `n + 1` times: a suspect answer of a fitted
window goes to the full window, once, and only there from one temperature to the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..audio.decode import SAMPLE_RATE
from ..decoding.hypothesis import Hypothesis
from ..decoding.plan import Strategy
from ..transcript.checks import (
    gate_failure,
    is_silence,
    max_tokens,
    repetition,
    suspicion,
    unspoken,
)
from ..transcript.loops import Loop, find_loop
from ..types import EncoderWindow, Segment
from .pending_chunk import PendingChunk, Ranked

MAX_ATTEMPTS = 2  # of the encoder, after the first
_HOPELESS = 0.5  # so much under the threshold; base on music is at -1.6 to -2.5


@dataclass(frozen=True)
class Verdict:
    """What becomes of an answer.

    Attributes:
        hypothesis: The answer to accept; without tokens for silence.
        reason: Why it is not accepted; empty if it is.
        failed: If the gates are the reason: the best answer so far. Otherwise the full window is
            what comes next.
    """

    hypothesis: Hypothesis
    reason: str = ""
    failed: Ranked | None = None


def suspicion_of(
    item: PendingChunk, hypothesis: Hypothesis, text: str, timestamp_begin: int
) -> str:
    """Return why an answer looks like that of an encoder's window that was too short, or "".

    Args:
        item: The chunk.
        hypothesis: The answer.
        text: Its text.
        timestamp_begin: Tokens from here on are timestamps.
    """
    reach_s = (item.speech[-1].end - item.spans[0].start) / SAMPLE_RATE if item.speech else 0
    return suspicion(hypothesis, text, item.audio_s, reach_s, timestamp_begin)


def judge(item: PendingChunk, hypothesis: Hypothesis, text: str, suspect: str) -> Verdict:
    """Return what becomes of an answer.

    If all temperatures fail, the most probable answer is accepted, if possible of those that end
    and do not repeat themselves. openai/whisper takes the last; at 1.0 it is often nonsense.

    Args:
        item: The chunk.
        hypothesis: The answer.
        text: Its text.
        suspect: Why it is suspect, if it is; see `suspicion_of`.
    """
    gates = item.request.gates
    is_doubtful = item.window.kind is EncoderWindow.FITTED and item.num_attempts < MAX_ATTEMPTS
    speech_s = sum(span.end - span.start for span in item.speech) / SAMPLE_RATE
    if is_silence(hypothesis, gates, speech_s, is_doubtful=is_doubtful):
        return Verdict(hypothesis.until(0))
    is_doubtful = is_doubtful and not _is_forced(item, hypothesis)
    if is_doubtful and suspect:
        return Verdict(hypothesis, suspect)
    reason = gate_failure(hypothesis, text, gates, item.audio_s)
    if not reason:
        return Verdict(hypothesis)
    rank = (
        not reaches_limit(item, hypothesis),
        not repetition(hypothesis, text, gates),
        hypothesis.avg_logprob,
    )
    failed = max((item.best or (rank, hypothesis), (rank, hypothesis)), key=lambda one: one[0])
    if item.num_failed < len(gates.fallbacks):
        return Verdict(hypothesis, reason, failed)
    best = failed[1]
    if not item.speech and gates.logprob is not None:
        # Nobody else says that this is speech, and at no temperature does the model.
        is_hopeless = bool(gates.fallbacks) and best.avg_logprob < gates.logprob - _HOPELESS
        return Verdict(best.until(0) if is_hopeless else best)
    return Verdict(best)


def has_fitted_failed(item: PendingChunk, suspect: str) -> bool | None:
    """Return whether a fitted window did badly by a chunk; None if this answer does not say.

    It did if its answer is suspect and that of the full window is not. If both are, the audio is
    hard. What is drawn, and what was decoded before in parts, says little of the windows.

    Args:
        item: The chunk.
        suspect: Why its answer is suspect, if it is; see `suspicion_of`.
    """
    is_first = item.window.kind is EncoderWindow.FITTED and not item.num_attempts
    is_second = item.is_fallback and not item.num_failed
    if not (is_first or is_second) or item.plan.strategy is Strategy.SAMPLE:
        return None
    return None if suspect else is_second


def find_endless_loop(item: PendingChunk, hypothesis: Hypothesis, begin: int) -> Loop | None:
    """Return the loop that an accepted answer ends in, if it ran to the limit of the tokens.

    None if the request has no gates: then it gets what its search finds.
    """
    if not item.request.gates.fallbacks or not reaches_limit(item, hypothesis):
        return None
    return find_loop(hypothesis.tokens, begin)


def warnings_of(
    item: PendingChunk,
    hypothesis: Hypothesis,
    segments: list[Segment],
    loop: tuple[str, int] | None,
) -> tuple[str, ...]:
    """Return what the caller must know of an accepted answer, one sentence for each problem.

    Args:
        item: The chunk.
        hypothesis: The answer as it was decoded.
        segments: The segments made of it.
        loop: The text of a loop that was cut, and how often it occurred.
    """
    gates, said = item.request.gates, "".join(one.text for one in segments)
    place = f"at {item.spans[0].start / SAMPLE_RATE:.2f} s: "
    found = []
    if loop is not None:
        text, times = loop
        found.append(
            f"{place}{text!r} was repeated {times} times until no tokens were left; one is kept"
        )
    elif reaches_limit(item, hypothesis) and not _sets_limit(item):
        found.append(f"{place}the text ends at the limit of {len(hypothesis.tokens)} tokens")
    elif segments and (
        reason := gate_failure(hypothesis, said, gates, item.audio_s)
        or _unlikely_speech(item, hypothesis)
    ):
        found.append(f"{place}the text is doubtful: {reason}")
    if item.request.options.timestamps:
        found += [
            f"at {one.start_s:.2f} s: {one.text.strip()!r} is where no speech was detected"
            for one in unspoken(segments, item.speech)
        ]
    return tuple(found)


def _unlikely_speech(item: PendingChunk, hypothesis: Hypothesis) -> str:
    """Return why an answer may be one to sound without speech, where no speech was detected; or "".

    That is if the model takes it for silence by its probability of no speech, and the text is
    halfway to being too improbable: music is often "Thank you" at an average of -0.8 to -1.
    """
    gates, no_speech = item.request.gates, hypothesis.no_speech_prob
    if item.speech or gates.no_speech is None or gates.logprob is None:
        return ""
    if no_speech <= gates.no_speech or hypothesis.avg_logprob > gates.logprob / 2:
        return ""
    return f"no speech has a probability of {no_speech:.2f}, over {gates.no_speech:g}"


def reaches_limit(item: PendingChunk, hypothesis: Hypothesis) -> bool:
    """Return whether an answer ends because there may be no more tokens."""
    return len(hypothesis.tokens) >= most_tokens(item)


def most_tokens(item: PendingChunk) -> int:
    """Return the most tokens to generate for a chunk, no more than a loop has if that is rejected.

    A loop is rejected in a fitted window and by the gates, so that where it is cut makes no
    difference.
    """
    plan = item.plan
    if item.window.kind is not EncoderWindow.FITTED and not item.request.gates.fallbacks:
        return plan.max_new_tokens
    return min(plan.max_new_tokens, max(max_tokens(item.audio_s), plan.min_new_tokens))


def _sets_limit(item: PendingChunk) -> bool:
    """Return whether the request itself says how long an answer may be, and so knows it."""
    given = item.request.options.parameters
    return given.max_new_tokens is not None or given.max_length is not None


def _is_forced(item: PendingChunk, hypothesis: Hypothesis) -> bool:
    """Return whether the request's own parameters may have made an answer look suspect.

    That is an answer that was drawn, or is as short or as long as the request's limits say. A drawn
    one that is as long as a loop is suspect all the same.
    """
    plan, num_tokens = item.plan, len(hypothesis.tokens)
    if num_tokens >= plan.max_new_tokens or 0 < plan.min_new_tokens >= num_tokens:
        return True
    return plan.strategy is Strategy.SAMPLE and num_tokens < max_tokens(item.audio_s)
