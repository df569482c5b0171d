"""The events of a session in OpenAI's terms. One object for each connection, no input or output."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...engine import Ended, Event, Failed, Final, Interim, SpeechStarted, SpeechStopped
from ..formats import to_logprobs
from ..live import Mark
from .errors import openai_details
from .realtime_config import Json, RealtimeConfig

_ITEM = "conversation.item.input_audio_transcription."


def new_event(kind: str, **content: Any) -> Json:
    """Return an event of the server."""
    return {"type": kind, "event_id": f"event_{secrets.token_hex(8)}", **content}


def error_event(error: BaseException, event_id: str | None = None) -> Json:
    """Return an `error` event; `event_id` is that of the client's event at fault."""
    return new_event("error", error={**openai_details(error), "event_id": event_id})


@dataclass
class _Item:
    """Audio that is committed at once: an utterance, or all up to the client's commit.

    Attributes:
        id: Its name for the client.
        is_committed: Whether no audio is added any more.
        num_utterances: Those in it that are over.
        answers: Theirs, as far as they have come.
        shown: Its text as far as deltas have told it.
    """

    id: str
    is_committed: bool = False
    num_utterances: int = 0
    answers: list[Final | Failed] = field(default_factory=list)
    shown: str = ""

    @property
    def is_complete(self) -> bool:
        return self.is_committed and len(self.answers) == self.num_utterances

    @property
    def finals(self) -> list[Final]:
        return [one for one in self.answers if isinstance(one, Final)]

    @property
    def text(self) -> str:
        return " ".join(one.transcript.text for one in self.finals if one.transcript.text)


class RealtimeEvents:
    """Translates the engine's events of one session.

    Where turns are detected, each utterance is an item; else all utterances up to the client's
    commit are one, which is longer than the longest utterance if he speaks for longer.

    Attributes:
        config: The session as the client has set it; whether turns are detected never changes.
    """

    def __init__(self, config: RealtimeConfig) -> None:
        """Start; `config` is what the session was opened with."""
        self.config = config
        self._is_manual = config.vad is None
        self._prefix = secrets.token_hex(6)
        self._num_items = 0
        self._last_committed: str | None = None
        self._open: _Item | None = None  # the one that is not committed
        self._items: dict[int, _Item] = {}  # of the utterances without an answer, by their numbers

    def of(self, event: Event | Mark) -> Iterator[Json]:
        """Yield what the client is told of an event; `Ended` is for the connection to tell."""
        if isinstance(event, Mark):
            yield from self._of_mark(event)
        elif isinstance(event, SpeechStarted):
            item = self._items[event.utterance] = self._current()
            yield from self._of_speech("started", item, audio_start_ms=event.start_s)
        elif isinstance(event, SpeechStopped):
            item = self._items[event.utterance]
            item.num_utterances += 1
            yield from self._of_speech("stopped", item, audio_end_ms=event.end_s)
            if not self._is_manual:
                yield from self._commit(item)
        elif isinstance(event, Interim):
            item = self._items[event.utterance]
            if len(item.answers) == item.num_utterances:  # else words would be left out
                yield from self._delta(item, f"{item.text} {event.stable_text}".strip())
        elif isinstance(event, Final | Failed):
            item = self._items.pop(event.utterance)
            item.answers.append(event)
            yield from self._answered(item)
        else:
            assert isinstance(event, Ended)

    def _of_mark(self, mark: Mark) -> Iterator[Json]:
        if mark.what == "cleared":
            self._open = None  # what is still answered of it is told to nobody
            yield new_event("input_audio_buffer.cleared")
        elif self._is_manual or not mark.has_utterance:
            item = self._current()
            yield from self._commit(item)
            yield from self._answered(item)

    def _of_speech(self, what: str, item: _Item, **time_s: float) -> Iterator[Json]:
        if not self._is_manual:  # else the client says himself when he speaks
            times = {name: round(1000 * value) for name, value in time_s.items()}
            yield new_event(f"input_audio_buffer.speech_{what}", item_id=item.id, **times)

    def _current(self) -> _Item:
        if self._open is None:
            self._open = _Item(f"item_{self._prefix}_{self._num_items}")
            self._num_items += 1
        return self._open

    def _commit(self, item: _Item) -> Iterator[Json]:
        item.is_committed, self._open = True, None
        before, self._last_committed = self._last_committed, item.id
        kind = "input_audio_buffer.committed"
        yield new_event(kind, item_id=item.id, previous_item_id=before)

    def _delta(self, item: _Item, text: str) -> Iterator[Json]:
        """Tell what an item's text has more than was told; nothing if it was told otherwise."""
        is_told = item.is_committed or item is self._open
        if is_told and text.startswith(item.shown) and text != item.shown:
            delta, item.shown = text[len(item.shown) :], text
            yield self._of_item("delta", item, delta=delta)

    def _answered(self, item: _Item) -> Iterator[Json]:
        yield from self._delta(item, item.text)
        if not item.is_complete:
            return
        failed = [one.error for one in item.answers if isinstance(one, Failed)]
        if failed:
            yield self._of_item("failed", item, error=openai_details(failed[0]))
        else:
            yield self._completed(item)

    def _completed(self, item: _Item) -> Json:
        transcripts = [one.transcript for one in item.finals]
        seconds = sum(one.duration_s for one in transcripts)
        content: Json = {
            "transcript": item.text,
            "usage": {"type": "duration", "seconds": round(seconds, 3)},
        }
        if self.config.has_logprobs:
            content["logprobs"] = [
                found for one in transcripts for found in to_logprobs(one.logprobs)
            ]
        if warnings := [warning for one in transcripts for warning in one.warnings]:
            content["warnings"] = list(dict.fromkeys(warnings))
        return self._of_item("completed", item, **content)

    def _of_item(self, what: str, item: _Item, **content: Any) -> Json:
        return new_event(_ITEM + what, item_id=item.id, content_index=0, **content)
