"""How close is the server to the speed of the model alone, and that to the machine's peak?

    python -m benchmarks.ceiling [--model small] [--record]

Theory. The model-only loop runs the same chunks through CTranslate2 and nothing else: its threads
encode chunk by chunk (on a CPU a batch is no faster) and generate in batches; the fastest of a few
topologies counts. A server cannot be faster. It must add at least the CPU stage (decoding, speech
detection, features), which shares the cores. So the bar is 90 % of the speed of both together.

The arithmetic limit divides the model's multiplications by this machine's speed at float32 matrix
products, measured with NumPy on the same number of threads. int8 can exceed it: by up to 2 times
with AVX2, by up to 4 times with VNNI.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import ctranslate2
import numpy as np

from benchmarks import workloads
from benchmarks.baselines.talkmill.run import running_server
from benchmarks.comparison import Machine, get_model
from benchmarks.corpus import SPEECH, find_manifest
from benchmarks.random_weights import Shape
from benchmarks.report import finish, print_table, stamp
from benchmarks.shapes import PROMPT, SHAPES, START
from talkmill.engine import GenerationParameters, TranscribeOptions
from talkmill.server import Client

_POSITIONS_PER_S = 50  # positions of the encoder's output for a second of audio
_FRAMES_PER_S = 100


@dataclass(frozen=True)
class Topology:
    """The set-up of the model-only loop.

    Attributes:
        workers: Threads that run the model, each with a replica.
        threads: CTranslate2 threads of each replica.
        batch_size: Chunks that are generated together.
    """

    workers: int
    threads: int
    batch_size: int

    @classmethod
    def parse(cls, text: str) -> Topology:
        """Return the topology written as WORKERSxTHREADSxBATCH."""
        return cls(*map(int, text.split("x")))


def multiplications(shape: Shape, window_s: float, num_tokens: int) -> float:
    """Return the multiply-adds of one chunk: matrix products and attention."""
    width, frames = shape.d_model, window_s * _POSITIONS_PER_S
    convolutions = 3 * width * (2 * frames * shape.n_mels + frames * width)
    layer = 12 * width**2  # attention's four matrices and the two of the feed-forward net
    encoder = convolutions + shape.num_layers * frames * (layer + 2 * frames * width)
    cross = shape.decoder_layers * frames * 2 * width**2  # keys and values of the encoder's output
    steps = len(PROMPT) + num_tokens
    own = 14 * width**2 + 2 * width * (frames + steps / 2)
    return encoder + cross + steps * (shape.decoder_layers * own + width * shape.num_tokens)


def peak_multiplications_per_s(threads: int, size: int = 1024, repeats: int = 5) -> float:
    """Return the multiply-adds per second of float32 matrix products on `threads` threads."""
    matrix = np.random.default_rng(0).standard_normal((size, size), np.float32)

    def products(_: int) -> None:
        for _ in range(4):
            matrix @ matrix

    speeds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            start_s = time.perf_counter()
            list(pool.map(products, range(threads)))
            speeds.append(4 * threads * size**3 / (time.perf_counter() - start_s))
    return max(speeds)


def model_only_s(
    model: Path, topology: Topology, window_s: float, num_chunks: int, compute_type: str
) -> float:
    """Return the seconds that the model alone takes for `num_chunks` chunks."""
    whisper = ctranslate2.models.Whisper(
        str(model),
        compute_type=compute_type,
        inter_threads=topology.workers,
        intra_threads=topology.threads,
    )
    rng = np.random.default_rng(0)
    shape = (1, whisper.n_mels, round(window_s * _FRAMES_PER_S))
    features = rng.standard_normal(shape, np.float32)
    prompt = [START, START + 1, *(token + whisper.n_mels // 128 for token in PROMPT[2:])]
    # Limit the batch so that every worker has work.
    most = max(1, min(topology.batch_size, num_chunks // topology.workers))
    waiting = iter([min(most, num_chunks - start) for start in range(0, num_chunks, most)])
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                size = next(waiting, 0)
            if not size:
                return
            encoded = [_encode(whisper, features) for _ in range(size)]
            stacked = ctranslate2.StorageView.from_array(np.concatenate(encoded))
            whisper.generate(stacked, [prompt] * size, beam_size=1, max_length=448)

    _encode(whisper, features)
    threads = [threading.Thread(target=work) for _ in range(topology.workers)]
    start_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start_s


def _encode(whisper: ctranslate2.models.Whisper, features: Any) -> Any:
    storage = ctranslate2.StorageView.from_array(features)
    return np.array(whisper.encode(storage, to_cpu=True))


def over_grpc(address: str, clip: workloads.Clip) -> tuple[float, float, int]:
    """Return the wall seconds of one long file, its CPU stage's seconds and number of tokens."""
    with Client(address) as client, Path(clip.path).open("rb") as audio:
        start_s = time.perf_counter()
        # Without the gates: random weights fail them all.
        greedy = GenerationParameters(temperature=0.0)
        options = TranscribeOptions(language="en", parameters=greedy)
        transcript = client.transcribe(audio, options)
        wall_s = time.perf_counter() - start_s
    timings = transcript.timings
    stage_s = timings.decode_s + timings.vad_s + timings.features_s
    return wall_s, stage_s, len(transcript.text.split())


