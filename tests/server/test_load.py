"""Many real clients on the real demo model at once. Minutes long on two cores: marked slow."""

from __future__ import annotations

import io
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from audio_files import decode_file, encode_audio
from fakes import DEMO_FOLDER
from talkmill.engine import GenerationParameters, TranscribeOptions, Transcript
from talkmill.engine.audio.decode import SAMPLE_RATE
from talkmill.engine.types import Samples
from talkmill.server import BackgroundServer, Client, ServerConfig

NUM_CLIENTS = 64
LENGTHS_S = (1.5, 3, 5, 8, 12, 20, 28, 45)

Said = list[tuple[str, float, float | None]]


def clips(speech: Samples) -> list[bytes]:
    """Return files of mixed lengths, each from another place of the same recordings."""
    sound = np.tile(np.concatenate([decode_file(DEMO_FOLDER / "sample.flac"), speech]), 4)
    files = []
    for number, length_s in zip(range(NUM_CLIENTS), itertools.cycle(LENGTHS_S), strict=False):
        start = round(number * 0.53 * SAMPLE_RATE)
        end = start + round(length_s * SAMPLE_RATE)
        files.append(encode_audio(sound[start:end], "flac", "flac"))
    return files


def said(transcript: Transcript) -> Said:
    """Return the words with their times; scores are rounded on their way over the wire."""
    return [(one.text, one.start_s, one.end_s) for one in transcript.segments]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_64_clients_get_their_own_words_and_share_batches(speech: Samples) -> None:
    files = clips(speech)
    # No other temperatures: most of these clips are not of the demo model's domain.
    options = TranscribeOptions(
        language="en", timestamps=True, parameters=GenerationParameters(temperature=(0.0,))
    )
    # Float32, where a batch gives the same words as its rows one by one. Stock Whisper's window:
    # in the short ones of the demo model the encoder takes less time than finding the speech, and
    # a batch is what is there.
    config = ServerConfig(
        port=0,
        compute_type="float32",
        encoder_windows=(30,),
        max_batch_size=8,
        max_queue_s=0,  # however slow the machine is
        cache_bytes=0,  # the same clips come one by one and together
    )
    with BackgroundServer(config) as server, ThreadPoolExecutor(NUM_CLIENTS) as pool:
        engine = server.server.engine
        alone = [said(engine.transcribe(file, options)) for file in files]
        before = engine.stats.num_chunks, engine.stats.num_batches
        start = threading.Barrier(NUM_CLIENTS)

        def ask(file: bytes) -> Said:
            with Client(server.address) as client:
                start.wait()
                return said(client.transcribe(io.BytesIO(file), options))

        together = list(pool.map(ask, files))
        num_chunks = engine.stats.num_chunks - before[0]
        num_batches = engine.stats.num_batches - before[1]
    assert together == alone
    assert len(set(map(str, alone))) > NUM_CLIENTS / 2, "answers that are all alike prove nothing"
    print(f"{num_chunks} chunks in {num_batches} batches: {num_chunks / num_batches:.1f} in each")
    assert num_chunks > 4 * num_batches
