"""Checks a request's options against the model, and resolves what they leave open."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .decoding.gates import NO_GATES, Gates, make_gates
from .decoding.plan import DecodePlan, make_plan
from .errors import UnknownModel, UnsupportedOption
from .model.loading import LoadedModel
from .model.tokenizer import MAX_PREVIOUS_TOKENS
from .types import Channels, EncoderWindow, TranscribeOptions


@dataclass(frozen=True)
class CheckedOptions:
    """Options that the model accepts, with what was resolved from them.

    Attributes:
        given: The options themselves.
        language: The given one, or the model's only one; None where it must be detected.
        previous: Tokens of the prompt.
        prompt_length: Tokens before each chunk's answer, `previous` among them.
        plan: How each chunk is decoded.
        encoder_window: What decides the length of the encoder's window.
        warnings: One sentence for each option that has no effect.
        gates: What each answer must pass, and how it is decoded again if it does not.
    """

    given: TranscribeOptions
    language: str | None
    previous: tuple[int, ...]
    prompt_length: int
    plan: DecodePlan
    encoder_window: EncoderWindow = EncoderWindow.FULL
    warnings: tuple[str, ...] = ()
    gates: Gates = NO_GATES


def check_options(
    model: LoadedModel, options: TranscribeOptions, model_name: str = ""
) -> CheckedOptions:
    """Return the options as the model will honour them.

    Args:
        model: The model that is served.
        options: The request's options.
        model_name: The model that the caller expects; empty for any.

    Raises:
        UnknownModel: `model_name` is not the model that is served.
        InvalidOption: A value is out of range, contradicts another, or is not in the model.
    """
    if model_name and model_name != model.name:
        raise UnknownModel(f"model {model_name!r} is not served here, {model.name} is", "model")
    _refuse_what_is_missing(options)
    model.check_task(options.task)
    previous, prompt_warnings = _previous(model, options.prompt)
    any_language = next(iter(model.tokenizer.languages))  # each is one token
    prompt = model.tokenizer.prompt(any_language, options.task, options.timestamps, previous)
    plan, plan_warnings = make_plan(
        options.parameters, timestamps=options.timestamps, prompt_length=len(prompt)
    )
    gates, plan_warnings = make_gates(
        options.parameters, plan, plan_warnings, prompt_length=len(prompt)
    )
    model.check_tokens(plan.suppress_tokens)
    if plan.top_k > model.tokenizer.num_tokens:  # CTranslate2 refuses more; 0 is all of them
        plan = replace(plan, top_k=0)
    return CheckedOptions(
        given=options,
        language=model.check_language(options.language),
        previous=previous,
        prompt_length=len(prompt),
        plan=plan,
        encoder_window=model.check_encoder_window(options.encoder_window),
        warnings=(*prompt_warnings, *plan_warnings),
        gates=gates,
    )


def _previous(model: LoadedModel, prompt: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    tokens = model.tokenizer.encode(prompt)
    if len(tokens) <= MAX_PREVIOUS_TOKENS:
        return tokens, ()
    warning = f"prompt: only the last {MAX_PREVIOUS_TOKENS} of its {len(tokens)} tokens were used"
    return tokens[-MAX_PREVIOUS_TOKENS:], (warning,)


def _refuse_what_is_missing(options: TranscribeOptions) -> None:
    missing = {
        "return_timestamps": options.words,
        "languages": bool(options.languages),
        "hotwords": bool(options.hotwords),
        "channels": options.channels is not Channels.MIX,
        "token_logprobs": options.token_logprobs,
    }
    for name, is_asked_for in missing.items():
        if is_asked_for:
            raise UnsupportedOption(f"{name}: this value is not supported yet", name)
