"""The generation parameters: each defined once, with its meaning, range, lane and effect.

The sixteen of the Hugging Face Inference API, and below them ours. The README's table is made
from here, and so is every refusal of a value out of range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from ..errors import InvalidOption

EarlyStopping = Literal[True, False, "never"]
Value = bool | int | float | str | tuple[int, ...]

MAX_POSITIONS = 448  # of Whisper's decoder: prompt and answer together, for each chunk
MAX_BEAMS = 16
MAX_CANDIDATES = 64  # of contrastive search: each is a row of the decoder's batch
DEFAULT_TOP_K = 50  # HF's, for sampling and for contrastive search


@dataclass(frozen=True)
class GenerationParameters:
    """What a request gives; None is: not given. The meaning of each is in `PARAMETERS`."""

    temperature: float | None = None
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


@dataclass(frozen=True)
class Range:
    """The values that a parameter takes.

    Attributes:
        kind: Its type.
        low: The least value.
        high: The greatest value.
        above_low: Whether `low` itself is left out.
        below_high: Whether `high` itself is left out.
        also: A word that is taken besides.
    """

    kind: type[int] | type[float] | type[bool]
    low: float = 0
    high: float = 1
    above_low: bool = False
    below_high: bool = False
    also: str = ""

    def __str__(self) -> str:
        """Return the range as one reads it: `0 < x <= 1`."""
        if self.kind is bool:
            return f"true, false or {self.also}" if self.also else "true or false"
        above, below = "<" if self.above_low else "<=", "<" if self.below_high else "<="
        return f"{self.low} {above} x {below} {self.high}"

    def holds(self, value: Value) -> bool:
        """Return whether `value` is of the kind and inside."""
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
        name: As the wire and HF call it.
        range: The values it takes.
        default: What holds where it is not given, in words.
        meaning: One sentence.
        lane: Which lane honours it.
        idle_unless: What must hold for it to have an effect; empty if nothing.
        is_list: Whether it takes any number of such values, as a tuple.
    """

    name: str
    range: Range
    default: str
    meaning: str
    lane: Literal["native", "exact", "both"]
    idle_unless: str = ""
    is_list: bool = False

    def check(self, value: Value) -> None:
        """Refuse a value that is out of range.

        Raises:
            InvalidOption: It is; the message names field, value and range.
        """
        is_of_kind = isinstance(value, tuple) is self.is_list
        values = value if isinstance(value, tuple) and is_of_kind else (value,)
        for number in values:
            if not is_of_kind or not self.range.holds(number):
                raise InvalidOption(f"{self.name} {number!r} is not in {self.range}", self.name)


_SAMPLING = "sampling"
_BEAMS = "num_beams > 1"

PARAMETERS = (
    Parameter(
        "temperature", Range(float, 0, 100), "1 when sampling",
        "Divides the logits; above 0 it switches sampling on unless `do_sample` is given.",
        "both", "not `do_sample` = false",
    ),
    Parameter(
        "top_k", Range(int, 0, 100_000), "50",
        "Samples among the k likeliest tokens, 0 among all; the candidates of contrastive search.",
        "both", "sampling or contrastive search",
    ),
    Parameter(
        "top_p", Range(float, 0, 1), "1",
        "Samples among the fewest tokens that have this much probability together.",
        "exact", _SAMPLING,
    ),
    Parameter(
        "typical_p", Range(float, 0, 1, above_low=True), "1",
        "Samples among the most typical tokens that have this much probability together.",
        "exact", _SAMPLING,
    ),
    Parameter(
        "epsilon_cutoff", Range(float, 0, 1, below_high=True), "0",
        "Samples among tokens of at least this probability.", "exact", _SAMPLING,
    ),
    Parameter(
        "eta_cutoff", Range(float, 0, 1, below_high=True), "0",
        "Like `epsilon_cutoff`, lowered where the distribution is flat.", "exact", _SAMPLING,
    ),
    Parameter(
        "max_length", Range(int, 1, MAX_POSITIONS), "448",
        "Most tokens of a chunk in all, the decoder prompt included.",
        "both", "no `max_new_tokens`, which wins",
    ),
    Parameter(
        "max_new_tokens", Range(int, 1, MAX_POSITIONS), "as many as fit",
        "Most tokens to generate for a chunk.", "both",
    ),
    Parameter(
        "min_length", Range(int, 0, MAX_POSITIONS), "0",
        "Fewest tokens of a chunk in all, the decoder prompt included.",
        "exact", "no `min_new_tokens`, which wins",
    ),
    Parameter(
        "min_new_tokens", Range(int, 0, MAX_POSITIONS), "0",
        "Fewest tokens to generate for a chunk.", "exact",
    ),
    Parameter(
        "do_sample", Range(bool), "`temperature` > 0",
        "Draws each token instead of taking the likeliest.", "both",
    ),
    Parameter(
        "early_stopping", Range(bool, also="never"), "CTranslate2's own rule",
        "When beam search stops, as in HF.", "exact", _BEAMS,
    ),
    Parameter(
        "num_beams", Range(int, 1, MAX_BEAMS), "1", "Beams of beam search; 1 is greedy.", "both",
    ),
    Parameter(
        "num_beam_groups", Range(int, 1, MAX_BEAMS), "1",
        "Groups of diverse beam search; divides `num_beams`.", "exact", _BEAMS,
    ),
    Parameter(
        "penalty_alpha", Range(float, 0, 1), "0",
        "Weight of contrastive search's penalty on saying what was said.",
        "exact", "greedy otherwise and `top_k` > 1",
    ),
    Parameter(
        "use_cache", Range(bool), "true", "The words are the same with and without.", "both",
        "nothing",
    ),
    Parameter(
        "seed", Range(int, 0, 2**64 - 1), "none",
        "Same seed, audio and options: same words, whatever else is in the batch.",
        "exact", _SAMPLING,
    ),
    Parameter(
        "length_penalty", Range(float, -10, 10), "1",
        "Exponent of the length that a beam's score is divided by.", "both", _BEAMS,
    ),
    Parameter(
        "diversity_penalty", Range(float, 0, 100, above_low=True), "1",
        "How much a group of beams avoids the tokens of the groups before it.",
        "exact", "num_beam_groups > 1",
    ),
    Parameter(
        "patience", Range(float, 0, 10, above_low=True), "1",
        "Native beam search goes on until num_beams x patience hypotheses are finished.",
        "native", "num_beams > 1 without `early_stopping`",
    ),
    Parameter(
        "repetition_penalty", Range(float, 0.01, 100), "1",
        "Above 1, tokens already said become less likely.", "both",
    ),
    Parameter(
        "no_repeat_ngram_size", Range(int, 0, MAX_POSITIONS), "0",
        "No sequence of this many tokens is said twice; 0 is off.", "both",
    ),
    Parameter(
        "suppress_tokens", Range(int, 0, 1_000_000), "the model's own",
        "Token ids never to say, besides the model's own.", "both", is_list=True,
    ),
)  # fmt: skip

BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


def check_ranges(parameters: GenerationParameters) -> None:
    """Refuse the first value that is out of its range.

    Raises:
        InvalidOption: There is one.
    """
    for field in fields(parameters):
        value = getattr(parameters, field.name)
        if value is not None:
            BY_NAME[field.name].check(value)


def parameter_table() -> str:
    """Return the README's table of parameters, in Markdown."""
    rows = [
        f"| `{p.name}` | {p.range} | {p.default} | {p.lane} | {p.meaning} | {p.idle_unless} |"
        for p in PARAMETERS
    ]
    head = "| parameter | values | default | lane | meaning | has an effect with |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])
