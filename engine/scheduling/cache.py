"""Answers to earlier questions, and one computation for equal questions asked at once.

Knows no audio and no model: a key stands for both, and for everything else that the words depend
on.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from dataclasses import dataclass
from typing import Protocol

from cachetools import LRUCache

from ..options import CheckedOptions
from ..types import Transcript
from .request import Request


def is_cacheable(request: Request) -> bool:
    """Return whether a request may be answered from the cache: nothing is drawn without a seed."""
    return request.use_cache and request.plan.is_deterministic


def cache_key(fingerprint: str, audio_digest: str, checked: CheckedOptions, scope: str = "") -> str:
    """Return the SHA-256 of everything that the words depend on, and of who may share them.

    Args:
        fingerprint: See `AnswerCache`.
        audio_digest: Digest of the audio; see `Preparation.identify`.
        checked: The request's options.
        scope: See `Request.cache_scope`.
    """
    given = checked.given
    question = (
        checked.language,
        given.task,
        checked.languages,
        checked.is_multi,
        checked.is_conditioned,
        checked.previous,
        given.vad,
        given.channels,
        given.vad_options,
        given.words,
        checked.plan,
        checked.gates,
        checked.encoder_window,
    )
    parts = (fingerprint, audio_digest, repr(question), scope)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class TranscriptStore(Protocol):
    """Where transcripts are kept. Thread-safe; it may drop any of them at any time."""

    def get(self, key: str) -> Transcript | None:
        """Return the transcript under a key, if it is still there."""

    def put(self, key: str, transcript: Transcript) -> None:
        """Keep a transcript, if there is room."""


class MemoryStore:
    """A `TranscriptStore` in this process; the least recently used transcripts are dropped."""

    def __init__(self, max_bytes: int) -> None:
        """Keep about `max_bytes` at most."""
        self._lock = threading.Lock()
        self._kept: LRUCache[str, Transcript] = LRUCache(max_bytes, getsizeof=_size_bytes)

    @property
    def num_bytes(self) -> int:
        """Bytes that it holds now, about."""
        return int(self._kept.currsize)

    def get(self, key: str) -> Transcript | None:
        """See `TranscriptStore.get`."""
        with self._lock:
            return self._kept.get(key)

    def put(self, key: str, transcript: Transcript) -> None:
        """See `TranscriptStore.put`."""
        with self._lock:
            if _size_bytes(transcript) <= self._kept.maxsize:
                self._kept[key] = transcript


def _size_bytes(transcript: Transcript) -> int:
    texts = (transcript.text, *(segment.text for segment in transcript.segments))
    per_segment = sys.getsizeof(transcript) + 3 * sys.getsizeof(0.0)  # about
    per_word = per_segment + sys.getsizeof("word ")  # about
    num_words = sum(len(one.words) for one in transcript.segments)
    per_token = 2 * sys.getsizeof(b"token")  # a segment's own, and more with log-probabilities
    num_tokens = sum(len(one.tokens) for one in transcript.segments) + 4 * len(transcript.logprobs)
    return (
        sum(map(sys.getsizeof, texts))
        + per_segment * (1 + len(transcript.segments))
        + per_token * num_tokens
        + per_word * num_words
    )


@dataclass
class CacheStats:
    """Requests that may be answered from the cache, by how they were answered.

    Attributes:
        num_hits: From the cache, at once.
        num_misses: By computing the answer.
        num_coalesced: By waiting for another request that computed the same answer.
    """

    num_hits: int = 0
    num_misses: int = 0
    num_coalesced: int = 0


class AnswerCache:
    """Decides for each request whether its answer must be computed. Thread-safe."""

    def __init__(self, store: TranscriptStore, fingerprint: str) -> None:
        """Take the store.

        Args:
            store: Where answers are kept.
            fingerprint: Model, computation and library versions: all that the words depend on
                and that is the same for every request.
        """
        self.stats = CacheStats()
        self._store = store
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._in_flight: dict[str, Request] = {}

    def claim(self, request: Request, audio_digest: str, *, has_waited: bool) -> Request:
        """Answer a request if its answer is known; else return who computes it.

        Args:
            request: One that `is_cacheable`.
            audio_digest: Digest of the audio.
            has_waited: Whether it has waited for another request already.

        Returns:
            The request that computes the answer: itself, or another one that it must wait for.
            Where the answer was known: itself, done.
        """
        key = cache_key(self._fingerprint, audio_digest, request.checked, request.cache_scope)
        with self._lock:
            if (known := self._store.get(key)) is None:
                twin = self._in_flight.setdefault(key, request)
                if twin is request:
                    self.stats.num_misses += 1
            elif has_waited:
                self.stats.num_coalesced += 1
            else:
                self.stats.num_hits += 1
        if known is not None:
            request.answer(known)
            return request
        if twin is request:
            # The callback must not refer to the request, whose future keeps it.
            request.future.add_done_callback(lambda _: self._done(key))
        return twin

    def _done(self, key: str) -> None:
        with self._lock:
            # Together: a request in between finds either the answer or who computes it.
            request = self._in_flight.pop(key)
            if request.computed is not None:
                self._store.put(key, request.computed)
