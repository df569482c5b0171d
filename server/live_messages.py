"""Conversion between the messages of a live session and the engine's records. Pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..engine import (
    Encoding,
    Ended,
    Event,
    Failed,
    Final,
    Interim,
    InvalidOption,
    LiveOptions,
    PcmDecoder,
    SpeechStarted,
    SpeechStopped,
    TalkmillError,
    Timings,
    Transcript,
)
from ..proto import transcription_pb2 as pb
from .convert import (
    from_logprobs,
    from_options,
    from_segment,
    lookup,
    refuse_unknown_fields,
    to_logprobs,
    to_options,
    to_segment,
)
from .live import LiveCall
from .status import status_of

_RATE_HZ = 16_000
_ENCODINGS: dict[int, Encoding | None] = {
    pb.AUDIO_ENCODING_PCM16: Encoding.PCM16,
    pb.AUDIO_ENCODING_FLOAT32: Encoding.FLOAT32,
    pb.AUDIO_ENCODING_MULAW: Encoding.MULAW,
    pb.AUDIO_ENCODING_ALAW: Encoding.ALAW,
    pb.AUDIO_ENCODING_CONTAINER: None,
}


class LiveRequest(NamedTuple):
    """What the first message of a session asks for.

    Attributes:
        options: The options.
        source: Decodes the audio; None for a container.
        warnings: One sentence for each field without effect.
    """

    options: LiveOptions
    source: PcmDecoder | None
    warnings: tuple[str, ...] = ()


def to_live(config: pb.StreamingConfig) -> LiveRequest:
    """Return what a session is configured with.

    Raises:
        InvalidOption: A value is out of range, or contradicts another.
        UnsupportedOption: A field is set that is not in this version of the .proto file.
    """
    refuse_unknown_fields(config, "config")
    given: dict[str, Any] = {
        name: getattr(config, name)
        for name in ("interim_ms", "max_utterance_s")
        if config.HasField(name)
    }
    options = LiveOptions(
        transcribe=to_options(config.options),
        interim=config.interim_results,
        is_manual=config.manual,
        **given,
    )
    warnings: tuple[str, ...] = ()
    if "interim_ms" in given and not options.interim:
        warnings = ("interim_ms has no effect: interim_results is false",)
    return LiveRequest(options, _to_source(config), warnings)


def _to_source(config: pb.StreamingConfig) -> PcmDecoder | None:
    encoding = lookup(_ENCODINGS, config.encoding, "encoding")
    if encoding is not None:
        return PcmDecoder(encoding, config.sample_rate_hz or _RATE_HZ, config.channels or 1)
    for name in ("sample_rate_hz", "channels"):
        if getattr(config, name):
            raise InvalidOption(f"{name}: a container has its own", name)
    return None


def from_config(
    options: LiveOptions, encoding: Encoding | None, rate_hz: int, num_channels: int, model: str
) -> pb.StreamingConfig:
    """Return the first message of a session; the inverse of `to_live`."""
    numbers = {known: number for number, known in _ENCODINGS.items()}
    is_raw = encoding is not None
    has_interim_ms = options.interim or options.interim_ms != LiveOptions.interim_ms
    return pb.StreamingConfig(
        model=model,
        options=from_options(options.transcribe),
        encoding=numbers[encoding],  # type: ignore[arg-type]
        sample_rate_hz=rate_hz if is_raw else 0,
        channels=num_channels if is_raw else 0,
        interim_results=options.interim,
        interim_ms=options.interim_ms if has_interim_ms else None,
        max_utterance_s=options.max_utterance_s,
        manual=options.is_manual,
    )


def from_event(event: Event, live: LiveCall, *, timestamps: bool) -> pb.StreamingTranscribeResponse:
    """Return the message for an event.

    Args:
        event: The event.
        live: Its session.
        timestamps: Whether an answer shows its chunks.
    """
    response = pb.StreamingTranscribeResponse
    if isinstance(event, SpeechStarted):
        return response(speech_started=pb.SpeechStarted(**vars(event)))
    if isinstance(event, SpeechStopped):
        return response(speech_stopped=pb.SpeechStopped(**vars(event)))
    if isinstance(event, Interim):
        return response(interim=pb.Interim(**vars(event)))
    if isinstance(event, Final):
        return response(final=_from_final(event, timestamps=timestamps))
    if isinstance(event, Failed):
        code, message = status_of(type(event.error)).grpc, str(event.error)
        error = pb.UtteranceError(utterance=event.utterance, code=code, message=message)
        return response(error=error)
    assert isinstance(event, Ended)
    ended = pb.SessionEnded(
        reason=event.reason, duration_s=live.session.audio_s, warnings=live.warnings
    )
    return response(ended=ended)


def _from_final(event: Final, *, timestamps: bool) -> pb.Final:
    transcript = event.transcript
    return pb.Final(
        utterance=event.utterance,
        start_s=event.start_s,
        end_s=event.end_s,
        text=transcript.text,
        chunks=[from_segment(segment) for segment in transcript.segments] if timestamps else [],
        language=transcript.language,
        warnings=transcript.warnings,
        logprobs=from_logprobs(transcript.logprobs),
    )


def to_event(message: pb.StreamingTranscribeResponse) -> Event | None:
    """Return the event in a message; the inverse of `from_event`, as far as the message tells.

    None stands for an event that is not in this version of the .proto file: a newer server's.
    """
    kind = message.WhichOneof("event")
    if kind == "speech_started":
        started = message.speech_started
        return SpeechStarted(started.utterance, started.start_s)
    if kind == "speech_stopped":
        stopped = message.speech_stopped
        return SpeechStopped(stopped.utterance, stopped.end_s)
    if kind == "interim":
        interim = message.interim
        return Interim(interim.utterance, interim.stable_text, interim.text)
    if kind == "final":
        return _to_final(message.final)
    if kind == "error":
        return Failed(message.error.utterance, TalkmillError(message.error.message))
    if kind == "ended":
        return Ended(message.ended.reason, warnings=tuple(message.ended.warnings))
    return None


def _to_final(final: pb.Final) -> Final:
    transcript = Transcript(
        text=final.text,
        segments=tuple(map(to_segment, final.chunks)),
        language=final.language,
        language_probability=0.0,
        duration_s=0.0,
        speech_s=final.end_s - final.start_s,
        timings=Timings(),
        warnings=tuple(final.warnings),
        logprobs=to_logprobs(final.logprobs),
    )
    return Final(final.utterance, final.start_s, final.end_s, transcript)
