"""Commands beside what takes long, on a simulated machine: a file, and beams without end."""

from __future__ import annotations

import random

import numpy as np
import pytest

from machine import Machine, arrivals
from talkmill.engine.decoding.plan import DecodePlan, Strategy


def p95_s(
    num_files: int = 0, plan: DecodePlan | None = None, length_s: float = 3 * 3600.0
) -> float:
    """Return the 95th percentile of the time that commands take, two a second."""
    machine = Machine(1.3)  # tiny.en on two cores
    for _ in range(num_files):
        machine.ask(length_s, plan=plan)
    draw = random.Random(0)
    for now_s in arrivals(2.0, 120, seed=1):
        machine.run_until(now_s)
        machine.ask(draw.uniform(1, 6))
    machine.run_until(300)
    took_s = [one.took_s for one in machine.asked if one.submitted_s > 10 and one.length_s < 10]
    return float(np.percentile(took_s, 95))


@pytest.mark.parametrize("num_files", [1, 4])
def test_commands_beside_a_file_of_three_hours_take_at_most_twice_as_long(num_files: int) -> None:
    assert p95_s(num_files) < 2 * p95_s()


def test_commands_beside_beams_without_end_take_at_most_twice_as_long() -> None:
    endless = DecodePlan(Strategy.BEAM, num_beams=16, patience=10.0, is_endless=True)
    assert p95_s(4, endless, 120.0) < 2 * p95_s()
