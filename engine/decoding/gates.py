"""The gates: which answers of a chunk are decoded again, at which temperatures, or are silence.

openai/whisper's rule (`decode_with_fallback` of its transcribe.py). In one place, when they apply:

- A request without any generation parameter has them all, with the defaults, and the server's
  beams; `use_cache` and `condition_on_prev_tokens` do not count.
- A request with one has none: it gets what its search finds, as from HF's `generate`.
- `temperature` as a list or one of the thresholds turns them on in any request; what is not given
  has its default. Such a request is decoded again only with a list, or with no other parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .parameters import GenerationParameters
from .plan import DecodePlan, Strategy, make_plan

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
COMPRESSION_RATIO = 2.4
LOGPROB = -1.0
NO_SPEECH = 0.6

_THRESHOLDS = ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold")
_NO_CHOICE = ("use_cache", "condition_on_prev_tokens")  # they change no search


@dataclass(frozen=True)
class Gates:
    """What an answer must pass. The default lets every answer pass.

    Attributes:
        fallbacks: The plans after the first one, for the answers that fail, in turn.
        compression_ratio: A greater ratio fails, of bytes of the text; None: none fails.
        token_compression_ratio: The same of HF's ratio, of bytes of the token ids.
        logprob: A lower average log-probability fails; None: none fails.
        no_speech: An answer that fails `logprob`, with a greater probability of no speech, is
            silence; None: none is.
    """

    fallbacks: tuple[DecodePlan, ...] = ()
    compression_ratio: float | None = None
    token_compression_ratio: float | None = None
    logprob: float | None = None
    no_speech: float | None = None


NO_GATES = Gates()


def with_beams(given: GenerationParameters, num_beams: int) -> GenerationParameters:
    """Return the parameters with CTranslate2's beam search where they leave the search open.

    They do if nothing but thresholds is given, so it is a first attempt of requests with gates.
    """
    if _names(given).difference(_THRESHOLDS):
        return given
    return replace(given, num_beams=num_beams, patience=1.0)


def make_gates(
    parameters: GenerationParameters,
    plan: DecodePlan,
    warnings: tuple[str, ...] = (),
    *,
    prompt_length: int,
) -> tuple[Gates, tuple[str, ...]]:
    """Return the gates of a request, and a warning for each parameter without effect.

    Args:
        parameters: The request's parameters.
        plan: What `make_plan` made of them for the first attempt.
        warnings: Its warnings; each begins with the name of a parameter.
        prompt_length: Tokens of the prompt.

    Raises:
        InvalidOption: A temperature contradicts another parameter.
    """
    names = _names(parameters)
    has_list = isinstance(parameters.temperature, tuple)
    thresholds = names.intersection(_THRESHOLDS)
    if names and not thresholds and not has_list:
        return NO_GATES, warnings
    temperatures: Sequence[float] = ()
    if isinstance(parameters.temperature, tuple):
        temperatures = parameters.temperature
    elif names == thresholds:
        temperatures = TEMPERATURES
    attempts = [_plan_at(one, parameters, plan, prompt_length) for one in temperatures[1:]]
    of_tokens = parameters.compression_ratio_threshold
    gates = Gates(
        fallbacks=tuple(fallback for fallback, _ in attempts),
        compression_ratio=COMPRESSION_RATIO if of_tokens is None else None,
        token_compression_ratio=of_tokens,
        logprob=_or(parameters.logprob_threshold, LOGPROB),
        no_speech=_or(parameters.no_speech_threshold, NO_SPEECH),
    )
    # What the first attempt does not use may have an effect on the others.
    idle = [warning for warning in warnings if all(_name(warning) in more for _, more in attempts)]
    if of_tokens is not None and not attempts:
        why = "it needs temperature as a list, or no other parameters"
        idle.append(f"compression_ratio_threshold has no effect: {why}")
    return gates, tuple(idle)


def _plan_at(
    temperature: float, given: GenerationParameters, first: DecodePlan, prompt_length: int
) -> tuple[DecodePlan, set[str]]:
    """Return the plan at a temperature, and the parameters that have no effect there.

    Above 0 it samples with one beam, as HF and openai/whisper do. The draws are seeded, so that the
    same request gives the same words, unless the first attempt is drawn without a seed.
    """
    given = replace(given, temperature=temperature, do_sample=None)
    if temperature > 0:
        given = replace(given, num_beams=None, num_beam_groups=None)
    plan, warnings = make_plan(given, timestamps=first.timestamps, prompt_length=prompt_length)
    if plan.strategy is Strategy.SAMPLE and plan.seed is None and first.is_deterministic:
        plan = replace(plan, seed=0)
    # The exact lane seeds its draws, and takes chunks with plans of their own.
    plan = replace(plan, is_exact=True, token_logprobs=first.token_logprobs)
    return plan, set(map(_name, warnings))


def _names(given: GenerationParameters) -> set[str]:
    """Return the parameters that are given, without those that change no search."""
    return {name for name, value in vars(given).items() if value is not None}.difference(_NO_CHOICE)


def _name(warning: str) -> str:
    return warning.partition(" ")[0]


def _or(given: float | None, default: float) -> float:
    return default if given is None else given
