"""One live session: audio in, events out, each utterance through the model and in its turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..audio.decode import SAMPLE_RATE
from ..errors import AudioTooLong, Cancelled, NotReady, TalkmillError
from ..scheduling.request import Request
from ..types import Samples
from .agreement import Agreement
from .events import Ended, Event, Failed, Final, Interim, SpeechStarted, SpeechStopped
from .options import CheckedLive
from .passes import Passes
from .utterances import Utterance, Utterances

# Utterances without an answer, each at most 30 s of audio: a caller who is faster than the model
# waits here. At real time there is one.
MAX_WAITING = 4

OnEvent = Callable[[Event], None]


@dataclass(eq=False)
class _Waiting:
    """An utterance without an answer, and its pass once that has started."""

    utterance: Utterance
    request: Request | None = None


class Session:
    """A conversation with the engine about audio that is being spoken. Thread-safe.

    with engine.open_session(on_event=print) as session:
        for samples in microphone:
            session.feed(samples)
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
                block.
            on_end: Called once, after the last event.
        """
        self._checked = checked
        self._passes = passes
        self._max_audio_s = max_audio_s
        self._on_event = on_event
        self._on_end = on_end
        self._changed = threading.Condition(threading.RLock())
        self._utterances = utterances
        self._waiting: deque[_Waiting] = deque()
        self._agreement = Agreement()
        self._preview: Request | None = None
        self._previewed = 0  # samples of the session at the last preview
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
        return len(self._waiting) >= MAX_WAITING and not self._closing

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
        with self._changed:
            self._changed.wait_for(lambda: not self.is_full)
            self._check_open()
            if self.audio_s + len(samples) / SAMPLE_RATE > self._max_audio_s:
                error = AudioTooLong(f"audio is longer than the limit of {self._max_audio_s:g} s")
                self.close(str(error), error)
                raise error
            self._take(self._utterances.feed(samples))
            self._look_ahead()

    def commit(self) -> int | None:
        """End the utterance that goes on; return its number, or None if nobody spoke.

        Raises:
            NotReady: The session was closed, or has ended.
        """
        with self._changed:
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
        with self._changed:
            self._check_open()
            self._stop_preview()
            self._utterances.clear()

    def close(
        self, reason: str = "the audio has ended", error: TalkmillError | None = None
    ) -> None:
        """Take no more audio; the utterance that goes on ends here. A second call has no effect.

        Args:
            reason: See `Ended`.
            error: See `Ended`.
        """
        with self._changed:
            if self._closing:
                return
            changes = self._utterances.commit()
            self._closing, self._error = reason, error
            self._take(changes)
            self._stop_preview()
            self._changed.notify_all()
            self._end_if_done()

    def cancel(self) -> None:
        """Give up: no answer is wanted any more. The last event follows at once."""
        with self._changed:
            self._utterances.clear()
            self.close("cancelled", Cancelled("the session was cancelled"))
            for one in list(self._waiting):
                if one.request is not None:
                    one.request.cancel()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the last event was given; return whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: self._has_ended, timeout_s)

    def _check_open(self) -> None:
        if self._closing:
            raise NotReady(f"the session takes no more audio: {self._closing}")

    def _take(self, changes: list[SpeechStarted | Utterance]) -> None:
        for change in changes:
            self._stop_preview()
            if isinstance(change, SpeechStarted):
                self._agreement = Agreement()
                self._on_event(change)
            else:
                self._on_event(SpeechStopped(change.number, change.end_s))
                self._waiting.append(_Waiting(change))
        self._send()

    def _send(self) -> None:
        """Start the passes over complete utterances that may start now."""
        for one in list(self._waiting):
            if one.request is not None:
                continue
            if self._checked.is_serial and one is not self._waiting[0]:
                return
            try:
                request = self._passes.start(one.utterance.chunk, self._checked.final)
            except TalkmillError as error:  # the engine is closed: the rest has no answer either
                self._give_up(error)
                return
            one.request = request
            request.future.add_done_callback(lambda _: self._answered())

    def _answered(self) -> None:
        """Report the answers whose turn it is."""
        with self._changed:
            while self._waiting and (request := self._waiting[0].request) and request.is_done:
                self._report(self._waiting.popleft().utterance, request)
            self._send()
            self._changed.notify_all()
            self._end_if_done()

    def _report(self, utterance: Utterance, request: Request) -> None:
        error = request.future.exception()
        if error is not None:
            assert isinstance(error, TalkmillError)
            self._on_event(Failed(utterance.number, error))
            return
        transcript = request.future.result()
        language = transcript.language if transcript.text else ""
        self._checked = self._checked.after(language, request.previous)
        self._on_event(Final(utterance.number, utterance.start_s, utterance.end_s, transcript))

    def _look_ahead(self) -> None:
        """Start a preview of the utterance that goes on, if it is time for one."""
        given = self._checked.given
        num_new = self._utterances.num_samples - self._previewed
        is_due = num_new >= given.interim_ms * SAMPLE_RATE // 1000
        if not (given.interim and is_due) or self._preview is not None:
            return
        chunk = self._utterances.pending
        if chunk is None or (self._checked.is_serial and self._waiting):
            return
        number, self._previewed = self._utterances.number, self._utterances.num_samples
        try:
            request = self._preview = self._passes.start(chunk, self._checked.interim)
        except TalkmillError:  # the final pass will say so
            return
        request.future.add_done_callback(lambda _: self._previewed_now(number, request))

    def _previewed_now(self, number: int, request: Request) -> None:
        with self._changed:
            if request is not self._preview:  # the utterance is over
                return
            self._preview = None
            if request.future.exception() is None:
                text = request.future.result().text
                stable, text = self._agreement.hear(text)
                if text:
                    self._on_event(Interim(number, stable, text))

    def _stop_preview(self) -> None:
        request, self._preview = self._preview, None
        if request is not None:
            request.cancel()

    def _give_up(self, error: TalkmillError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            self._on_event(Failed(one.utterance.number, error))
        self._closing, self._error = self._closing or str(error), error
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._closing and not self._waiting and not self._has_ended:
            self._has_ended = True
            self._on_event(Ended(self._closing, self._error))
            self._on_end()
            self._changed.notify_all()
