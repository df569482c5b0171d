"""What does each stage cost, in CPU milliseconds per second of audio and per chunk?

    python -m benchmarks.stages [--corpus MANIFEST] [--record]

Theory, for a core with AVX2 that does 40 billion float32 multiply-adds a second, per second of
audio. VAD: 0.6 million multiply-adds for each window of 32 ms take 0.5 ms, and the LSTM, which
reads its weights again for every window, 0.25 ms. Features: 100 transforms of 400 samples and a
logarithm for each band of each, 0.25 ms. Decoding in FFmpeg: 0.3 ms for FLAC at 16 kHz; 0.8 ms for
a stereo MP3 at 44.1 kHz, and 0.3 ms to mix and resample it. A shared core is slower: see the load
in the stamp.

The time of a stage is the CPU time of the thread that runs it. `process` is the CPU time of the
whole process: more than the sum if a library has threads of its own. Recordings are measured one by
one, like short requests, and joined to one file, like a long one.
"""

from __future__ import annotations

import csv
import functools
import io
import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import click
import numpy as np

from benchmarks.baselines.audio import SAMPLE_RATE
from benchmarks.corpus import DEMO_FOLDER, Samples, read
from benchmarks.report import Timing, finish, print_table, stamp, time_interleaved
from talkmill.engine import EncoderWindow, GenerationParameters, Task, VadMode
from talkmill.engine.audio.features import HOP_SAMPLES, log_mel
from talkmill.engine.audio.preparation import AudioReport, Preparation
from talkmill.engine.audio.sources import WholeFile
from talkmill.engine.audio.windows import Windows
from talkmill.engine.config import to_frames
from talkmill.engine.decoding.plan import make_plan
from talkmill.engine.model.files import find_model
from talkmill.engine.model.runtime import Runtime
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.model.whisper_ct2 import CTranslate2Model

STAGES = ("decode", "vad", "features")
BATCHES = (1, 8)
_N_MELS = 80
_ENCODED_SAMPLES = 65_536  # at a time


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: Its name in the table.
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the codec.
        rate: Sample rate in Hz.
        layout: FFmpeg's name of the channel layout.
        bar: Most CPU milliseconds of all stages per second of audio.
    """

    name: str
    container: str
    codec: str
    rate: int
    layout: str
    bar: float


FORMATS = (
    Format("FLAC, 16 kHz mono", "flac", "flac", 16_000, "mono", 2.5),
    Format("MP3, 44.1 kHz stereo", "mp3", "libmp3lame", 44_100, "stereo", 4.0),
)


def read_recordings(corpus: Path | None, min_s: float) -> list[Samples]:
    """Return recordings in the order of the manifest, repeated until they last `min_s`.

    Args:
        corpus: A TSV file with a column `file`, relative to it; None for the bundled sample.
        min_s: Shortest length of all recordings together.
    """
    if corpus is None:
        paths = [DEMO_FOLDER / "sample.flac"]
    else:
        with corpus.open(encoding="utf-8", newline="") as file:
            paths = [corpus.parent / row["file"] for row in csv.DictReader(file, delimiter="\t")]
    recordings: list[Samples] = []
    while sum(map(len, recordings)) < min_s * SAMPLE_RATE:
        recordings.append(read(paths[len(recordings) % len(paths)]))
    return recordings


def encode(samples: Samples, form: Format) -> bytes:
    """Encode 16 kHz samples; a second channel has them 8 samples later, at 0.8 of the level."""
    target = io.BytesIO()
    channels = np.stack([samples, 0.8 * np.roll(samples, 8)])[: 2 if form.layout == "stereo" else 1]
    channels = np.ascontiguousarray(channels, np.float32)
    with av.open(target, "w", format=form.container) as output:
        stream = output.add_stream(form.codec, rate=form.rate, layout=form.layout)
        assert isinstance(stream, av.AudioStream)
        resampler = av.AudioResampler(stream.format.name, form.layout, form.rate)
        for start in range(0, len(samples), _ENCODED_SAMPLES):
            block = np.ascontiguousarray(channels[:, start : start + _ENCODED_SAMPLES])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=form.layout)
            frame.sample_rate, frame.pts = SAMPLE_RATE, None
            for resampled in resampler.resample(frame):
                output.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            output.mux(stream.encode(resampled))
        output.mux(stream.encode(None))
    return target.getvalue()


def prepare(files: list[bytes], reports: list[list[AudioReport]]) -> None:
    """Run files through the stages as the engine does; append a list of their reports."""
    reports.append([])
    for file in files:
        preparation = Preparation(WholeFile(io.BytesIO(file)), VadMode.AUTO, _N_MELS, 1e9)
        for _ in preparation:
            pass
        reports[-1].append(preparation.report)


def measure_stages(
    recordings: list[Samples], repeats: int
) -> dict[str, dict[str, float | list[float]]]:
    """Return each stage's cost for each format, in CPU milliseconds per second of audio."""
    whole = np.concatenate(recordings)
    files = {
        (form, split): [encode(part, form) for part in parts]
        for form in FORMATS
        for split, parts in (("recordings", recordings), ("one file", [whole]))
    }
    reports: dict[str, list[list[AudioReport]]] = {}
    calls: dict[str, Callable[[], None]] = {}
    for (form, split), group in files.items():
        name = f"{form.name}, {split}"
        reports[name] = []
        calls[name] = functools.partial(prepare, group, reports[name])
        calls[name]()
        reports[name].clear()  # discard the warm-up
    timings = time_interleaved(calls, repeats, "stages")
    bars = {f"{form.name}, {split}": form.bar for form, split in files}
    return {name: _row(reports[name], timings[name], bars[name]) for name in calls}


