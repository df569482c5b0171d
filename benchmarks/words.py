"""Are the times of words right, and what do they cost?

    python -m benchmarks.words --models FOLDER --speech FOLDER [--model base] [--record]

Theory. The time of a word comes from the attention of a few heads, so it is as good as the model
and no better. openai/whisper's times with the same weights are the reference: on the same audio in
the same window they should be equal but for rounding to int8. A fitted window costs some of that:
the encoder's output is another. Truth is known where clips are cut to their sound and joined: the
start of each clip's first word and the end of its last, of a reader without noise; and of digits
that are spoken one by one (the demo model's only words), every start and end, with pauses that
speech detection finds and with shorter ones.

The engine computes in int8 with its defaults. `full` and `fitted` transcribe each clip without
speech detection, so that openai/whisper (float32, greedy) hears the same; words that both heard are
compared. `batched` sends all clips at once and counts the words that are not exactly those of a
clip sent alone. The cost is CPU seconds for all clips with words over those with segments only, the
least of the rounds each: other work on the machine only adds to them.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks import openai_whisper
from benchmarks.corpus import read
from benchmarks.metrics import percentile
from benchmarks.real_speech import Clip, cut, join, read_clips, short
from benchmarks.report import finish, print_table, stamp, time_interleaved
from talkmill.engine import (
    EncoderWindow,
    Engine,
    EngineConfig,
    TranscribeOptions,
    Transcript,
    VadMode,
)

_CLOSE_S = 0.06  # to openai/whisper
_TRUE_S = 0.15  # to the truth
_GAPS_S = (1.0, 2.5)
_DIGIT_GAPS_S = (0.15, 0.5)
_DIGITS_PER_FILE = 5
_SAMPLE_RATE = 16_000


class TimedWord(NamedTuple):
    """A word; None where the truth does not say when it starts or ends."""

    text: str
    start_s: float | None
    end_s: float | None


def words_of(transcript: Transcript) -> list[TimedWord]:
    """Return the words of an answer."""
    found = [word for segment in transcript.segments for word in segment.words]
    return [TimedWord(bare(word.text), word.start_s, word.end_s) for word in found]


def off_s(expected: Sequence[TimedWord], found: Sequence[TimedWord]) -> list[float]:
    """Return how far each known bound is off, in seconds, of the words that are in both."""
    matcher = SequenceMatcher(
        None, [one.text for one in expected], [one.text for one in found], autojunk=False
    )
    pairs = [
        (expected[block.a + i], found[block.b + i])
        for block in matcher.get_matching_blocks()
        for i in range(block.size)
    ]
    return [
        abs(true_s - other_s)
        for one, other in pairs
        for true_s, other_s in ((one.start_s, other.start_s), (one.end_s, other.end_s))
        if true_s is not None and other_s is not None
    ]


def bare(text: str) -> str:
    """Return a word without case, spaces and punctuation."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def reference(model: Any, paths: Sequence[Path], language: str | None) -> list[list[TimedWord]]:
    """Return openai/whisper's words of each file."""
    transcribe = importlib.import_module("whisper").transcribe
    answers = [
        transcribe(
            model,
            read(path),
            language=language,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            fp16=False,
        )
        for path in paths
    ]
    return [
        [
            TimedWord(bare(word["word"]), word["start"], word["end"])
            for segment in answer["segments"]
            for word in segment["words"]
        ]
        for answer in answers
    ]


