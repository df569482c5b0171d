"""Beside openai/whisper and faster-whisper, on what Whisper finds hard: the same words and times?

    python -m benchmarks.side_by_side --models FOLDER --speech FOLDER [--cases FOLDER] [--record]

Theory. The three have the same weights and the same rules in their defaults: a detected language,
temperatures from 0 to 1 for what fails compression ratio or log-probability, silence that gives no
text. They differ in what they feed to the model: openai/whisper reads on through the file with the
text before as a prompt, in float32 and greedily; faster-whisper the same, in int8 with 5 beams;
talkmill cuts at pauses, in int8 with 3 beams. So words should differ little, and where they differ
much, one of them has lost or invented some.

Audio: five languages, a reader who goes on for a minute, silence, noise and music, and, of the
folder `--cases`, WAV files with a JSON list of the utterances in them: languages that change, and
three words said ten times. Where languages change, talkmill is asked for `multi`, faster-whisper
for `multilingual`; openai/whisper has nothing like it. Errors count words, for Chinese and Japanese
characters, after Whisper's normalizer for any language; without speech they are the words written.
Bounds of words are compared with openai/whisper's, for words that both wrote. Nothing is timed:
for speed see `real`. Needs `pip install openai-whisper`, and with it torch.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import jiwer
import numpy as np
from whisper_normalizer.basic import BasicTextNormalizer

from benchmarks import openai_whisper
from benchmarks.corpus import read, write_flac
from benchmarks.metrics import percentile
from benchmarks.real_speech import lj5, read_clips
from benchmarks.report import finish, print_table, stamp
from benchmarks.words import TimedWord, bare, off_s
from talkmill.engine import Engine, EngineConfig, TranscribeOptions

_SAMPLE_RATE = 16_000
_LANGUAGES = ("en", "es", "ja", "sv", "zh")
_CLIPS_PER_LANGUAGE = 4
_NUM_READER_CLIPS = 10
_WITHOUT_SPEECH = ("silence", "noise", "music")
_BY_CHARACTER = ("ja", "zh")
_CLOSE_S = 0.06


@dataclass(frozen=True)
class Sound:
    """One audio file and what is said in it.

    Attributes:
        name: What it is.
        path: The file.
        text: The words spoken; empty if there are none.
        is_mixed: Whether its language changes.
        by_character: Whether its language is written without spaces.
    """

    name: str
    path: Path
    text: str
    is_mixed: bool = False
    by_character: bool = False


@dataclass(frozen=True)
class Answer:
    """What an engine wrote.

    Attributes:
        text: The words.
        language: The language that it found.
        temperatures: The temperatures at which its segments were decoded.
        words: The words with their times.
        warnings: What it warned of.
    """

    text: str
    language: str
    temperatures: tuple[float, ...]
    words: tuple[TimedWord, ...]
    warnings: tuple[str, ...] = ()


Hear = Callable[[Sound], Answer]


def sounds(speech: Path, cases: Path | None, folder: Path) -> Iterator[Sound]:
    """Yield the audio of the table; what is not a file yet is written into `folder`."""
    clips = read_clips(speech)
    for language in _LANGUAGES:
        spoken = [one for one in clips if one.language == language][:_CLIPS_PER_LANGUAGE]
        for i, clip in enumerate(spoken):
            name = f"{language} {i + 1}" if len(spoken) > 1 else language
            is_by_character = language in _BY_CHARACTER
            yield Sound(name, clip.path, clip.text, by_character=is_by_character)
    (reader,) = lj5(folder, clips, _NUM_READER_CLIPS)
    yield Sound("reader, 1 min", reader.path, reader.text)
    silence = np.zeros(30 * _SAMPLE_RATE, np.float32)
    yield Sound("silence", write_flac(folder / "silence.flac", silence), "")
    for path in sorted(cases.glob("*.wav")) if cases else ():
        truth = path.with_suffix(".json")
        if truth.exists():
            said = [one["text"] for one in json.loads(truth.read_text(encoding="utf-8"))]
            yield Sound(path.stem, path, " ".join(said), is_mixed=path.stem != "counting")
        elif path.stem in _WITHOUT_SPEECH:
            yield Sound(path.stem, path, "")


def errors(sound: Sound, text: str) -> float:
    """Return the share of wrong words, or of characters; without speech the words written."""
    normal = BasicTextNormalizer(split_letters=sound.by_character)
    spoken, heard = normal(sound.text).strip(), normal(text).strip()
    return jiwer.wer(spoken, heard) if spoken else float(len(heard.split()))


def with_talkmill(engine: Engine) -> Hear:
    """Return what asks talkmill."""

    def hear(sound: Sound) -> Answer:
        options = TranscribeOptions(words=True, language="multi" if sound.is_mixed else None)
        answer = engine.transcribe(sound.path.read_bytes(), options)
        return Answer(
            answer.text,
            answer.language,
            _distinct(one.temperature for one in answer.segments),
            tuple(
                TimedWord(bare(word.text), word.start_s, word.end_s)
                for segment in answer.segments
                for word in segment.words
            ),
            answer.warnings,
        )

    return hear


def with_faster_whisper(folder: Path) -> Hear:
    """Return what asks faster-whisper with its defaults, in int8."""
    model = importlib.import_module("faster_whisper").WhisperModel(str(folder), compute_type="int8")

    def hear(sound: Sound) -> Answer:
        found, info = model.transcribe(
            str(sound.path), word_timestamps=True, multilingual=sound.is_mixed
        )
        segments = list(found)
        return Answer(
            "".join(one.text for one in segments),
            info.language,
            _distinct(one.temperature for one in segments),
            tuple(
                TimedWord(bare(word.word), word.start, word.end)
                for segment in segments
                for word in segment.words
            ),
        )

    return hear


def with_openai_whisper(folder: Path) -> Hear:
    """Return what asks openai/whisper with its defaults, in float32."""
    model = openai_whisper.load(folder)
    transcribe = importlib.import_module("whisper").transcribe

    def hear(sound: Sound) -> Answer:
        answer: dict[str, Any] = transcribe(
            model, read(sound.path), word_timestamps=True, fp16=False
        )
        segments = answer["segments"]
        return Answer(
            answer["text"],
            answer["language"],
            _distinct(one["temperature"] for one in segments),
            tuple(
                TimedWord(bare(word["word"]), word["start"], word["end"])
                for segment in segments
                for word in segment["words"]
            ),
        )

    return hear


def row(sound: Sound, answer: Answer, reference: Answer) -> dict[str, Any]:
    """Return the figures of one answer; `reference` is openai/whisper's."""
    bounds_s = off_s(reference.words, answer.words)
    is_timed = bool(bounds_s) and answer is not reference
    return {
        "errors": errors(sound, answer.text),
        "language": answer.language,
        "temperatures": answer.temperatures,
        "bounds": len(bounds_s) if is_timed else 0,
        "close": sum(one <= _CLOSE_S + 1e-6 for one in bounds_s) / len(bounds_s)
        if is_timed
        else None,
        "p50_s": percentile(bounds_s, 50) if is_timed else None,
        "warnings": len(answer.warnings),
    }