@click.command()
@click.option("--model", type=click.Choice(list(SHAPES)), default="small", show_default=True)
@click.option("--meeting-s", default=180.0, show_default=True)
@click.option("--window-s", default=30.0, show_default=True)
@click.option("--topologies", default="2x1x1,2x1x4,1x2x8", show_default=True)
@click.option("--rounds", default=1, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--compute-type", default="int8", show_default=True)
@click.option("--serve-arguments", default="", help="More arguments of talkmill serve.")
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), help="A manifest, TSV.")
@click.option("--record", is_flag=True, help="Append the result to benchmarks/results/.")
def main(record: bool, corpus: Path | None, **given: Any) -> None:
    """Print the server's speed beside the model's, and the model's beside the machine's."""
    started = stamp(**given)
    shape, window_s = SHAPES[given["model"]], given["window_s"]
    topologies = [Topology.parse(text) for text in given["topologies"].split(",")]
    peak = peak_multiplications_per_s(given["threads"])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = get_model(given["model"], root, workloads.MEETING_TOKENS)
        clip = workloads.meeting(root, find_manifest(corpus, SPEECH), given["meeting_s"])[0]
        arguments = ["--encoder-windows", f"{window_s:g}", *given["serve_arguments"].split()]
        machine = Machine(given["threads"], given["compute_type"])
        setup = machine.setup(model, arguments=arguments)
        with running_server(setup) as (_, address, _):
            served: list[tuple[float, float, int]] = []
            alone_s: dict[Topology, list[float]] = {topology: [] for topology in topologies}
            for _, topology in itertools.product(range(given["rounds"]), [None, *topologies]):
                if topology is None:
                    served.append(over_grpc(address, clip))
                    num_chunks = round(served[-1][2] / workloads.MEETING_TOKENS)
                    continue
                seconds = model_only_s(model, topology, window_s, num_chunks, machine.compute_type)
                alone_s[topology].append(seconds)
    wall_s, stage_s = (statistics.median(one[i] for one in served) for i in range(2))
    costs = multiplications(shape, window_s, workloads.MEETING_TOKENS) * num_chunks
    result = summary(
        {topology: statistics.median(times) for topology, times in alone_s.items()},
        wall_s,
        stage_s / given["threads"],
        costs / peak,
        clip.duration_s,
    )
    rows = [
        (name, f"{s:.2f}", f"{clip.duration_s / s:.1f}") for name, s in result["seconds"].items()
    ]
    print_table(f"{given['model']}: a meeting, {num_chunks} chunks", ("", "s", "RTFx"), rows)
    shares = [(name, f"{100 * share:.1f}") for name, share in result["shares"].items()]
    print_table(f"float32 peak: {peak / 1e9:.1f} G multiply-adds/s", ("share", "%"), shares)
    finish("ceiling", {"stamp": started, "peak_per_s": peak, **result}, record)


def summary(
    alone_s: dict[Topology, float], wall_s: float, stage_s: float, limit_s: float, audio_s: float
) -> dict[str, dict[str, float]]:
    """Return the times, and the shares that they are of each other.

    Args:
        alone_s: Seconds of the model-only loop.
        wall_s: Seconds of the file through gRPC.
        stage_s: Seconds of the CPU stage on all cores.
        limit_s: Seconds of the multiplications at the machine's float32 peak.
        audio_s: Length of the file.
    """
    best_s = min(alone_s.values())
    seconds = {
        f"model only, {one.workers} x {one.threads}, batch {one.batch_size}": value
        for one, value in alone_s.items()
    }
    seconds |= {
        "CPU stage, on all cores": stage_s,
        "best model only + CPU stage": best_s + stage_s,
        "through gRPC": wall_s,
        "multiply-adds at the float32 peak": limit_s,
    }
    shares = {
        "through gRPC, of model + CPU stage (bar 90)": (best_s + stage_s) / wall_s,
        "model only, of the float32 peak": limit_s / best_s,
        "through gRPC, of the float32 peak": limit_s / wall_s,
    }
    return {"seconds": seconds, "shares": shares}


if __name__ == "__main__":
    main()
