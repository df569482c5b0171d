"""The generation parameters, each defined once: meaning, range, default, lane and effect.

The first sixteen are those of the Hugging Face Inference API, the others are talkmill's own. The
documentation's table and the range checks are made from these definitions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from ..errors import InvalidOption

EarlyStopping = Literal[True, False, "never"]
Value = bool | int | float | str | tuple[float, ...]

MAX_POSITIONS = 448  # of Whisper's decoder: prompt and generated tokens of one chunk together
MAX_BEAMS = 16
MAX_CANDIDATES = 64  # of contrastive search: each is a row of the decoder's batch
MAX_TEMPERATURES = 10  # a failing chunk is decoded once at each
DEFAULT_TOP_K = 50  # HF's, for sampling and for contrastive search


@dataclass(frozen=True)
class GenerationParameters:
    """The parameters of a request; None means not given. `PARAMETERS` has their meanings."""

    temperature: float | tuple[float, ...] | None = None
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int | None = None
    min_new_tokens: int | None = None
    do_sample: bool | None = None
    early_stopping: EarlyStopping | None = None
    num_beams: int | None = None
    num_beam_groups: int | None = None
    penalty_alpha: float | None = None
    use_cache: bool | None = None
    seed: int | None = None
    length_penalty: float | None = None
    diversity_penalty: float | None = None
    patience: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    suppress_tokens: tuple[int, ...] | None = None
    compression_ratio_threshold: float | None = None
    logprob_threshold: float | None = None
    no_speech_threshold: float | None = None
    condition_on_prev_tokens: bool | None = None


@dataclass(frozen=True)
class Range:
    """The valid values of a parameter.

    Attributes:
        kind: Type of the value.
        low: The least value.
        high: The greatest value.
        above_low: Whether `low` itself is excluded.
        below_high: Whether `high` itself is excluded.
        also: A string that is valid too.
    """

    kind: type[int] | type[float] | type[bool]
    low: float = 0
    high: float = 1
    above_low: bool = False
    below_high: bool = False
    also: str = ""

    def __str__(self) -> str:
        """Return the range in words or as an inequality: `0 < x <= 1`."""
        if self.kind is bool:
            return f"true, false or {self.also}" if self.also else "true or false"
        above, below = "<" if self.above_low else "<=", "<" if self.below_high else "<="
        return f"{self.low} {above} x {below} {self.high}"

    def holds(self, value: Value) -> bool:
        """Return whether `value` has the right type and is in the range."""
        if isinstance(value, bool) or self.kind is bool:
            is_word = bool(self.also) and value == self.also
            return is_word or (isinstance(value, bool) and self.kind is bool)
        if not isinstance(value, int | float):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if self.kind is int and not isinstance(value, int):
            return False
        above = value > self.low if self.above_low else value >= self.low
        return above and (value < self.high if self.below_high else value <= self.high)


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: Its name in the API and in HF.
        range: Its valid values.
        default: The default, in words.
        meaning: What it does.
        lane: The lane that supports it.
        idle_unless: The condition for it to have an effect; empty if it always has one.
        is_list: Whether its value is a tuple of such values.
        or_list: Whether its value is one or a tuple of them.
    """

    name: str
    range: Range
    default: str
    meaning: str
    lane: Literal["native", "exact", "both"]
    idle_unless: str = ""
    is_list: bool = False
    or_list: bool = False

    def check(self, value: Value) -> None:
        """Refuse a value that is out of range.

        Raises:
            InvalidOption: `value` has a wrong type or is out of range; the message names field,
                value and range.
        """
        is_of_kind = self.or_list or isinstance(value, tuple) is self.is_list
        values = value if isinstance(value, tuple) and is_of_kind else (value,)
        for number in values:
            if not is_of_kind or not self.range.holds(number):
                raise InvalidOption(f"{self.name} {number!r} is not in {self.range}", self.name)


_SAMPLING = "sampling"
_BEAMS = "num_beams > 1"

