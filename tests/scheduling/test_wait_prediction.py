"""The predicted wait beside the true one, on a simulated machine."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from machine import NUM_WORKERS, RATE, Machine, arrivals

MAX_QUEUE_S = 10.0


def commands(draw: random.Random) -> float:
    return draw.uniform(1, 6)


def mixed(draw: random.Random) -> float:
    return draw.choice([2.0, 4.0, 8.0, 15.0, 28.0, 45.0])


@pytest.mark.parametrize("num_files", [0, 1, 3])
@pytest.mark.parametrize("lengths", [commands, mixed])
@pytest.mark.parametrize("speed", [1.0, 3.0])
def test_predicted_wait_is_within_a_quarter_of_the_true_one_at_twice_the_load(
    lengths: Callable[[random.Random], float], num_files: int, speed: float
) -> None:
    draw = random.Random(0)
    mean_s = sum(lengths(draw) + 0.6 for _ in range(500)) / 500
    machine = Machine(speed)
    for _ in range(num_files):
        machine.ask(3 * 3600.0)
    for now_s in arrivals(2 * speed * RATE * NUM_WORKERS / mean_s, 120, seed=1):
        machine.run_until(now_s)
        machine.ask(lengths(draw), MAX_QUEUE_S)
    machine.run_until(200)
    asked = [one for one in machine.asked if one.submitted_s > 10 and one.length_s < 60]
    predicted_s = np.array([one.predicted_s for one in asked])
    waited_s = np.array([one.waited_s for one in asked])
    errors = np.abs(predicted_s - waited_s) / np.maximum(waited_s, 1)
    assert np.median(errors) < 0.25
    assert abs(predicted_s.mean() / waited_s.mean() - 1) < 0.25
    assert np.percentile(waited_s, 99) < 1.5 * MAX_QUEUE_S
