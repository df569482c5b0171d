"""What a request gives without effect comes back in warnings."""

from __future__ import annotations

from typing import Any

import pytest

from talkmill.engine import GenerationParameters
from talkmill.engine.decoding.plan import make_plan


def idle(**values: Any) -> set[str]:
    """Return the parameters that come back in warnings."""
    parameters = GenerationParameters(**values)
    _, warnings = make_plan(parameters, timestamps=False, prompt_length=4)
    assert all(" has no effect: " in warning for warning in warnings)
    return {warning.split()[0] for warning in warnings}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, set()),
        ({"temperature": 0, "num_beams": 1, "max_length": 50, "min_length": 6}, set()),
        ({"use_cache": True}, {"use_cache"}),
        ({"use_cache": False}, {"use_cache"}),
        ({"do_sample": False, "temperature": 0.7}, {"temperature"}),
        ({"do_sample": True, "temperature": 0.0}, {"do_sample"}),
        ({"do_sample": False, "temperature": 0.0}, set()),
        ({"do_sample": True, "temperature": 0.0, "num_beams": 2}, {"do_sample"}),
        ({"top_k": 5}, {"top_k"}),
        ({"top_p": 0.9, "typical_p": 0.9}, {"top_p", "typical_p"}),
        ({"epsilon_cutoff": 0.1, "eta_cutoff": 0.1}, {"epsilon_cutoff", "eta_cutoff"}),
        ({"seed": 3}, {"seed"}),
        ({"seed": 3, "num_beams": 2}, {"seed"}),
        ({"early_stopping": True}, {"early_stopping"}),
        ({"early_stopping": False, "temperature": 1.0}, {"early_stopping"}),
        ({"length_penalty": 2.0, "patience": 2.0}, {"length_penalty", "patience"}),
        ({"num_beam_groups": 2}, {"num_beam_groups"}),
        ({"diversity_penalty": 2.0, "num_beams": 2}, {"diversity_penalty"}),
        ({"num_beams": 2, "patience": 2.0}, set()),
        ({"num_beams": 2, "patience": 2.0, "early_stopping": True}, {"patience"}),
        ({"num_beams": 2, "patience": 0.1, "early_stopping": True}, {"patience"}),
        ({"num_beams": 2, "patience": 2.0, "min_new_tokens": 3}, {"patience"}),
        ({"num_beams": 2, "num_beam_groups": 2, "patience": 2.0}, {"patience"}),
        ({"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 2.0}, set()),
        ({"num_beams": 2, "num_beam_groups": 2, "early_stopping": "never"}, set()),
        ({"num_beams": 2, "length_penalty": 2.0, "early_stopping": "never"}, set()),
        ({"num_beams": 2, "penalty_alpha": 0.6, "top_k": 4}, {"penalty_alpha", "top_k"}),
        ({"temperature": 1.0, "penalty_alpha": 0.6, "top_k": 4}, {"penalty_alpha"}),
        ({"penalty_alpha": 0.6, "top_k": 4}, set()),
        ({"penalty_alpha": 0.6, "top_p": 0.5}, {"top_p"}),
        ({"penalty_alpha": 0.6, "top_k": 1}, {"penalty_alpha", "top_k"}),
        ({"max_length": 50, "max_new_tokens": 5}, {"max_length"}),
        ({"min_length": 50, "min_new_tokens": 5}, {"min_length"}),
        (
            {
                "do_sample": True,
                "temperature": 0.7,
                "top_k": 9,
                "top_p": 0.9,
                "typical_p": 0.9,
                "epsilon_cutoff": 0.1,
                "eta_cutoff": 0.1,
                "seed": 1,
                "repetition_penalty": 2.0,
                "no_repeat_ngram_size": 2,
                "suppress_tokens": (1,),
            },
            set(),
        ),
    ],
    ids=str,
)
def test_what_has_no_effect_comes_back_in_a_warning(
    values: dict[str, Any], expected: set[str]
) -> None:
    assert idle(**values) == expected
