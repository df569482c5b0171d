"""What does each generation parameter cost, compared with CTranslate2's own greedy search?

    python -m benchmarks.decoding_cost [--record]

Theory. The native lane is CTranslate2, so it must cost the same as a direct call. The exact lane
runs the decoder in float32 NumPy, against CTranslate2's int8. A step reads every weight once, and
the cross-attention keys and values of each chunk. These are float32 on both sides, and for small
models at batch 8 most of the bytes read. So expect about twice the cost of native greedy search,
less where attention dominates. The beams of beam search and the candidates of contrastive search
are rows of one batch that share the reads of their chunk, so four rows cost far less than four
times one. Samplers add passes over the vocabulary.

Only decoding is timed: the encoder's output is computed before, and is the same for all. The end of
text is suppressed, so that every answer has the same number of tokens; searches that could stop
early therefore do not. tiny and base have Whisper's shapes with random weights, whose flat
distributions are the worst case for samplers; the demo model is trained. Both sides have one
thread. Ratios are of CPU time, which other processes disturb less than wall time.
"""

from __future__ import annotations

import functools
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import ctranslate2
import numpy as np

from benchmarks.baselines.audio import SAMPLE_RATE
from benchmarks.corpus import DEMO_FOLDER, read
from benchmarks.report import finish, median_ratio, print_table, stamp, time_interleaved
from benchmarks.shapes import END_OF_TEXT, FIRST_TIMESTAMP, PROMPT, SHAPES, build_model
from talkmill.engine import GenerationParameters, Task
from talkmill.engine.audio.features import log_mel
from talkmill.engine.audio.windows import FULL_WINDOW, Windows
from talkmill.engine.decoding.exact import ExactTask
from talkmill.engine.decoding.plan import DecodePlan, make_plan
from talkmill.engine.decoding.rules import Vocabulary
from talkmill.engine.model.protocol import EncoderOutput
from talkmill.engine.model.runtime import Runtime
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.model.whisper_ct2 import CTranslate2Model

