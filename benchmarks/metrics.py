"""Computes figures from answers: speed, percentiles, word errors, tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load import Answer
from benchmarks.peers import Result
from benchmarks.workloads import Clip
from training.scoring import WordErrors

_WORD = re.compile(r"\bw\d+")  # a token of a model with random weights


@dataclass(frozen=True)
class Figures:
    """The figures of one or more results.

    Attributes:
        rtfx: Seconds of audio answered over seconds of wall time.
        rtfx_cpu: Seconds of audio answered over seconds of CPU time.
        requests_per_s: Requests answered per second.
        p50_s: Median latency; 0 if nothing was answered.
        p95_s: 95th percentile of the latency; 0 if nothing was answered.
        wer: Word errors over words; None without transcripts.
        tokens_per_clip: Mean number of tokens of an answer; None for a trained model.
        num_requests: Requests answered.
        num_errors: Requests that failed.
        wall_s: Wall seconds until the last answer.
        cpu_s: CPU seconds.
    """

    rtfx: float
    rtfx_cpu: float
    requests_per_s: float
    p50_s: float
    p95_s: float
    wer: float | None
    tokens_per_clip: float | None
    num_requests: int
    num_errors: int
    wall_s: float
    cpu_s: float


def figures(results: Sequence[Result], clips: Sequence[Clip]) -> Figures:
    """Return the figures of results that were measured one after the other."""
    answers = [answer for result in results for answer in result.answers if not answer.error]
    latencies_s = [answer.latency_s for answer in answers]
    audio_s = sum(clips[answer.clip].duration_s for answer in answers)
    wall_s = sum(result.wall_s for result in results)
    cpu_s = sum(result.cpu_s for result in results)
    return Figures(
        rtfx=audio_s / wall_s,
        rtfx_cpu=audio_s / cpu_s if cpu_s else math.inf,
        requests_per_s=len(answers) / wall_s,
        p50_s=percentile(latencies_s, 50),
        p95_s=percentile(latencies_s, 95),
        wer=_wer(answers, clips),
        tokens_per_clip=_tokens_per_clip(answers),
        num_requests=len(answers),
        num_errors=sum(len(result.answers) for result in results) - len(answers),
        wall_s=wall_s,
        cpu_s=cpu_s,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least value that `percent` % of the values do not exceed; 0 without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def _wer(answers: Sequence[Answer], clips: Sequence[Clip]) -> float | None:
    errors = WordErrors()
    for answer in answers:
        if text := clips[answer.clip].text:
            errors.add(text, plain_words(answer.text))
    return errors.rate if errors.num_words else None


def plain_words(text: str) -> str:
    """Return the text in lower case without punctuation."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def _tokens_per_clip(answers: Sequence[Answer]) -> float | None:
    count = sum(len(_WORD.findall(answer.text)) for answer in answers)
    return count / len(answers) if count else None
