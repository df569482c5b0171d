"""One live session: audio in, events out, each utterance through the model and in its turn."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from ..audio.decode import SAMPLE_RATE
from ..errors import AudioTooLong, Cancelled, NotReady, TalkmillError
from ..scheduling.request import Request
from ..types import Samples
from .events import Ended, Event, Failed, Final, SpeechStarted, SpeechStopped
from .options import CheckedLive
from .passes import Passes
from .previews import Previews
from .unanswered import Unanswered, Waiting
from .utterances import Utterance, Utterances

# Utterances without an answer, each at most 30 s of audio: a caller who is faster than the model
# waits here. At real time there is one.
MAX_WAITING = 4
_SLICE_SAMPLES = SAMPLE_RATE  # fed at once; others wait meanwhile

OnEvent = Callable[[Event], None]

_log = logging.getLogger(__name__)


class Session:
    """A conversation with the engine about audio that is being spoken. Thread-safe.

    with engine.open_session(on_event=print) as session:
        for samples in microphone:
            session.feed(samples)

    Two locks: one for the audio, held while speech is looked for and features are computed, and one
    for the rest, which the engine's threads take, too. The first is never taken after the second.
    """

    def __init__(
        self,
        checked: CheckedLive,
        passes: Passes,
        utterances: Utterances,
        max_audio_s: float,
        on_event: OnEvent,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Start; see `Engine.open_session`.

        Args:
            checked: The options.
            passes: The way to the model.
            utterances: Cuts the audio.
            max_audio_s: Longest audio of the session, in seconds.
            on_event: Takes the events, in order, from several threads, one at a time; must not
                block, and may call nothing of the session but `cancel`. If it raises, the session
                ends.
            on_end: Called once, after the last event.
        """
        self._checked = checked
        self._passes = passes
        self._max_audio_s = max_audio_s
        self._on_event = on_event
        self._on_end = on_end
        self._audio = threading.RLock()  # of `_utterances`
        self._utterances = utterances
        self._changed = threading.Condition(threading.RLock())  # of all below
        self._unanswered = Unanswered()
        self._previews = Previews(checked.given)
        self._closing = ""  # why, once no more audio is taken
        self._error: TalkmillError | None = None
        self._has_ended = False

    def __enter__(self) -> Session:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close and wait for the last event; give up what is left after an error."""
        if kind is not None:
            self.cancel()
        self.close()
        self.wait()

    @property
    def audio_s(self) -> float:
        """What was fed so far, in seconds."""
        return self._utterances.num_samples / SAMPLE_RATE

    @property
    def is_full(self) -> bool:
        """Whether `feed` would wait for the model."""
        return len(self._unanswered) >= MAX_WAITING and not self._closing

    @property
    def is_open(self) -> bool:
        """Whether it takes audio."""
        return not self._closing

    @property
    def has_ended(self) -> bool:
        """Whether the last event was given."""
        return self._has_ended

    def feed(self, samples: Samples) -> None:
        """Take audio; wait while `MAX_WAITING` utterances have no answer.

        Args:
            samples: float32 of any length, mono, 16 kHz, in -1 to 1.

        Raises:
            AudioTooLong: The session is over the limit; it has ended.
            NotReady: The session was closed, or has ended.
        """
        for start in range(0, len(samples), _SLICE_SAMPLES):
            piece = samples[start : start + _SLICE_SAMPLES]
            with self._changed:
                self._changed.wait_for(lambda: not self.is_full)
            with self._audio:
                self._check_open()
                if self.audio_s + len(piece) / SAMPLE_RATE > self._max_audio_s:
                    error = AudioTooLong(f"audio is over the limit of {self._max_audio_s:g} s")
                    self.close(str(error), error)
                    raise error
                self._take(self._utterances.feed(piece))
                self._look_ahead()

    def update(self, checked: CheckedLive) -> None:
        """Decode what follows with other options; where utterances end stays as it is."""
        with self._changed:
            self._checked = replace(checked, given=self._checked.given)

    def commit(self) -> int | None:
        """End the utterance that goes on; return its number, or None if nobody spoke.

        Raises:
            NotReady: The session was closed, or has ended.
        """
        with self._audio:
            self._check_open()
            changes = self._utterances.commit()
            self._take(changes)
        numbers = [one.number for one in changes if isinstance(one, Utterance)]
        return numbers[-1] if numbers else None

    def clear(self) -> None:
        """Forget the utterance that goes on.

        Raises:
            NotReady: The session was closed, or has ended.
        """
        with self._audio:
            self._check_open()
            self._utterances.clear()
            with self._changed:
                self._previews.stop()

    def close(
        self, reason: str = "the audio has ended", error: TalkmillError | None = None
    ) -> None:
        """Take no more audio; the utterance that goes on ends here. A second call has no effect.

        Args:
            reason: See `Ended`.
            error: See `Ended`.
        """
        with self._audio:
            if self._closing:
                return
            self._take(self._utterances.commit())
            with self._changed:
                if not self._closing:
                    self._closing, self._error = reason, error
                self._previews.stop()
                self._changed.notify_all()
                self._end_if_done()

    def cancel(self) -> None:
        """Give up: no answer is wanted any more. The last event follows at once."""
        with self._changed:
            self._end("cancelled", Cancelled("the session was cancelled"))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the last event was given; return whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: self._has_ended, timeout_s)

    def _check_open(self) -> None:
        if self._closing:
            raise NotReady(f"the session takes no more audio: {self._closing}")

    def _take(self, changes: list[SpeechStarted | Utterance]) -> None:
        """Tell what has changed, and start the passes over complete utterances."""
        with self._changed:
            for change in changes if not self._has_ended else ():
                self._previews.stop()
                if isinstance(change, SpeechStarted):
                    self._tell(change)
                else:
                    self._tell(SpeechStopped(change.number, change.end_s))
                    self._unanswered.add(change)
        self._start_passes()

    def _start_passes(self) -> None:
        """Start the passes that may start now; without the lock, as features are computed."""
        while (one := self._next_to_start()) is not None:
            request = self._passes.start(one.utterance.chunk, self._checked.final)
            with self._changed:
                one.request = request
                if self._has_ended:
                    request.cancel()
            request.future.add_done_callback(lambda _: self._answered())

    def _next_to_start(self) -> Waiting | None:
        with self._changed:
            return self._unanswered.next_to_start(is_serial=self._checked.is_serial)

    def _answered(self) -> None:
        """Report the answers whose turn it is."""
        with self._changed:
            while (done := self._unanswered.pop_done()) is not None:
                self._report(*done)
            self._changed.notify_all()
            self._end_if_done()
        self._start_passes()

    def _report(self, utterance: Utterance, request: Request) -> None:
        error = request.future.exception()
        if error is None:
            transcript = request.future.result()
            language = transcript.language if transcript.text else ""
            self._checked = self._checked.after(language, request.previous)
            self._tell(Final(utterance.number, utterance.start_s, utterance.end_s, transcript))
            return
        assert isinstance(error, TalkmillError)
        self._tell(Failed(utterance.number, error))
        if isinstance(error, NotReady):  # the engine is closed: the rest has no answer either
            for one in self._unanswered:
                self._tell(Failed(one.utterance.number, error))
            self._end(str(error), error)

    def _look_ahead(self) -> None:
        """Start a preview of the utterance that goes on, if it is time for one."""
        num_samples, number = self._utterances.num_samples, self._utterances.number
        with self._changed:
            is_held = self._checked.is_serial and len(self._unanswered) > 0
            is_due = self._previews.is_due(num_samples) and not is_held and not self._closing
        chunk = self._utterances.pending if is_due else None
        if chunk is None:
            return
        request = self._passes.start(chunk, self._checked.interim)
        with self._changed:
            self._previews.started(request, num_samples)
            if self._closing:
                self._previews.stop()
        # The callback must not refer to the request, whose future keeps it.
        seen = functools.partial(self._seen, request.id, number)
        request.future.add_done_callback(lambda _: seen())

    def _seen(self, request_id: int, number: int) -> None:
        with self._changed:
            if (interim := self._previews.seen(request_id, number)) is not None:
                self._tell(interim)

    def _tell(self, event: Event) -> None:
        if self._has_ended:
            return
        try:
            self._on_event(event)
        except Exception:  # a fault of the caller's must not keep the engine's threads
            _log.exception("on_event of a live session failed: the session ends")
            self._end("on_event failed", Cancelled("on_event failed"))

    def _end_if_done(self) -> None:
        if self._closing and not self._unanswered:
            self._end(self._closing, self._error)

    def _end(self, reason: str, error: TalkmillError | None) -> None:
        """Tell the last event, and give up what is left. A second call has no effect."""
        if self._has_ended:
            return
        self._closing, self._error = reason, error
        self._previews.stop()
        try:
            self._on_event(Ended(reason, error))
        except Exception:
            _log.exception("on_event of a live session failed at its end")
        self._has_ended = True
        on_end, self._on_end = self._on_end, lambda: None  # it refers to the session
        on_end()
        self._changed.notify_all()
        for one in self._unanswered.take_all():
            if one.request is not None:
                one.request.cancel()