GREEDY, BEAM = "greedy", "num_beams 4, patience 1"


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        parameters: The parameters of the request.
        against: The case whose time its own is divided by.
        bar: The largest ratio allowed; None for no limit.
    """

    parameters: GenerationParameters
    against: str
    bar: float | None = None


@dataclass(frozen=True)
class Bench:
    """A model with its encoder's output for one batch.

    Attributes:
        model: The model as the engine uses it.
        direct: The same files, opened with CTranslate2 alone.
        vocabulary: The special tokens that the decoding rules need.
        prompt: The decoder prompt of each chunk.
        encoded: The encoder's output for the batch.
        num_rows: Chunks in the batch.
        num_tokens: Tokens of each answer.
    """

    model: CTranslate2Model
    direct: ctranslate2.models.Whisper
    vocabulary: Vocabulary
    prompt: list[int]
    encoded: EncoderOutput
    num_rows: int
    num_tokens: int


def cases(num_tokens: int) -> dict[str, Case]:
    """Return the rows of the table by name; those of the native lane are also called directly."""
    given = GenerationParameters
    flat = given(do_sample=True, top_k=0)
    beam = given(num_beams=4)  # in the exact lane
    native = {
        GREEDY: given(),
        "temperature 0.7, top_k 50": given(temperature=0.7),
        "repetition_penalty 1.1": given(repetition_penalty=1.1),
        "no_repeat_ngram_size 3": given(no_repeat_ngram_size=3),
        BEAM: replace(beam, patience=1.0),
    }
    samplers = {
        f"min_new_tokens {num_tokens}": given(min_new_tokens=num_tokens),
        "seed 1, temperature 0.7, top_k 50": given(temperature=0.7, seed=1),
        "seed 1, top_k 0": replace(flat, seed=1),
        "top_p 0.9": replace(flat, top_p=0.9),
        "typical_p 0.9": replace(flat, typical_p=0.9),
        "epsilon_cutoff 0.0003": replace(flat, epsilon_cutoff=3e-4),
        "eta_cutoff 0.001": replace(flat, eta_cutoff=1e-3),
        "top_k 50 and all five above": given(
            do_sample=True, seed=1, top_p=0.9, typical_p=0.9, epsilon_cutoff=3e-4, eta_cutoff=1e-3
        ),
    }
    beams = {
        "num_beams 4": beam,
        "num_beams 4, early_stopping true": replace(beam, early_stopping=True),
        'num_beams 4, early_stopping "never"': replace(beam, early_stopping="never"),
    }
    return {
        **{name: Case(parameters, f"direct: {name}", 1.05) for name, parameters in native.items()},
        **{name: Case(parameters, GREEDY, 2.5) for name, parameters in samplers.items()},
        **{name: Case(parameters, BEAM, 3.0) for name, parameters in beams.items()},
        "num_beams 4, num_beam_groups 2": Case(replace(beam, num_beam_groups=2), BEAM, 3.5),
        "penalty_alpha 0.6, top_k 4": Case(given(penalty_alpha=0.6, top_k=4), GREEDY, 6.0),
    }


def open_model(name: str, folder: Path, threads: int, num_rows: int, num_tokens: int) -> Bench:
    """Load the demo model, or a shape built in `folder`, and encode one batch of audio."""
    if name == "demo":
        folder = DEMO_FOLDER
        tokenizer = WhisperTokenizer(folder / "tokenizer.json", is_multilingual=True)
        vocabulary = Vocabulary(tokenizer.end_of_text, tokenizer.timestamp_begin)
        prompt = tokenizer.prompt("en", Task.TRANSCRIBE, timestamps=False)
    else:
        build_model(folder, SHAPES[name])
        vocabulary, prompt = Vocabulary(END_OF_TEXT, FIRST_TIMESTAMP), PROMPT
    runtime = Runtime("cpu", (0,), "int8", Windows(), 1, threads, num_rows)
    model = CTranslate2Model(folder, runtime, 0)
    direct = ctranslate2.models.Whisper(
        str(folder), compute_type="int8", inter_threads=1, intra_threads=threads
    )
    samples = read(DEMO_FOLDER / "sample.flac")
    shifts = [row * SAMPLE_RATE // 2 for row in range(num_rows)]
    features = [log_mel(np.roll(samples, shift), model.n_mels) for shift in shifts]
    encoded = model.encode(features, FULL_WINDOW.num_positions)
    return Bench(model, direct, vocabulary, prompt, encoded, num_rows, num_tokens)


def run_plan(bench: Bench, plan: DecodePlan) -> None:
    """Decode the batch in the lane that the engine would use."""
    prompts = [bench.prompt] * bench.num_rows
    if plan.is_exact:
        tasks = [
            ExactTask(bench.prompt, plan, plan.seed or 0, chunk, lambda: True)
            for chunk in range(bench.num_rows)
        ]
        found = bench.model.exact_lane(bench.vocabulary).run(bench.encoded, tasks)
    else:
        found = bench.model.generate(bench.encoded, prompts, plan)
    _check([hypothesis.tokens for hypothesis in found], bench)


def run_direct(bench: Bench, plan: DecodePlan) -> None:
    """Decode the batch with CTranslate2 alone."""
    results = bench.direct.generate(
        bench.encoded,
        [bench.prompt] * bench.num_rows,
        beam_size=plan.num_beams,
        length_penalty=plan.length_penalty,
        repetition_penalty=plan.repetition_penalty,
        no_repeat_ngram_size=plan.no_repeat_ngram_size,
        suppress_tokens=[-1, bench.vocabulary.end_of_text],
        sampling_topk=plan.top_k if plan.strategy.name == "SAMPLE" else 1,
        sampling_temperature=plan.temperature,
        max_length=2 * bench.num_tokens,
    )
    _check([result.sequences_ids[0] for result in results], bench)


def _check(answers: Sequence[Sequence[int]], bench: Bench) -> None:
    lengths = {len(answer) for answer in answers}
    if len(answers) != bench.num_rows or lengths != {bench.num_tokens}:
        raise RuntimeError(
            f"{len(answers)} answers of {lengths} tokens, expected {bench.num_rows} of "
            f"{bench.num_tokens}: not a fair comparison"
        )


def measure(name: str, bench: Bench, repeats: int) -> dict[str, dict[str, float | str | None]]:
    """Return each case's times and its ratios to greedy search and to `against`."""
    table = cases(bench.num_tokens)
    calls: dict[str, Callable[[], None]] = {}
    for case_name, case in table.items():
        parameters = replace(
            case.parameters,
            max_new_tokens=bench.num_tokens,
            suppress_tokens=(bench.vocabulary.end_of_text,),
        )
        plan, _ = make_plan(parameters, timestamps=False, prompt_length=len(bench.prompt))
        if case.against.startswith("direct"):
            calls[case.against] = functools.partial(run_direct, bench, plan)
        calls[case_name] = functools.partial(run_plan, bench, plan)
    for warm_up in (f"direct: {GREEDY}", GREEDY, f"min_new_tokens {bench.num_tokens}"):
        calls[warm_up]()
    timings = time_interleaved(calls, repeats, name)
    rows: dict[str, dict[str, float | str | None]] = {}
    for case_name, case in table.items():
        own = timings[case_name]
        cpu_s = [timing.cpu_s for timing in own]
        rows[case_name] = {
            "cpu_s": round(statistics.median(cpu_s), 4),
            "spread_s": round(max(cpu_s) - min(cpu_s), 4),
            "wall_s": round(statistics.median(timing.wall_s for timing in own), 4),
            "tokens_per_cpu_s": round(
                bench.num_rows * bench.num_tokens / statistics.median(cpu_s), 1
            ),
            "times_greedy": round(median_ratio(own, timings[GREEDY]), 2),
            "against": case.against,
            "times_against": round(median_ratio(own, timings[case.against]), 3),
            "bar": case.bar,
        }
    return rows


def _print(name: str, rows: dict[str, dict[str, float | str | None]]) -> None:
    head = ("parameters", "CPU s", "spread", "tokens/s", "x greedy", "x", "bar", "of")
    columns = ("cpu_s", "spread_s", "tokens_per_cpu_s", "times_greedy", "times_against", "bar")
    print_table(
        name,
        head,
        [
            (case, *(str(row[column]) for column in columns), str(row["against"]).split(":")[0])
            for case, row in rows.items()
        ],
    )


@click.command()
@click.option("--models", default="demo,tiny,base", show_default=True)
@click.option("--tokens", default=50, show_default=True, help="Tokens of each answer.")
@click.option("--batch", default=8, show_default=True, help="Chunks in the batch.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(models: str, tokens: int, batch: int, repeats: int, record: bool) -> None:
    """Print the cost of each generation parameter."""
    threads = int(os.environ["OPENBLAS_NUM_THREADS"])
    options = {"tokens": tokens, "batch": batch, "repeats": repeats, "threads": threads}
    results = {}
    for name in models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            bench = open_model(name, Path(folder), threads, batch, tokens)
            results[name] = measure(name, bench, repeats)
        _print(name, results[name])
    stamped = stamp(models=models, compute_type="int8; the exact lane float32", **options)
    finish("decoding_cost", {"stamp": stamped, "models": results}, record)


if __name__ == "__main__":
    main()
