"""What happens in a live session, in order. Times are seconds from the session's first sample."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import TalkmillError
from ..types import Transcript


@dataclass(frozen=True)
class SpeechStarted:
    """An utterance has begun.

    Attributes:
        utterance: Its number, from 0.
        start_s: Start of its speech.
    """

    utterance: int
    start_s: float


@dataclass(frozen=True)
class SpeechStopped:
    """An utterance is over: there was a pause, it is as long as it may be, or it was committed.

    Attributes:
        utterance: Its number.
        end_s: End of its speech.
    """

    utterance: int
    end_s: float


@dataclass(frozen=True)
class Interim:
    """What an utterance that goes on seems to say so far.

    Attributes:
        utterance: Its number.
        stable_text: The beginning of the text that later events only lengthen. The final text may
            still differ from it.
        text: All of it.
    """

    utterance: int
    stable_text: str
    text: str


@dataclass(frozen=True)
class Final:
    """What an utterance says.

    Attributes:
        utterance: Its number.
        start_s: Start of its speech.
        end_s: End of its speech.
        transcript: The answer. Its segments have times of the session.
    """

    utterance: int
    start_s: float
    end_s: float
    transcript: Transcript


@dataclass(frozen=True)
class Failed:
    """An utterance has no answer; the session goes on.

    Attributes:
        utterance: Its number.
        error: Why.
    """

    utterance: int
    error: TalkmillError


@dataclass(frozen=True)
class Ended:
    """The last event.

    Attributes:
        reason: Why the session has ended, as a sentence without a capital.
        error: The error that ended it; None if it was closed.
        warnings: One sentence for each option without effect, from a server.
    """

    reason: str
    error: TalkmillError | None = None
    warnings: tuple[str, ...] = ()


Event = SpeechStarted | SpeechStopped | Interim | Final | Failed | Ended
