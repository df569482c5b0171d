from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from hypothesis import given
from hypothesis import strategies as st

from talkmill.engine import (
    PARAMETERS,
    EncoderWindow,
    GenerationParameters,
    InvalidOption,
    Segment,
    Task,
    Timings,
    TokenLogprob,
    TranscribeOptions,
    Transcript,
    VadMode,
)
from talkmill.proto import transcription_pb2 as pb
from talkmill.server.convert import (
    from_options,
    from_segment,
    from_transcript,
    to_options,
    to_segment,
    to_transcript,
)

SAID = Transcript(
    text="one two",
    segments=(Segment(" one", 0.25, 1.5), Segment(" two", 2.0, None)),
    language="en",
    language_probability=0.75,
    duration_s=3.0625,
    speech_s=2.5,
    timings=Timings(
        decode_s=0.1,
        vad_s=0.2,
        features_s=0.3,
        queue_s=0.4,
        encode_s=0.5,
        generate_s=0.6,
        total_s=2.1,
        mean_batch_size=3.5,
    ),
    coverage=0.875,
    encoder_window=EncoderWindow.FITTED,
    other_languages=(("de", 0.2), ("nl", 0.05)),
    warnings=("the audio is damaged",),
    logprobs=(TokenLogprob(" one", -0.25, b" one"), TokenLogprob("\ufffd", -1.5, b"\xe2\x82")),
)


def as_typed(value: float) -> float:
    """Return the shortest decimal of a float32, as a person would have typed it."""
    return float(np.format_float_positional(np.float32(value), unique=True))


@given(
    st.builds(
        TranscribeOptions,
        language=st.none() | st.text(),
        task=st.sampled_from(Task),
        prompt=st.text(),
        vad=st.sampled_from(VadMode),
        timestamps=st.booleans(),
        words=st.booleans(),
        encoder_window=st.none() | st.sampled_from(EncoderWindow),
        token_logprobs=st.booleans(),
        parameters=st.builds(
            GenerationParameters,
            temperature=st.none() | st.floats(width=32, allow_nan=False).map(as_typed),
            num_beams=st.none() | st.integers(-(2**31), 2**31 - 1),
            max_new_tokens=st.none() | st.integers(-(2**31), 2**31 - 1),
            do_sample=st.none() | st.booleans(),
            early_stopping=st.sampled_from([None, True, False, "never"]),
            seed=st.none() | st.integers(0, 2**64 - 1),
            suppress_tokens=st.none() | st.lists(st.integers(0, 9), min_size=1).map(tuple),
        ),
    )
)
def test_options_survive_the_wire(options: TranscribeOptions) -> None:
    message = pb.TranscribeOptions.FromString(from_options(options).SerializeToString())

    assert to_options(message) == options


def test_an_empty_message_asks_for_the_defaults() -> None:
    assert to_options(pb.TranscribeOptions()) == TranscribeOptions()


def test_zero_beams_are_not_taken_for_the_default() -> None:
    message = pb.TranscribeOptions(generation_parameters=pb.GenerationParameters(num_beams=0))

    assert to_options(message).parameters.num_beams == 0


def test_every_parameter_of_the_wire_is_one_of_the_engine() -> None:
    on_the_wire = {field.name for field in pb.GenerationParameters.DESCRIPTOR.fields}

    # Several temperatures have a field of their own.
    assert on_the_wire == {parameter.name for parameter in PARAMETERS} | {"temperatures"}


def test_several_temperatures_are_a_list_of_the_engine_s_parameter() -> None:
    message = pb.GenerationParameters(temperatures=[0.0, 0.2])
    options = to_options(pb.TranscribeOptions(generation_parameters=message))

    assert options.parameters.temperature == (0.0, 0.2)
    assert from_options(options).generation_parameters == message
    message.temperature = 0.5
    with pytest.raises(InvalidOption, match="temperatures does not go with temperature"):
        to_options(pb.TranscribeOptions(generation_parameters=message))


def test_early_stopping_without_a_meaning_is_refused() -> None:
    parameters = pb.GenerationParameters(early_stopping=pb.EARLY_STOPPING_UNSPECIFIED)

    with pytest.raises(InvalidOption) as caught:
        to_options(pb.TranscribeOptions(generation_parameters=parameters))

    assert caught.value.field == "early_stopping"


