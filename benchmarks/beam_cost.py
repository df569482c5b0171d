"""What do five beams cost on real speech: Hugging Face's search, and CTranslate2's?

    python -m benchmarks.beam_cost --model FOLDER --corpus transcripts.tsv [--record]

Theory. `num_beams` alone is Hugging Face's search, in float32 on talkmill's own decoder; with
`patience` it is CTranslate2's, on its weights in int8. `decoding_cost` compares them at equal
numbers of steps. On real speech the rules that stop them count too: Hugging Face's goes on while a
running beam could still beat the worst of the five that are kept, CTranslate2's stops at five.

Requests go to one engine, all at once, so that they share batches. CPU seconds are of the whole
process, from the audio file to the text: decoding the audio and the encoder cost the same for all.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import click

from benchmarks.real_scores import WordCounts, count_errors
from benchmarks.real_speech import SpokenFile, read_clips, short
from benchmarks.report import finish, median_ratio, print_table, stamp, time_interleaved
from talkmill.engine import Engine, EngineConfig, GenerationParameters, TranscribeOptions

GREEDY, EXACT, NATIVE = "greedy", "num_beams 5", "num_beams 5, patience 1"
CASES = {
    GREEDY: GenerationParameters(),
    EXACT: GenerationParameters(num_beams=5),
    NATIVE: GenerationParameters(num_beams=5, patience=1.0),
}


def texts(engine: Engine, files: list[SpokenFile], parameters: GenerationParameters) -> list[str]:
    """Return the text of each file, all submitted at once."""
    options = TranscribeOptions(language="en", parameters=parameters)
    requests = [engine.submit(file.path.read_bytes(), options) for file in files]
    return [request.future.result().text for request in requests]


@click.command()
@click.option("--model", required=True, type=Path, help="A folder in CTranslate2's format.")
@click.option("--corpus", default=Path("../shared/speech"), show_default=True, type=Path)
@click.option("--clips", default=12, show_default=True)
@click.option("--repeats", default=2, show_default=True)
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(model: Path, corpus: Path, clips: int, repeats: int, record: bool) -> None:
    """Print the CPU seconds and the word errors of each search."""
    files = short(read_clips(corpus), clips)
    config = EngineConfig(
        model=str(model),
        device="cpu",
        compute_type="int8",
        workers_per_device=1,
        threads_per_worker=1,
        cache_bytes=0,
    )
    with Engine(config) as engine:
        heard = {name: texts(engine, files, given) for name, given in CASES.items()}  # warms up
        calls = {
            name: lambda given=given: texts(engine, files, given) for name, given in CASES.items()
        }
        timings = time_interleaved(calls, repeats, model.name)
    rows = {}
    for name, found in heard.items():
        errors = WordCounts()
        for file, text in zip(files, found, strict=True):
            errors += count_errors(file.text, text)
        rows[name] = {
            "cpu_s": round(statistics.median(timing.cpu_s for timing in timings[name]), 2),
            "times_greedy": round(median_ratio(timings[name], timings[GREEDY]), 2),
            "times_native": round(median_ratio(timings[name], timings[NATIVE]), 2),
            "wer": round(errors.wer, 4),
            "same_text_as_native": sum(map(str.__eq__, found, heard[NATIVE])),
        }
    head = ("search", "CPU s", "x greedy", "x native beams", "word errors", "same text")
    print_table(model.name, head, [(name, *map(str, row.values())) for name, row in rows.items()])
    audio_s = round(sum(file.duration_s for file in files), 1)
    stamped = stamp(model=model.name, clips=clips, audio_s=audio_s, repeats=repeats)
    finish("beam_cost", {"stamp": stamped, "rows": rows}, record)


if __name__ == "__main__":
    main()
