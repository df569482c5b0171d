"""Answers to what was asked before, and one computation for what is asked several times at once.

Knows no audio and no model: a key stands for both, and for everything that shapes the words.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

from cachetools import LRUCache

from ..types import Transcript
from .request import Request

# A new version of any of these may give other words to the same question.
_LIBRARIES = (
    "talkmill",
    "av",
    "ctranslate2",
    "faster-whisper",
    "numpy",
    "onnxruntime",
    "tokenizers",
)


def library_versions() -> str:
    """Return the versions of the libraries that shape the words."""
    return " ".join(f"{name}={version(name)}" for name in _LIBRARIES)


class TranscriptStore(Protocol):
    """Where transcripts are kept. Thread-safe; it may forget any of them at any time."""

    def get(self, key: str) -> Transcript | None:
        """Return what is kept under a key."""

    def put(self, key: str, transcript: Transcript) -> None:
        """Keep a transcript, if there is room."""


class MemoryStore:
    """Fills `TranscriptStore` in this process: at most so many bytes, the least used leave."""

    def __init__(self, max_bytes: int) -> None:
        """Hold at most about `max_bytes`."""
        self._lock = threading.Lock()
        self._kept: LRUCache[str, Transcript] = LRUCache(max_bytes, getsizeof=_size_bytes)

    @property
    def num_bytes(self) -> int:
        """About what it holds now."""
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
    return sum(map(sys.getsizeof, texts)) + per_segment * (1 + len(transcript.segments))


@dataclass
class CacheStats:
    """How requests that may be answered from the cache have fared.

    Attributes:
        num_hits: Answered at once.
        num_misses: Computed.
        num_coalesced: Waited for another request's computation of the same.
    """

    num_hits: int = 0
    num_misses: int = 0
    num_coalesced: int = 0


class AnswerCache:
    """Says of each request whether it must be computed. Thread-safe."""

    def __init__(self, store: TranscriptStore, fingerprint: str) -> None:
        """Take the store, and what all its answers share.

        Args:
            store: Where answers are kept.
            fingerprint: Tells apart what gives other words to the same question: model,
                computation, library versions.
        """
        self.stats = CacheStats()
        self._store = store
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._in_flight: dict[str, Request] = {}

    def claim(self, request: Request, audio_digest: str, *, has_waited: bool) -> Request:
        """Answer a request if its answer is known; else say who computes it.

        Args:
            request: Deterministic: its words depend on the audio and the question alone.
            audio_digest: Stands for the audio.
            has_waited: Whether it was told to wait for another one before.

        Returns:
            The request that computes the answer: itself, or another one that it should wait for.
            Where the answer was known, itself, done.
        """
        key = self._key(request, audio_digest)
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
            request.future.add_done_callback(lambda _: self._done(key, request))
        return twin

    def _done(self, key: str, request: Request) -> None:
        with self._lock:
            # First the answer, then the way is free: who asks in between finds one of them.
            if request.computed is not None:
                self._store.put(key, request.computed)
            del self._in_flight[key]

    def _key(self, request: Request, audio_digest: str) -> str:
        parts = (self._fingerprint, audio_digest, str(request.question))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