def test_words_are_those_of_segments_with_times() -> None:
    message = pb.TranscribeOptions(return_timestamps=pb.RETURN_TIMESTAMPS_WORD)

    assert to_options(message) == TranscribeOptions(words=True)
    assert to_options(message).timestamps


@pytest.mark.parametrize("number", [99, -1])
@pytest.mark.parametrize("field", ["return_timestamps", "task", "vad", "encoder_window"])
def test_an_enum_number_without_a_name_is_refused(field: str, number: int) -> None:
    given: dict[str, Any] = {field: number}
    message = pb.TranscribeOptions(**given)

    with pytest.raises(InvalidOption) as caught:
        to_options(message)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "enum"),
    [
        pytest.param("return_timestamps", pb.ReturnTimestamps, id="return_timestamps"),
        pytest.param("task", pb.Task, id="task"),
        pytest.param("vad", pb.VadMode, id="vad"),
        pytest.param("encoder_window", pb.EncoderWindow, id="encoder_window"),
    ],
)
def test_every_enum_number_with_a_name_is_known(field: str, enum: EnumTypeWrapper) -> None:
    for number in enum.values():
        given: dict[str, Any] = {field: number}
        to_options(pb.TranscribeOptions(**given))


@pytest.mark.parametrize(
    "end_s", [pytest.param(None, id="open"), pytest.param(0.0, id="zero"), 1.5]
)
def test_a_segment_survives_the_wire_and_so_does_an_open_end(end_s: float | None) -> None:
    segment = Segment(" one", 0.0, end_s)
    message = pb.Chunk.FromString(from_segment(segment).SerializeToString())

    assert message.HasField("end_s") == (end_s is not None)
    assert to_segment(message) == segment


def test_a_transcript_survives_the_wire() -> None:
    message = from_transcript(SAID, timestamps=True)

    assert to_transcript(pb.TranscribeResponse.FromString(message.SerializeToString())) == SAID


def test_an_empty_transcript_survives_the_wire() -> None:
    nothing = Transcript("", (), "", 0.0, 1.0, 0.0, Timings())

    assert to_transcript(from_transcript(nothing, timestamps=True)) == nothing


@pytest.mark.parametrize("kind", EncoderWindow)
def test_every_window_of_an_answer_survives_the_wire(kind: EncoderWindow) -> None:
    answer = replace(SAID, encoder_window=kind)

    assert to_transcript(from_transcript(answer, timestamps=True)) == answer


@pytest.mark.parametrize("coverage", [None, 0.0, 1.0])
def test_no_coverage_is_not_taken_for_none_of_the_speech(coverage: float | None) -> None:
    message = from_transcript(replace(SAID, coverage=coverage), timestamps=True)

    assert message.HasField("coverage") == (coverage is not None)
    assert to_transcript(message).coverage == coverage


def test_there_are_chunks_only_where_timestamps_were_asked_for() -> None:
    with_times = from_transcript(SAID, timestamps=True)
    without = from_transcript(SAID, timestamps=False)

    assert [chunk.text for chunk in with_times.chunks] == [" one", " two"]
    assert not without.chunks
    assert without.text == SAID.text


def test_every_field_of_the_answer_is_filled() -> None:
    message = from_transcript(SAID, timestamps=True)

    set_fields = {descriptor.name for descriptor, _ in message.ListFields()}
    set_timings = {descriptor.name for descriptor, _ in message.timings.ListFields()}
    assert set_fields == {field.name for field in message.DESCRIPTOR.fields}
    assert set_timings == {field.name for field in message.timings.DESCRIPTOR.fields}
    assert all(math.isfinite(value) for _, value in message.timings.ListFields())


@pytest.mark.parametrize("value", [0.7, 0.1, 1e-7, 0.95, 1.05, 99.99, 0.0003, 3.0])
def test_a_float_is_what_was_typed_and_not_what_is_nearest_in_32_bits(value: float) -> None:
    message = pb.TranscribeOptions(
        generation_parameters=pb.GenerationParameters(temperature=value, repetition_penalty=value)
    )

    parameters = to_options(pb.TranscribeOptions.FromString(message.SerializeToString())).parameters

    assert (parameters.temperature, parameters.repetition_penalty) == (value, value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_no_number_stays_what_it_is(value: float) -> None:
    message = pb.TranscribeOptions(generation_parameters=pb.GenerationParameters(temperature=value))

    assert str(to_options(message).parameters.temperature) == str(value)
