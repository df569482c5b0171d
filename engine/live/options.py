"""What one live session asks for, checked against the model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..decoding.gates import NO_GATES
from ..decoding.parameters import GenerationParameters, Range
from ..errors import InvalidOption
from ..model.loading import LoadedModel
from ..model.previous_text import PreviousText
from ..options import CheckedOptions, check_options
from ..types import Channels, TranscribeOptions, VadMode

PAUSE_MS = 500  # ends an utterance, unless the options say
_NO_PAUSE_MS = 30_000  # no utterance is as long

_RANGES = {"interim_ms": Range(int, 100, 60_000), "max_utterance_s": Range(float, 1, 30)}


@dataclass(frozen=True)
class LiveOptions:
    """The options of one live session.

    Attributes:
        transcribe: How each utterance is transcribed. `vad_options.silence_duration_ms` is the
            pause that ends one; default: `PAUSE_MS`.
        interim: Whether there are events for utterances that go on.
        interim_ms: Audio between two of these, at least, in milliseconds.
        max_utterance_s: Longest utterance, in seconds; a longer one is cut at its longest pause.
        is_manual: Whether utterances end when they are committed, and not at pauses.
    """

    transcribe: TranscribeOptions = field(default_factory=TranscribeOptions)
    interim: bool = True
    interim_ms: int = 500
    max_utterance_s: float = 30.0
    is_manual: bool = False


@dataclass(frozen=True)
class CheckedLive:
    """Options of a session that the model accepts.

    Attributes:
        given: The options, with the pause that ends an utterance.
        final: How an utterance is decoded.
        interim: How one that goes on is decoded: greedily, text only.
    """

    given: LiveOptions
    final: CheckedOptions
    interim: CheckedOptions

    @property
    def is_serial(self) -> bool:
        """Whether an utterance waits for the answer to the one before it."""
        final = self.final
        return final.is_conditioned or (final.language is None and not final.is_multi)

    def after(self, language: str, previous: PreviousText) -> CheckedLive:
        """Return the options for the next utterance.

        Args:
            language: That of the last one; empty if it has none.
            previous: What stands before the next one.
        """
        final, interim = self.final, self.interim
        if language and final.language is None and not final.is_multi:
            final, interim = (replace(one, language=language) for one in (final, interim))
        if final.is_conditioned:
            final, interim = final.after(previous), interim.after(previous)
        return replace(self, final=final, interim=interim)


def check_live(model: LoadedModel, options: LiveOptions, beams: int) -> CheckedLive:
    """Return the options of a session as the model will honour them.

    Args:
        model: The model that is served.
        options: The session's options.
        beams: See `check_options`.

    Raises:
        InvalidOption: As `check_options`, or an option does not go with live audio.
    """
    asked = options.transcribe
    for name, limits in _RANGES.items():
        if not limits.holds(value := getattr(options, name)):
            raise InvalidOption(f"{name} {value!r} is not in {limits}", name)
    if asked.vad is VadMode.OFF:
        raise InvalidOption("vad: a live session cannot do without, as utterances end there", "vad")
    if asked.channels is Channels.SPLIT:
        raise InvalidOption('channels "split" is not available in a live session', "channels")
    final = check_options(model, asked, beams)
    pause_ms = asked.vad_options.silence_duration_ms
    if options.is_manual:
        if pause_ms is not None:
            warning = "silence_duration_ms has no effect: utterances end when they are committed"
            final = replace(final, warnings=(*final.warnings, warning))
        pause_ms = _NO_PAUSE_MS
    vad = replace(asked.vad_options, silence_duration_ms=pause_ms or PAUSE_MS)
    preview = replace(
        asked,
        timestamps=False,
        words=False,
        token_logprobs=False,
        parameters=GenerationParameters(
            condition_on_prev_tokens=asked.parameters.condition_on_prev_tokens
        ),
    )
    interim = check_options(model, preview)
    return CheckedLive(
        given=replace(options, transcribe=replace(asked, vad_options=vad)),
        final=final,
        interim=replace(interim, gates=NO_GATES, is_interim=True, warnings=()),
    )