def _row(
    rounds: list[list[AudioReport]], timings: list[Timing], bar: float
) -> dict[str, float | list[float]]:
    audio_s = sum(report.duration_s for report in rounds[0])
    costs = {
        stage: [sum(getattr(r, f"{stage}_s") for r in reports) / audio_s for reports in rounds]
        for stage in STAGES
    }
    sums = [sum(parts) for parts in zip(*costs.values(), strict=True)]
    row: dict[str, float | list[float]] = {
        f"{stage}_ms_per_s": round(1000 * statistics.median(values), 3)
        for stage, values in costs.items()
    }
    process = statistics.median(timing.cpu_s for timing in timings) / audio_s
    return row | {
        "sum_ms_per_s": round(1000 * statistics.median(sums), 3),
        "sum_spread_ms_per_s": [round(1000 * value, 3) for value in (min(sums), max(sums))],
        "process_ms_per_s": round(1000 * process, 3),
        "bar_ms_per_s": bar,
        "audio_s": round(audio_s, 1),
        "speech_share": round(sum(report.speech_s for report in rounds[0]) / audio_s, 3),
    }


def measure_model(recordings: list[Samples], threads: int, repeats: int) -> dict[str, float]:
    """Return the demo model's cost: CPU milliseconds per chunk of its longest window."""
    files = find_model("demo")
    windows = Windows(EncoderWindow.DECLARED, to_frames(files.properties.windows_s))
    window_frames = windows.declared_frames[-1]
    window_samples = window_frames * HOP_SAMPLES
    runtime = Runtime("cpu", (0,), "int8", windows, 1, threads, max(BATCHES))
    model = CTranslate2Model(files.folder, runtime, 0)
    tokenizer = WhisperTokenizer(files.folder / "tokenizer.json", is_multilingual=True)
    prompt = tokenizer.prompt("en", Task.TRANSCRIBE, timestamps=False)
    plan, _ = make_plan(GenerationParameters(), timestamps=False, prompt_length=len(prompt))
    audio = np.resize(np.concatenate(recordings), max(BATCHES) * window_samples)
    chunks = audio.reshape(-1, window_samples)
    features = [log_mel(chunk, model.n_mels, window_frames) for chunk in chunks]
    calls: dict[str, Callable[[], object]] = {}
    sizes: dict[str, int] = {}
    for batch in BATCHES:
        encoded = model.encode(features[:batch], window_frames // 2)
        steps = {
            "encode": functools.partial(model.encode, features[:batch], window_frames // 2),
            "generate": functools.partial(model.generate, encoded, [prompt] * batch, plan),
        }
        for step, call in steps.items():
            name = f"{step}, {window_frames / 100:g} s window, batch {batch}"
            calls[name], sizes[name] = call, batch
            call()
    timings = time_interleaved(calls, repeats, "demo model")
    return {
        name: round(1000 * statistics.median(t.cpu_s for t in timings[name]) / sizes[name], 2)
        for name in calls
    }


def _print(stages: Mapping[str, Mapping[str, object]], model: Mapping[str, float]) -> None:
    columns = [*STAGES, "sum", "process", "bar"]
    print_table(
        "CPU ms per second of audio",
        ("files", *columns),
        [(name, *(str(row[f"{c}_ms_per_s"]) for c in columns)) for name, row in stages.items()],
    )
    print_table(
        "Demo model, int8: CPU ms per chunk",
        ("step", "ms"),
        [(name, str(cost_ms)) for name, cost_ms in model.items()],
    )


@click.command()
@click.option(
    "--corpus",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TSV manifest with a column `file`. Default: the bundled sample, repeated.",
)
@click.option("--seconds", default=120.0, show_default=True, help="Length of the audio.")
@click.option("--repeats", default=7, show_default=True)
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(corpus: Path | None, seconds: float, repeats: int, record: bool) -> None:
    """Print the cost of each stage."""
    threads = int(os.environ["OPENBLAS_NUM_THREADS"])
    recordings = read_recordings(corpus, seconds)
    stages = measure_stages(recordings, repeats)
    model = measure_model(recordings, threads, repeats)
    _print(stages, model)
    options = {"corpus": corpus.name if corpus else "sample", "seconds": seconds}
    stamped = stamp(**options, num_recordings=len(recordings), repeats=repeats, threads=threads)
    finish("stages", {"stamp": stamped, "stages": stages, "model": model}, record)


if __name__ == "__main__":
    main()
