"""Conversion between protobuf messages and the engine's records. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from ..engine import (
    Channels,
    EncoderWindow,
    GenerationParameters,
    InvalidOption,
    Segment,
    Task,
    Timings,
    TokenLogprob,
    TranscribeOptions,
    Transcript,
    UnsupportedOption,
    VadMode,
    VadOptions,
    Word,
)
from ..proto import transcription_pb2 as pb

T = TypeVar("T")

_TASKS: dict[int, Task] = {
    pb.TASK_UNSPECIFIED: Task.TRANSCRIBE,
    pb.TASK_TRANSCRIBE: Task.TRANSCRIBE,
    pb.TASK_TRANSLATE: Task.TRANSLATE,
}
_VAD_MODES: dict[int, VadMode] = {
    pb.VAD_MODE_UNSPECIFIED: VadMode.AUTO,
    pb.VAD_MODE_AUTO: VadMode.AUTO,
    pb.VAD_MODE_ON: VadMode.ON,
    pb.VAD_MODE_OFF: VadMode.OFF,
}
_ENCODER_WINDOWS: dict[int, EncoderWindow | None] = {
    pb.ENCODER_WINDOW_UNSPECIFIED: None,
    pb.ENCODER_WINDOW_FITTED: EncoderWindow.FITTED,
    pb.ENCODER_WINDOW_FULL: EncoderWindow.FULL,
    pb.ENCODER_WINDOW_DECLARED: EncoderWindow.DECLARED,
}
_EARLY_STOPPING: dict[int, bool | str] = {
    pb.EARLY_STOPPING_TRUE: True,
    pb.EARLY_STOPPING_FALSE: False,
    pb.EARLY_STOPPING_NEVER: "never",
}
_CHANNELS: dict[int, Channels] = {
    pb.CHANNELS_UNSPECIFIED: Channels.MIX,
    pb.CHANNELS_MIX: Channels.MIX,
    pb.CHANNELS_SPLIT: Channels.SPLIT,
}
# Whether there are segments with times, and whether they have words.
_TIMESTAMPS: dict[int, tuple[bool, bool]] = {
    pb.RETURN_TIMESTAMPS_UNSPECIFIED: (False, False),
    pb.RETURN_TIMESTAMPS_NONE: (False, False),
    pb.RETURN_TIMESTAMPS_SEGMENT: (True, False),
    pb.RETURN_TIMESTAMPS_WORD: (True, True),
}


def to_options(message: pb.TranscribeOptions) -> TranscribeOptions:
    """Return the options in a request.

    Raises:
        InvalidOption: An enum field holds a number that the enum does not define.
        UnsupportedOption: A field is set that is not in this version of the .proto file.
    """
    refuse_unknown_fields(message, "options")
    timestamps, words = lookup(_TIMESTAMPS, message.return_timestamps, "return_timestamps")
    return TranscribeOptions(
        language=message.language if message.HasField("language") else None,
        task=lookup(_TASKS, message.task, "task"),
        prompt=message.prompt,
        encoder_window=lookup(_ENCODER_WINDOWS, message.encoder_window, "encoder_window"),
        vad=lookup(_VAD_MODES, message.vad, "vad"),
        timestamps=timestamps,
        words=words,
        languages=tuple(message.languages),
        hotwords=tuple(message.hotwords),
        channels=lookup(_CHANNELS, message.channels, "channels"),
        token_logprobs=message.token_logprobs,
        vad_options=_to_vad_options(message.vad_options),
        parameters=_to_parameters(message.generation_parameters),
    )


def _to_vad_options(message: pb.VadOptions) -> VadOptions:
    refuse_unknown_fields(message, "vad_options")
    given = {descriptor.name: value for descriptor, value in message.ListFields()}
    if message.HasField("threshold"):
        given["threshold"] = _shortest_decimal(message.threshold)
    return VadOptions(**given)


def _to_parameters(message: pb.GenerationParameters) -> GenerationParameters:
    refuse_unknown_fields(message, "generation_parameters")
    given = {descriptor.name: value for descriptor, value in message.ListFields()}
    if "early_stopping" in given:
        mode = lookup(_EARLY_STOPPING, given["early_stopping"], "early_stopping")
        given["early_stopping"] = mode
    if "suppress_tokens" in given:
        given["suppress_tokens"] = tuple(given["suppress_tokens"])
    for name, value in given.items():
        if isinstance(value, float):
            given[name] = _shortest_decimal(value)
    if temperatures := given.pop("temperatures", None):
        if "temperature" in given:
            raise InvalidOption("temperatures does not go with temperature", "temperatures")
        given["temperature"] = tuple(map(_shortest_decimal, temperatures))
    return GenerationParameters(**given)


def _shortest_decimal(value: float) -> float:
    """Return the shortest decimal of a float32, as in HTTP's JSON: 0.7, not 0.699999988079071."""
    return float(str(np.float32(value)))


def refuse_unknown_fields(message: Message, field: str) -> None:
    """Refuse a field that a newer client has set and this server would ignore.

    Raises:
        UnsupportedOption: There is one.
    """
    unknown = UnknownFieldSet(message)
    if len(unknown):
        number = unknown[0].field_number
        raise UnsupportedOption(f"{field}: field number {number} is unknown to this server", field)


def _from_parameters(parameters: GenerationParameters) -> pb.GenerationParameters:
    given = {name: value for name, value in vars(parameters).items() if value is not None}
    if "early_stopping" in given:
        names = {mode: number for number, mode in _EARLY_STOPPING.items()}
        given["early_stopping"] = names[given["early_stopping"]]
    if isinstance(given.get("temperature"), tuple):
        given["temperatures"] = given.pop("temperature")
    return pb.GenerationParameters(**given)


