"""The events of a session in OpenAI's terms. One object for each connection, no input or output."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from ...engine import (
    Ended,
    Event,
    Failed,
    Final,
    Interim,
    SpeechStarted,
    SpeechStopped,
    TalkmillError,
)
from ..formats import to_logprobs
from .errors import openai_details
from .realtime_config import RealtimeConfig

_ITEM = "conversation.item.input_audio_transcription."

Json = dict[str, Any]


def new_event(kind: str, **content: Any) -> Json:
    """Return an event of the server."""
    return {"type": kind, "event_id": f"event_{secrets.token_hex(8)}", **content}


def error_event(error: BaseException, event_id: str | None = None) -> Json:
    """Return an `error` event; `event_id` is that of the client's event at fault."""
    return new_event("error", error={**openai_details(error), "event_id": event_id})


class RealtimeEvents:
    """Translates the engine's events of one session."""

    def __init__(self, config: RealtimeConfig) -> None:
        """Start; `config` is what the session was opened with."""
        self._config = config
        self._prefix = secrets.token_hex(6)
        self._num_empty = 0  # items without speech
        self._last_item: str | None = None
        self._shown = ""  # stable text of the utterance that goes on, as far as it was sent

    def of(self, event: Event) -> Iterator[Json]:
        """Yield what the client is told of an event; `Ended` is for the connection to tell."""
        if isinstance(event, SpeechStarted):
            self._shown = ""
            yield from self._of_speech("started", event.utterance, audio_start_ms=event.start_s)
        elif isinstance(event, SpeechStopped):
            yield from self._of_speech("stopped", event.utterance, audio_end_ms=event.end_s)
            yield self._committed(self._item(event.utterance))
        elif isinstance(event, Interim):
            yield from self._delta(event)
        elif isinstance(event, Final):
            yield self._completed(event)
        elif isinstance(event, Failed):
            error = {**openai_details(event.error)}
            yield self._of_item("failed", self._item(event.utterance), error=error)
        else:
            assert isinstance(event, Ended)

    def of_empty_commit(self) -> Iterator[Json]:
        """Yield what the client is told of audio that was committed and has no speech."""
        item = f"item_{self._prefix}_empty_{self._num_empty}"
        self._num_empty += 1
        yield self._committed(item)
        usage = {"type": "duration", "seconds": 0.0}
        yield self._of_item("completed", item, transcript="", usage=usage)

    def of_end(self, event: Ended) -> Json | None:
        """Return what the client is told of the end, if it is an error."""
        return None if event.error is None else error_event(event.error)

    def _of_speech(self, what: str, utterance: int, **time_s: float) -> Iterator[Json]:
        if self._config.vad is not None:  # else the client says itself when it speaks
            times = {name: round(1000 * value) for name, value in time_s.items()}
            item = self._item(utterance)
            yield new_event(f"input_audio_buffer.speech_{what}", item_id=item, **times)

    def _committed(self, item: str) -> Json:
        before, self._last_item = self._last_item, item
        return new_event("input_audio_buffer.committed", item_id=item, previous_item_id=before)

    def _delta(self, event: Interim) -> Iterator[Json]:
        delta = event.stable_text[len(self._shown) :]
        self._shown = event.stable_text
        if delta:
            yield self._of_item("delta", self._item(event.utterance), delta=delta)

    def _completed(self, event: Final) -> Json:
        transcript = event.transcript
        content: Json = {
            "transcript": transcript.text,
            "usage": {"type": "duration", "seconds": round(transcript.duration_s, 3)},
        }
        if self._config.has_logprobs:
            content["logprobs"] = to_logprobs(transcript.logprobs)
        if transcript.warnings:
            content["warnings"] = transcript.warnings
        return self._of_item("completed", self._item(event.utterance), **content)

    def _of_item(self, what: str, item: str, **content: Any) -> Json:
        return new_event(_ITEM + what, item_id=item, content_index=0, **content)

    def _item(self, utterance: int) -> str:
        return f"item_{self._prefix}_{utterance}"


def refusal(error: TalkmillError) -> Json:
    """Return the body of the answer to a connection that is refused."""
    return {"error": openai_details(error)}
