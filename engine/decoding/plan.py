"""Turns a request's generation parameters into one frozen plan: lane, algorithm and limits.

Pure functions that need no model. Combinations that HF refuses are refused, with the reason; valid
parameters without effect are returned as warnings.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from ..errors import InvalidOption
from .parameters import (
    DEFAULT_TOP_K,
    MAX_CANDIDATES,
    MAX_POSITIONS,
    MAX_TEMPERATURES,
    EarlyStopping,
    GenerationParameters,
    check_ranges,
)


class Strategy(enum.Enum):
    """How the next token is chosen."""

    GREEDY = "greedy search"
    SAMPLE = "sampling"
    BEAM = "beam search"
    DIVERSE_BEAM = "diverse beam search"
    CONTRASTIVE = "contrastive search"


@dataclass(frozen=True)
class DecodePlan:
    """How to decode one chunk, with all defaults filled in. Equal plans may share a batch.

    Attributes:
        strategy: How the next token is chosen.
        is_exact: Whether the exact lane runs it; otherwise CTranslate2 does.
        timestamps: Whether Whisper's timestamp tokens are generated.
        max_new_tokens: Most tokens to generate, including the end of text.
        min_new_tokens: Tokens to generate before the end of text is allowed.
        early_stopping: HF's rule; None selects CTranslate2's.

    The other attributes are the parameters of the same name.
    """

    strategy: Strategy = Strategy.GREEDY
    is_exact: bool = False
    timestamps: bool = False
    max_new_tokens: int = MAX_POSITIONS - 4  # what Whisper's prompt of 4 tokens leaves
    min_new_tokens: int = 0
    temperature: float = 1.0
    top_k: int = DEFAULT_TOP_K
    top_p: float = 1.0
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    seed: int | None = None
    num_beams: int = 1
    num_beam_groups: int = 1
    early_stopping: EarlyStopping | None = None
    length_penalty: float = 1.0
    diversity_penalty: float = 1.0
    patience: float = 1.0
    penalty_alpha: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    suppress_tokens: tuple[int, ...] = ()

    @property
    def is_deterministic(self) -> bool:
        """Whether the same audio always gives the same text."""
        return self.strategy is not Strategy.SAMPLE or self.seed is not None

    @property
    def num_rows(self) -> int:
        """Rows of the decoder's batch that one chunk takes."""
        return self.top_k if self.strategy is Strategy.CONTRASTIVE else self.num_beams


def make_plan(
    parameters: GenerationParameters, *, timestamps: bool, prompt_length: int
) -> tuple[DecodePlan, tuple[str, ...]]:
    """Return the plan for a request, and a warning for each parameter without effect.

    Of several temperatures it is the plan for the first one; `gates` makes the others.

    Args:
        parameters: The request's parameters.
        timestamps: Whether the request asks for timestamps.
        prompt_length: Tokens of the prompt, which `max_length` and `min_length` include.

    Raises:
        InvalidOption: A value is out of range or contradicts another one.
    """
    check_ranges(parameters)
    parameters = _first_attempt(parameters)
    strategy = _choose_strategy(parameters)
    most, fewest = _limits(parameters, prompt_length)
    idle = _idle(parameters, strategy, fewest)
    if "patience" not in idle:
        _check_patience(parameters)
    resolved = {"compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"}
    resolved |= {"max_length", "min_length", "max_new_tokens", "min_new_tokens", "do_sample"}
    if strategy is not Strategy.SAMPLE:
        resolved.add("temperature")  # 0 or idle; without it, equivalent plans are equal
    effective = {
        name: value
        for name, value in vars(parameters).items()
        if value is not None and name not in idle and name not in resolved
    }
    plan = DecodePlan(
        strategy=strategy,
        timestamps=timestamps,
        max_new_tokens=most,
        min_new_tokens=fewest,
        **effective,
    )
    plan = replace(plan, is_exact=_needs_exact_lane(plan))
    return plan, tuple(f"{name} has no effect: {reason}" for name, reason in idle.items())


def _first_attempt(given: GenerationParameters) -> GenerationParameters:
    """Return the parameters with the first of several temperatures.

    Raises:
        InvalidOption: There are none, or too many.
    """
    if not isinstance(given.temperature, tuple):
        return given
    if not 1 <= (number := len(given.temperature)) <= MAX_TEMPERATURES:
        raise InvalidOption(
            f"temperature is a list of {number} values: 1 to {MAX_TEMPERATURES} are possible",
            "temperature",
        )
    return replace(given, temperature=given.temperature[0])