def show(model: str, figures: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print the table of one model."""
    rows = [
        [
            sound,
            engine,
            f"{one['errors']:g} words" if sound in _WITHOUT_SPEECH else f"{one['errors']:.1%}",
            one["language"],
            " ".join(f"{value:g}" for value in one["temperatures"]),
            "" if one["close"] is None else f"{one['close']:.0%} of {one['bounds']}",
            "" if one["p50_s"] is None else f"{one['p50_s']:.2f}",
            str(one["warnings"] or ""),
        ]
        for sound, engines in figures.items()
        for engine, one in engines.items()
    ]
    columns = (
        "audio", "engine", "errors", "language", "temperatures", f"bounds <= {_CLOSE_S:g} s",
        "p50 s", "warnings",
    )  # fmt: skip
    print_table(model, columns, rows)


@click.command()
@click.option("--models", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--speech", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--cases", type=click.Path(exists=True, path_type=Path))
@click.option("--model", "name", default="base", show_default=True)
@click.option("--texts", is_flag=True, help="Print what each engine wrote, to standard error.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results.")
def main(
    models: Path, speech: Path, cases: Path | None, name: str, texts: bool, record: bool
) -> None:
    """Compare words, languages, temperatures and times with the peers'."""
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Engine(EngineConfig(model=str(models / name), cache_bytes=0)) as engine,
    ):
        engines = {
            "openai/whisper": with_openai_whisper(models / name),
            "faster-whisper": with_faster_whisper(models / name),
            "talkmill": with_talkmill(engine),
        }
        for sound in sounds(speech, cases, Path(folder)):
            answers = {engine_name: hear(sound) for engine_name, hear in engines.items()}
            reference = answers["openai/whisper"]
            figures[sound.name] = {key: row(sound, one, reference) for key, one in answers.items()}
            for key, one in answers.items() if texts else ():
                click.echo(f"{sound.name}, {key}: {one.text} {one.warnings or ''}", err=True)
    show(name, figures)
    finish("side_by_side", {**stamp(model=name), "sounds": figures}, record)


def _distinct(values: Iterator[float]) -> tuple[float, ...]:
    return tuple(sorted({round(value, 1) for value in values}))


if __name__ == "__main__":
    main()