def lookup(values: dict[int, T], number: int, field: str) -> T:
    """Return what an enum's number stands for.

    Raises:
        InvalidOption: The enum has no such number, or it is refused.
    """
    if number not in values:
        raise InvalidOption(f"{field} {number} is not a value of the enum", field)
    return values[number]


def from_options(options: TranscribeOptions) -> pb.TranscribeOptions:
    """Return the message for `options`; the inverse of `to_options`."""
    return_timestamps = pb.RETURN_TIMESTAMPS_NONE
    if options.words:
        return_timestamps = pb.RETURN_TIMESTAMPS_WORD
    elif options.timestamps:
        return_timestamps = pb.RETURN_TIMESTAMPS_SEGMENT
    return pb.TranscribeOptions(
        return_timestamps=return_timestamps,
        language=options.language,
        task=f"TASK_{options.task.name}",
        prompt=options.prompt,
        vad=f"VAD_MODE_{options.vad.name}",
        encoder_window=_wire_window(options.encoder_window),
        languages=options.languages,
        hotwords=options.hotwords,
        channels=f"CHANNELS_{options.channels.name}",
        token_logprobs=options.token_logprobs,
        vad_options=pb.VadOptions(**vars(options.vad_options)),
        generation_parameters=_from_parameters(options.parameters),
    )


def _wire_window(kind: EncoderWindow | None) -> pb.EncoderWindow:
    names = {known: number for number, known in _ENCODER_WINDOWS.items()}
    return pb.EncoderWindow.Name(names[kind])  # type: ignore[return-value]


def from_segment(segment: Segment) -> pb.Chunk:
    """Return the message for a segment; its `logprobs` are in the answer alone."""
    return pb.Chunk(
        text=segment.text,
        start_s=segment.start_s,
        end_s=segment.end_s,
        words=[
            pb.Word(
                word=word.text,
                start_s=word.start_s,
                end_s=word.end_s,
                probability=word.probability,
            )
            for word in segment.words
        ],
        tokens=segment.tokens,
        avg_logprob=segment.avg_logprob,
        no_speech_prob=segment.no_speech_prob,
        compression_ratio=segment.compression_ratio,
        temperature=segment.temperature,
        seek=segment.seek,
        language=segment.language,
        channel=segment.channel,
    )


def to_segment(message: pb.Chunk) -> Segment:
    """Return the segment in a message."""
    return Segment(
        text=message.text,
        start_s=message.start_s,
        end_s=message.end_s if message.HasField("end_s") else None,
        tokens=tuple(message.tokens),
        avg_logprob=_shortest_decimal(message.avg_logprob),
        no_speech_prob=_shortest_decimal(message.no_speech_prob),
        compression_ratio=_shortest_decimal(message.compression_ratio),
        temperature=_shortest_decimal(message.temperature),
        seek=message.seek,
        words=tuple(
            Word(word.word, word.start_s, word.end_s, _shortest_decimal(word.probability))
            for word in message.words
        ),
        language=message.language,
        channel=message.channel if message.HasField("channel") else None,
    )


def from_transcript(transcript: Transcript, *, timestamps: bool) -> pb.TranscribeResponse:
    """Return the message for a transcript, with chunks only if `timestamps`."""
    segments = transcript.segments if timestamps else ()
    return pb.TranscribeResponse(
        text=transcript.text,
        chunks=[from_segment(segment) for segment in segments],
        language=transcript.language,
        language_probability=transcript.language_probability,
        duration_s=transcript.duration_s,
        speech_s=transcript.speech_s,
        timings=pb.Timings(**vars(transcript.timings)),
        warnings=transcript.warnings,
        coverage=transcript.coverage,
        encoder_window=_wire_window(transcript.encoder_window),
        logprobs=from_logprobs(transcript.logprobs),
        other_languages=[
            pb.LanguageProbability(language=language, probability=probability)
            for language, probability in transcript.other_languages
        ],
    )


def from_logprobs(logprobs: Iterable[TokenLogprob]) -> list[pb.TokenLogprob]:
    """Return the messages for tokens."""
    return [
        pb.TokenLogprob(token=token.text, logprob=token.logprob, bytes=token.data)
        for token in logprobs
    ]


def to_logprobs(messages: Iterable[pb.TokenLogprob]) -> tuple[TokenLogprob, ...]:
    """Return the tokens in messages."""
    return tuple(
        TokenLogprob(token.token, _shortest_decimal(token.logprob), token.bytes)
        for token in messages
    )


def to_transcript(message: pb.TranscribeResponse) -> Transcript:
    """Return the transcript in a message."""
    timings = {field.name: value for field, value in message.timings.ListFields()}
    return Transcript(
        text=message.text,
        segments=tuple(to_segment(chunk) for chunk in message.chunks),
        language=message.language,
        language_probability=message.language_probability,
        duration_s=message.duration_s,
        speech_s=message.speech_s,
        timings=Timings(**timings),
        warnings=tuple(message.warnings),
        coverage=message.coverage if message.HasField("coverage") else None,
        encoder_window=_ENCODER_WINDOWS.get(message.encoder_window) or EncoderWindow.FULL,
        logprobs=to_logprobs(message.logprobs),
        other_languages=tuple(
            (other.language, _shortest_decimal(other.probability))
            for other in message.other_languages
        ),
    )
