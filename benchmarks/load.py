"""Load generation in a closed or open loop. Standard library only: peers run it too.

Closed loop: a fixed number of clients, each of which sends its next request when it has its answer.
It measures the highest throughput; its latency is just the number of clients over the throughput.
Open loop: requests are sent at a constant rate, whether earlier ones are answered or not. Latency
counts from the instant at which a request was due, not from when it was sent. Otherwise a system
that falls behind would slow down its own load, and that wait would not be counted ("coordinated
omission").
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

Ask = Callable[[int], str]
"""Returns the text of the clip with this number; raises if that fails."""


@dataclass(frozen=True)
class Answer:
    """The outcome of one request.

    Attributes:
        clip: The number of its clip.
        latency_s: Seconds from when it was due to its answer.
        text: The text returned; empty after an error.
        error: The error's type and message; empty without an error.
    """

    clip: int
    latency_s: float
    text: str = ""
    error: str = ""


@dataclass(frozen=True)
class Load:
    """The requests to send.

    Attributes:
        kind: "once" (each clip once), "closed" or "open".
        num_clients: Requests in progress at once; not used for "open".
        duration_s: How long new requests are sent; not used for "once".
        rate_per_s: Requests per second; used for "open" only.
        first_clip: Number of the first clip, different in each process that shares the clips.
        delay_s: Wait before the first request, so that processes that share a rate take turns.
        num_background: The last so many clips are not part of the load: one more client sends them
            one after another, repeatedly, until the load is answered. Their answers are dropped.
    """

    kind: str
    num_clients: int = 1
    duration_s: float = 0.0
    rate_per_s: float = 0.0
    first_clip: int = 0
    delay_s: float = 0.0
    num_background: int = 0


def run_load(load: Load, ask: Ask, num_clips: int) -> tuple[float, list[Answer]]:
    """Return the seconds until the last answer, and every answer.

    Raises:
        ValueError: `load.kind` is not "once", "closed" or "open".
        Exception: A clip of the background failed.
    """
    time.sleep(load.delay_s)
    num_clips -= load.num_background
    with _background(range(num_clips, num_clips + load.num_background), ask):
        start_s = time.perf_counter()
        if load.kind == "open":
            answers = _open_loop(load, ask, num_clips, start_s)
        elif load.kind in ("closed", "once"):
            answers = _closed_loop(load, ask, num_clips, start_s)
        else:
            raise ValueError(f"kind {load.kind!r} is not one of once, closed, open")
        return time.perf_counter() - start_s, answers


@contextmanager
def _background(clips: range, ask: Ask) -> Iterator[None]:
    """Send clips one after another until the block ends; then wait for the last answer."""
    ended = threading.Event()

    def client() -> None:
        for clip in itertools.cycle(clips):
            ask(clip)
            if ended.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(client)
        try:
            yield
        finally:
            ended.set()
        sent.result()


def _closed_loop(load: Load, ask: Ask, num_clips: int, start_s: float) -> list[Answer]:
    numbers = itertools.count(load.first_clip)
    answers: list[Answer] = []
    lock = threading.Lock()

    def client() -> None:
        while True:
            with lock:
                number = next(numbers)
            if load.kind == "once" and number >= num_clips + load.first_clip:
                return
            sent_s = time.perf_counter()
            if load.kind == "closed" and sent_s - start_s >= load.duration_s:
                return
            answers.append(_answer(ask, number % num_clips, sent_s))

    threads = [threading.Thread(target=client) for _ in range(load.num_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _open_loop(load: Load, ask: Ask, num_clips: int, start_s: float) -> list[Answer]:
    num_requests = max(1, round(load.rate_per_s * load.duration_s))
    with ThreadPoolExecutor(min(num_requests, 512)) as pool:
        waiting: list[Future[Answer]] = []
        for number in range(num_requests):
            due_s = start_s + number / load.rate_per_s
            time.sleep(max(0.0, due_s - time.perf_counter()))
            clip = (number + load.first_clip) % num_clips
            waiting.append(pool.submit(_answer, ask, clip, due_s))
        return [future.result() for future in waiting]


def _answer(ask: Ask, clip: int, due_s: float) -> Answer:
    try:
        text, error = ask(clip), ""
    except Exception as failure:  # a failed request is a result, too
        text, error = "", f"{type(failure).__name__}: {failure}"
    return Answer(clip, time.perf_counter() - due_s, text, error)