def _choose_strategy(given: GenerationParameters) -> Strategy:
    """Return the algorithm, as HF's `GenerationConfig.get_generation_mode` does.

    One exception, as in HF's Whisper: a temperature above 0 turns sampling on.
    """
    assert not isinstance(given.temperature, tuple)
    has_temperature = given.temperature is not None and given.temperature > 0
    is_sampling = has_temperature if given.do_sample is None else given.do_sample
    num_beams, num_groups = given.num_beams or 1, given.num_beam_groups or 1
    if is_sampling:
        if given.temperature == 0:
            raise InvalidOption(
                "temperature 0 is not valid with do_sample = true: it must be above 0",
                "temperature",
            )
        if num_beams > 1:
            # HF's Whisper falls back to one beam here without a warning.
            raise InvalidOption(
                f"num_beams {num_beams} is not valid with sampling: it must be 1", "num_beams"
            )
        if num_groups > 1:
            raise InvalidOption(
                f"num_beam_groups {num_groups} is not valid with sampling: it must be 1",
                "num_beam_groups",
            )
        return Strategy.SAMPLE
    if num_beams > 1 and num_groups > 1:
        if num_beams % num_groups:
            raise InvalidOption(
                f"num_beam_groups {num_groups} does not divide num_beams {num_beams}",
                "num_beam_groups",
            )
        return Strategy.DIVERSE_BEAM
    if num_beams > 1:
        return Strategy.BEAM
    top_k = DEFAULT_TOP_K if given.top_k is None else given.top_k
    if given.penalty_alpha and top_k > 1:
        if top_k > MAX_CANDIDATES:
            raise InvalidOption(
                f"top_k {top_k} is over {MAX_CANDIDATES}, the limit in contrastive search",
                "top_k",
            )
        return Strategy.CONTRASTIVE
    return Strategy.GREEDY


def _limits(given: GenerationParameters, prompt_length: int) -> tuple[int, int]:
    """Return the most and the fewest tokens to generate."""
    room = MAX_POSITIONS - prompt_length
    most_name, most = "max_length", (given.max_length or MAX_POSITIONS) - prompt_length
    if given.max_new_tokens is not None:
        most_name, most = "max_new_tokens", given.max_new_tokens
    if not 1 <= most <= room:
        low, high = (
            (1, room) if most_name == "max_new_tokens" else (prompt_length + 1, MAX_POSITIONS)
        )
        value = getattr(given, most_name)
        raise InvalidOption(
            f"{most_name} {value} is not in {low} to {high}: the prompt has {prompt_length} tokens",
            most_name,
        )
    fewest_name, fewest = "min_length", max(0, (given.min_length or 0) - prompt_length)
    if given.min_new_tokens is not None:
        fewest_name, fewest = "min_new_tokens", given.min_new_tokens
    if fewest > most:
        raise InvalidOption(
            f"{fewest_name} requires {fewest} new tokens, {most_name} allows {most}", fewest_name
        )
    return most, fewest


def _check_patience(given: GenerationParameters) -> None:
    num_beams, patience = given.num_beams or 1, given.patience or 1.0
    if num_beams * patience < 1:  # CTranslate2 would wait for less than 1 hypothesis
        raise InvalidOption(
            f"patience {patience} x num_beams {num_beams} is less than 1 hypothesis",
            "patience",
        )


def _idle(given: GenerationParameters, strategy: Strategy, fewest: int) -> dict[str, str]:
    """Return the parameters that are given but have no effect, each with the reason."""
    reasons: dict[str, str] = {}
    instead = f"the request uses {strategy.value}"
    if strategy is not Strategy.SAMPLE:
        samplers = ("top_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "seed")
        reasons |= dict.fromkeys(samplers, instead)
        if given.temperature:
            reasons["temperature"] = instead
        if strategy is not Strategy.CONTRASTIVE:
            reasons["top_k"] = instead
    if strategy not in (Strategy.BEAM, Strategy.DIVERSE_BEAM):
        reasons |= dict.fromkeys(("early_stopping", "length_penalty", "patience"), instead)
        if (given.num_beam_groups or 1) > 1:
            reasons["num_beam_groups"] = "num_beams is 1"
    if strategy is Strategy.DIVERSE_BEAM:
        reasons["patience"] = "HF's diverse beam search does not use it"
    else:
        reasons["diversity_penalty"] = instead
    if strategy is Strategy.BEAM and given.early_stopping is not None:
        reasons["patience"] = "early_stopping selects HF's beam search, which does not use it"
    if fewest and strategy is Strategy.BEAM:
        reasons["patience"] = "a minimum length selects HF's beam search, which does not use it"
    if strategy is not Strategy.CONTRASTIVE and given.penalty_alpha:
        reasons["penalty_alpha"] = instead
    if given.max_new_tokens is not None:
        reasons["max_length"] = "max_new_tokens takes precedence"
    if given.min_new_tokens is not None:
        reasons["min_length"] = "min_new_tokens takes precedence"
    reasons["use_cache"] = "the transcript is the same with and without it"
    return {name: why for name, why in reasons.items() if getattr(given, name) is not None}


def _needs_exact_lane(plan: DecodePlan) -> bool:
    """Return whether CTranslate2 does not support the plan; see `PARAMETERS`."""
    if plan.min_new_tokens or plan.strategy in (Strategy.DIVERSE_BEAM, Strategy.CONTRASTIVE):
        return True
    if plan.strategy is Strategy.BEAM:
        return plan.early_stopping is not None
    is_cut = plan.top_p < 1 or plan.typical_p < 1 or plan.epsilon_cutoff or plan.eta_cutoff
    return plan.strategy is Strategy.SAMPLE and (plan.seed is not None or bool(is_cut))