PARAMETERS = (
    Parameter(
        "temperature", Range(float, 0, 100), "1 when sampling",
        "Divides the logits; above 0 it turns sampling on unless `do_sample` is given. A list: an "
        "answer that fails the thresholds is decoded again at the next.",
        "both", "`do_sample` true or not given", or_list=True,
    ),
    Parameter(
        "top_k", Range(int, 0, 100_000), "50",
        "Samples from the k most probable tokens (0: all); in contrastive search, the number of "
        "candidates.",
        "both", "sampling or contrastive search",
    ),
    Parameter(
        "top_p", Range(float, 0, 1), "1",
        "Samples from the fewest most probable tokens that together reach this probability.",
        "exact", _SAMPLING,
    ),
    Parameter(
        "typical_p", Range(float, 0, 1, above_low=True), "1",
        "Samples from the fewest most typical tokens (surprise nearest to the entropy) that "
        "together reach this probability.",
        "exact", _SAMPLING,
    ),
    Parameter(
        "epsilon_cutoff", Range(float, 0, 1, below_high=True), "0",
        "Samples from the tokens of at least this probability.", "exact", _SAMPLING,
    ),
    Parameter(
        "eta_cutoff", Range(float, 0, 1, below_high=True), "0",
        "Like `epsilon_cutoff`, but lower where the distribution is flat.", "exact", _SAMPLING,
    ),
    Parameter(
        "max_length", Range(int, 1, MAX_POSITIONS), "448",
        "Most tokens of a chunk, including the decoder prompt.",
        "both", "`max_new_tokens` not given",
    ),
    Parameter(
        "max_new_tokens", Range(int, 1, MAX_POSITIONS), "as many as fit",
        "Most tokens to generate for a chunk; more than fit are cut to those.", "both",
    ),
    Parameter(
        "min_length", Range(int, 0, MAX_POSITIONS), "0",
        "Fewest tokens of a chunk, including the decoder prompt.",
        "exact", "`min_new_tokens` not given",
    ),
    Parameter(
        "min_new_tokens", Range(int, 0, MAX_POSITIONS), "0",
        "Fewest tokens to generate for a chunk.", "exact",
    ),
    Parameter(
        "do_sample", Range(bool), "`temperature` > 0",
        "Draws each token at random instead of taking the most probable one.", "both",
        "`temperature` not 0",
    ),
    Parameter(
        "early_stopping", Range(bool, also="never"), "false",
        "When beam search stops, as in HF.", "exact", _BEAMS,
    ),
    Parameter(
        "num_beams", Range(int, 1, MAX_BEAMS), "1", "Number of beams; 1: no beam search.", "both",
    ),
    Parameter(
        "num_beam_groups", Range(int, 1, MAX_BEAMS), "1",
        "Number of groups in diverse beam search; must divide `num_beams`.", "exact", _BEAMS,
    ),
    Parameter(
        "penalty_alpha", Range(float, 0, 1), "0",
        "Weight of contrastive search's penalty on repetition; above 0 turns that search on.",
        "exact", "no sampling, num_beams = 1 and `top_k` > 1",
    ),
    Parameter(
        "use_cache", Range(bool), "true", "The transcript is the same with and without it.", "both",
        "nothing",
    ),
    Parameter(
        "seed", Range(int, 0, 2**64 - 1), "none",
        "Seed of the random draws: same seed, audio and options give the same text in any batch.",
        "exact", _SAMPLING,
    ),
    Parameter(
        "length_penalty", Range(float, -10, 10), "1",
        "A hypothesis' score is divided by its length to this power.", "both", _BEAMS,
    ),
    Parameter(
        "diversity_penalty", Range(float, 0, 100, above_low=True), "1",
        "Subtracted from a token's score for each beam of earlier groups that just chose it.",
        "exact", "num_beam_groups > 1",
    ),
    Parameter(
        "patience", Range(float, 0, 10, above_low=True), "none",
        "Selects CTranslate2's beam search, which stops when num_beams x patience hypotheses are "
        "finished.",
        "native", "num_beams > 1, no `early_stopping`, no minimum length",
    ),
    Parameter(
        "repetition_penalty", Range(float, 0.01, 100), "1",
        "Above 1, tokens that already occurred become less likely.", "both",
    ),
    Parameter(
        "no_repeat_ngram_size", Range(int, 0, MAX_POSITIONS), "0",
        "No sequence of this many tokens occurs twice; 0: off.", "both",
    ),
    Parameter(
        "suppress_tokens", Range(int, 0, 1_000_000), "the model's own",
        "Ids of tokens never to generate, besides the model's own.", "both", is_list=True,
    ),
    Parameter(
        "compression_ratio_threshold", Range(float, 0, 1000), "2.4 of the text",
        "An answer with a greater ratio is decoded again: bytes of its token ids over their "
        "compressed bytes, as HF counts (1.35 is usual).",
        "both", "more than one temperature",
    ),
    Parameter(
        "logprob_threshold", Range(float, -100, 0), "-1",
        "An answer with a lower average log-probability is decoded again.", "both",
    ),
    Parameter(
        "no_speech_threshold", Range(float, 0, 1), "0.6",
        "An answer below `logprob_threshold` is silence if the probability of no speech is "
        "greater.",
        "both",
    ),
    Parameter(
        "condition_on_prev_tokens", Range(bool), "false",
        "The text before a chunk is its prompt: the request's chunks are decoded one after the "
        "other.",
        "both",
    ),
)  # fmt: skip

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


def check_ranges(parameters: GenerationParameters) -> None:
    """Refuse the first value that is out of range.

    Raises:
        InvalidOption: A value has a wrong type or is out of range.
    """
    for field in fields(parameters):
        value = getattr(parameters, field.name)
        if value is not None:
            BY_NAME[field.name].check(value)


def parameter_table() -> str:
    """Return the documentation's table of parameters, in Markdown."""
    rows = [
        f"| `{p.name}` | {p.range} | {p.default} | {p.lane} | {p.meaning} | {p.idle_unless} |"
        for p in PARAMETERS
    ]
    head = "| parameter | values | default | lane | meaning | has an effect with |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])