def joined(
    folder: Path, clips: Sequence[Clip], gaps_s: tuple[float, float], per_file: int
) -> list[tuple[Path, list[TimedWord]]]:
    """Write files of clips with pauses between them, and return each with its words."""
    rng = np.random.default_rng(8)
    files = []
    for number in range(len(clips) // per_file):
        chosen = clips[number * per_file : (number + 1) * per_file]
        pauses_s = rng.uniform(*gaps_s, per_file).tolist()
        file = join(folder / f"{len(clips)}-{number}.flac", chosen, pauses_s, rng)
        words: list[TimedWord] = []
        for clip, said in zip(chosen, file.utterances, strict=True):
            assert said.start_s is not None
            end_s = said.start_s + len(cut(read(clip.path))) / _SAMPLE_RATE
            texts = [bare(text) for text in said.text.split()]
            last = len(texts) - 1
            words += [
                TimedWord(text, None if i else said.start_s, end_s if i == last else None)
                for i, text in enumerate(texts)
            ]
        files.append((file.path, words))
    return files


def hear(
    engine: Engine, paths: Sequence[Path], options: TranscribeOptions, *, at_once: bool = False
) -> list[list[TimedWord]]:
    """Return the words of each file, sent one after the other or all at once."""
    if not at_once:
        return [words_of(engine.transcribe(path.read_bytes(), options)) for path in paths]
    requests = [engine.submit(path.read_bytes(), options) for path in paths]
    return [words_of(request.future.result()) for request in requests]


def measure(
    folder: Path, clips: Sequence[Clip], num_clips: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Return the figures of one model by the name of the comparison."""
    language = "en"
    paths = [one.path for one in short(clips, num_clips)]
    figures: dict[str, dict[str, float]] = {}
    with Engine(EngineConfig(model=str(folder), cache_bytes=0)) as engine:
        expected = reference(openai_whisper.load(folder), paths, language)
        for kind in (EncoderWindow.FULL, EncoderWindow.FITTED):
            options = TranscribeOptions(
                language=language, words=True, vad=VadMode.OFF, encoder_window=kind
            )
            found = hear(engine, paths, options)
            figures[f"openai/whisper, {kind.value}"] = _shares(expected, found, _CLOSE_S)
        options = TranscribeOptions(language=language, words=True)
        alone, together = (hear(engine, paths, options, at_once=once) for once in (False, True))
        num_words = sum(map(len, alone))
        equal = [
            a == b
            for one, two in zip(alone, together, strict=True)
            for a, b in zip(one, two, strict=False)
        ]
        figures["batched"] = {"bounds": 2 * num_words, "share": sum(equal) / num_words}
        reader = [one for one in clips if one.path.parent.name == "ljspeech"][: 2 * num_clips]
        figures["truth, clips"] = _truth(engine, reader, _GAPS_S, 4)
    # An engine of its own: after 100 chunks one may give fitted windows up for full ones.
    with Engine(EngineConfig(model=str(folder), cache_bytes=0)) as engine:
        figures["cost"] = _cost(engine, paths, rounds)
    return figures


def _truth(
    engine: Engine, clips: Sequence[Clip], gaps_s: tuple[float, float], per_file: int
) -> dict[str, float]:
    options = TranscribeOptions(language="en", words=True)
    with tempfile.TemporaryDirectory() as place:
        files = joined(Path(place), clips, gaps_s, per_file)
        heard = hear(engine, [path for path, _ in files], options, at_once=True)
    return _shares([words for _, words in files], heard, _TRUE_S)


def _shares(
    expected: Sequence[Sequence[TimedWord]], found: Sequence[Sequence[TimedWord]], limit_s: float
) -> dict[str, float]:
    errors_s = [
        error_s for one, other in zip(expected, found, strict=True) for error_s in off_s(one, other)
    ]
    return {
        "bounds": len(errors_s),
        "share": sum(error_s <= limit_s + 1e-6 for error_s in errors_s) / len(errors_s),
        "p50_s": percentile(errors_s, 50),
        "p95_s": percentile(errors_s, 95),
    }


def _cost(engine: Engine, paths: Sequence[Path], rounds: int) -> dict[str, float]:
    with_words, segments = (
        TranscribeOptions(language="en", timestamps=True, words=words) for words in (True, False)
    )
    hear(engine, paths, with_words, at_once=True)  # the first call is slower
    timings = time_interleaved(
        {
            "words": lambda: hear(engine, paths, with_words, at_once=True),
            "segments": lambda: hear(engine, paths, segments, at_once=True),
        },
        rounds,
        "cost",
    )
    cpu_s = {name: min(one.cpu_s for one in row) for name, row in timings.items()}
    return {
        "share": cpu_s["words"] / cpu_s["segments"] - 1,
        "words_cpu_s": cpu_s["words"],
        "segments_cpu_s": cpu_s["segments"],
    }


def show(model: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table of one model."""
    limits = {"openai": f"<= {_CLOSE_S:g} s", "truth,": f"<= {_TRUE_S:g} s", "batched": "equal"}
    rows = [
        [
            name,
            limits.get(name[:6], limits.get(name, "more CPU")),
            f"{100 * row['share']:.1f} %",
            *(f"{row[key]:g}" if key in row else "" for key in ("bounds",)),
            *(f"{row[key]:.3f}" if key in row else "" for key in ("p50_s", "p95_s")),
        ]
        for name, row in figures.items()
    ]
    print_table(model, ("compared with", "what", "share", "bounds", "p50 s", "p95 s"), rows)


@click.command()
@click.option("--models", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--speech", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--model", "names", multiple=True, default=("tiny.en", "base"), show_default=True)
@click.option("--clips", "num_clips", default=10, show_default=True)
@click.option("--rounds", default=4, show_default=True)
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results.")
def main(
    models: Path, speech: Path, names: Sequence[str], num_clips: int, rounds: int, record: bool
) -> None:
    """Compare the times of words with openai/whisper's and with the truth."""
    clips = read_clips(speech)
    digits = [
        Clip(path, "en", _DIGITS[int(path.name[0])], 0.5)
        for path in sorted((speech / "fsdd").glob("*.wav"), key=lambda it: it.name[::-1])
    ]
    result = {}
    for name in names:
        result[name] = measure(models / name, clips, num_clips, rounds)
        show(name, result[name])
    with Engine(EngineConfig(cache_bytes=0)) as engine:
        chosen = digits[: 5 * num_clips]
        result["demo"] = {
            f"truth, {name}": _truth(engine, chosen, gaps_s, _DIGITS_PER_FILE)
            for name, gaps_s in (("digits", _DIGIT_GAPS_S), ("digits, pauses", _GAPS_S))
        }
    show("demo", result["demo"])
    finish("words", {**stamp(clips=num_clips, rounds=rounds), "models": result}, record)


_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

if __name__ == "__main__":
    main()
