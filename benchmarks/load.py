"""Two ways to put load on something that transcribes. The standard library only: peers run it too.

Closed loop: so many clients, each of which asks again when it has its answer. It finds the ceiling;
its latencies are only what so many clients make each other wait. Open loop: requests come at a
constant rate, whether the ones before are answered or not, and a latency counts from the instant at
which a request was due, not from when it was sent: else a system that falls behind would slow its
own load down, and its waiting would not be counted ("coordinated omission").
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

Ask = Callable[[int], str]
"""Transcribes the clip of this number; raises where that fails."""


@dataclass(frozen=True)
class Answer:
    """What became of one request.

    Attributes:
        clip: Which one.
        latency_s: From when it was due to its answer.
        text: The answer.
        error: Why there is none.
    """

    clip: int
    latency_s: float
    text: str = ""
    error: str = ""


@dataclass(frozen=True)
class Load:
    """What to ask.

    Attributes:
        kind: "once" (each clip once), "closed" or "open".
        num_clients: Requests at once; not for "open".
        duration_s: How long new ones are sent; not for "once".
        rate_per_s: Of requests; for "open".
        first_clip: Where to start, so that processes that share the clips differ.
        delay_s: Before the first request, so that processes that share a rate take turns.
    """

    kind: str
    num_clients: int = 1
    duration_s: float = 0.0
    rate_per_s: float = 0.0
    first_clip: int = 0
    delay_s: float = 0.0


def run_load(load: Load, ask: Ask, num_clips: int) -> tuple[float, list[Answer]]:
    """Return the seconds until the last answer, and every answer."""
    time.sleep(load.delay_s)
    start_s = time.perf_counter()
    if load.kind == "open":
        answers = _open_loop(load, ask, num_clips, start_s)
    elif load.kind in ("closed", "once"):
        answers = _closed_loop(load, ask, num_clips, start_s)
    else:
        raise ValueError(f"kind {load.kind!r} is not one of once, closed, open")
    return time.perf_counter() - start_s, answers


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
    except Exception as failure:  # a failed request is a result too
        text, error = "", f"{type(failure).__name__}: {failure}"
    return Answer(clip, time.perf_counter() - due_s, text, error)
