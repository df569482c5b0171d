"""Worker pools on fake models, closed at the end of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fakes import FakeModel, loaded
from talkmill.engine import EngineFailed
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.scheduling.batcher import Batcher
from talkmill.engine.scheduling.queue import ChunkQueue
from talkmill.engine.scheduling.window_guard import WindowGuard
from talkmill.engine.scheduling.worker import WorkerPool
from worker_bench import Bench


@pytest.fixture
def new_bench(tokenizer: WhisperTokenizer) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def new(model: FakeModel | None = None, batch_size: int = 8) -> Bench:
        model = model or FakeModel(tokenizer)
        queue = ChunkQueue(Batcher(batch_size, batch_size), max_waiting=1000)
        lost: list[EngineFailed] = []
        ready = loaded(model)
        guard = WindowGuard(ready.runtime.windows)
        pool = WorkerPool(queue, ready, guard, on_failure=lost.append)
        bench = Bench(model, queue, pool, guard, lost)
        pool.start()
        made.append(bench)
        return bench

    yield new
    for bench in made:
        bench.model.release()
        bench.pool.close()


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    return new_bench()
