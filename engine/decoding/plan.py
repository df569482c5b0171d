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

# What decides when a chunk is decoded again and what stands before it, not how it is decoded.
OF_CHUNKS = {
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
    "condition_on_prev_tokens",
}


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
        early_stopping: HF's rule of beam search.
        patience: Where it is given, CTranslate2's beam search runs instead of HF's.
        token_logprobs: Whether a hypothesis has the log-probability of each token.
        is_endless: Whether the end of text is suppressed.

    The others are those of the same name.
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
    early_stopping: EarlyStopping = False
    length_penalty: float = 1.0
    diversity_penalty: float = 1.0
    patience: float | None = None
    penalty_alpha: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    suppress_tokens: tuple[int, ...] = ()
    token_logprobs: bool = False
    is_endless: bool = False

    @property
    def is_deterministic(self) -> bool:
        """Whether the same audio always gives the same text."""
        return self.strategy is not Strategy.SAMPLE or self.seed is not None

    @property
    def num_rows(self) -> int:
        """Rows of the decoder's batch that one chunk takes."""
        return self.top_k if self.strategy is Strategy.CONTRASTIVE else self.num_beams

    def after(self, prompt_length: int) -> DecodePlan:
        """Return the plan for a chunk whose prompt leaves less room than the request's own."""
        most = min(self.max_new_tokens, MAX_POSITIONS - prompt_length)
        if most == self.max_new_tokens:
            return self
        return replace(self, max_new_tokens=most, min_new_tokens=min(self.min_new_tokens, most))


def make_plan(
    parameters: GenerationParameters,
    *,
    timestamps: bool,
    prompt_length: int,
    has_previous: bool = False,
) -> tuple[DecodePlan, tuple[str, ...]]:
    """Return the plan for a request, and a warning for each parameter without its full effect.

    Of several temperatures it is the plan for the first one; `gates` makes the others.

    Args:
        parameters: The request's parameters.
        timestamps: Whether the request asks for timestamps.
        prompt_length: Tokens of the prompt, which `max_length` and `min_length` include.
        has_previous: Whether the prompt has tokens of preceding text.

    Raises:
        InvalidOption: A value is out of range or contradicts another one.
    """
    check_ranges(parameters)
    parameters, cut_warnings = _cut_to_room(_first_attempt(parameters), prompt_length)
    strategy = _choose_strategy(parameters)
    most, fewest, warnings = _limits(parameters, prompt_length)
    idle = _idle(parameters, strategy, fewest)
    if "patience" not in idle:
        _check_patience(parameters)
    resolved = {"max_length", "min_length", "max_new_tokens", "min_new_tokens", "do_sample"}
    resolved |= OF_CHUNKS
    if strategy is not Strategy.SAMPLE:
        resolved.add("temperature")  # 0 or idle; without it, equivalent plans are equal
    effective = {
        name: value
        for name, value in vars(parameters).items()
        if value is not None and name not in idle and name not in resolved
    }
    plan = DecodePlan(
        strategy, timestamps=timestamps, max_new_tokens=most, min_new_tokens=fewest, **effective
    )
    plan = replace(plan, is_exact=_needs_exact_lane(plan, has_previous))
    idle_warnings = (f"{name} has no effect: {reason}" for name, reason in idle.items())
    return plan, (*cut_warnings, *idle_warnings, *warnings)


def _cut_to_room(
    given: GenerationParameters, prompt_length: int
) -> tuple[GenerationParameters, tuple[str, ...]]:
    """Return the parameters with `max_new_tokens` cut to what fits, and a warning if it was.

    The model cards of Whisper show 448, which never fits.
    """
    room = MAX_POSITIONS - prompt_length
    if given.max_new_tokens is None or given.max_new_tokens <= room:
        return given, ()
    warning = (
        f"max_new_tokens {given.max_new_tokens}: only {room} fit, as the prompt has "
        f"{prompt_length} tokens"
    )
    return replace(given, max_new_tokens=room), (warning,)


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

    Two exceptions, as in HF's Whisper: a temperature above 0 turns sampling on, and 0 turns it off.
    """
    assert not isinstance(given.temperature, tuple)
    has_temperature = given.temperature is not None and given.temperature > 0
    is_sampling = has_temperature if given.do_sample is None else given.do_sample
    is_sampling = is_sampling and given.temperature != 0
    num_beams, num_groups = given.num_beams or 1, given.num_beam_groups or 1
    if is_sampling:
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


def _limits(given: GenerationParameters, prompt_length: int) -> tuple[int, int, tuple[str, ...]]:
    """Return the most and the fewest tokens to generate, and a warning if they contradict."""
    most_name, most = "max_new_tokens", given.max_new_tokens
    if most is None:
        most_name, most = "max_length", (given.max_length or MAX_POSITIONS) - prompt_length
    if most < 1:
        raise InvalidOption(
            f"max_length {given.max_length} is not in {prompt_length + 1} to {MAX_POSITIONS}: the "
            f"prompt has {prompt_length} tokens",
            "max_length",
        )
    fewest_name, fewest = "min_new_tokens", given.min_new_tokens
    if fewest is None:
        fewest_name, fewest = "min_length", max(0, (given.min_length or 0) - prompt_length)
    if fewest > most:  # HF generates up to the maximum, too
        warning = (
            f"{fewest_name} requires {fewest} new tokens, {most_name} allows {most}: "
            "an answer ends there"
        )
        return most, most, (warning,)
    return most, fewest, ()


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
        if given.do_sample:
            reasons["do_sample"] = "temperature 0 selects the most probable token"
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


def _needs_exact_lane(plan: DecodePlan, has_previous: bool) -> bool:
    """Return whether CTranslate2's answer would not be HF's; see `PARAMETERS`."""
    if plan.min_new_tokens or plan.strategy in (Strategy.DIVERSE_BEAM, Strategy.CONTRASTIVE):
        return True
    if plan.strategy is Strategy.BEAM:
        return plan.patience is None
    if has_previous and (plan.repetition_penalty != 1 or plan.no_repeat_ngram_size):
        return True  # HF's penalties see the preceding text, CTranslate2's do not
    is_cut = plan.top_p < 1 or plan.typical_p < 1 or plan.epsilon_cutoff or plan.eta_cutoff
    return plan.strategy is Strategy.SAMPLE and (plan.seed is not None or bool(is_cut))
