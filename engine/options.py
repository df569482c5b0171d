"""Checks a request's options against the model, and resolves what they leave open."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .decoding.plan import DecodePlan, make_plan
from .errors import InvalidOption, UnknownModel, UnsupportedOption
from .model.loading import LoadedModel
from .model.tokenizer import MAX_PREVIOUS_TOKENS
from .types import Channels, EncoderWindow, Task, TranscribeOptions


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
    """

    given: TranscribeOptions
    language: str | None
    previous: tuple[int, ...]
    prompt_length: int
    plan: DecodePlan
    encoder_window: EncoderWindow = EncoderWindow.FULL
    warnings: tuple[str, ...] = ()


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
        options.parameters,
        timestamps=options.timestamps,
        prompt_length=len(prompt),
        has_previous=bool(previous),
    )
    if options.token_logprobs:
        plan = _with_logprobs(plan)
    model.check_tokens(plan.suppress_tokens, timestamps=options.timestamps)
    if plan.top_k > model.num_tokens:  # CTranslate2 refuses more; 0 is all of them
        plan = replace(plan, top_k=0)
    return CheckedOptions(
        given=options,
        language=model.check_language(options.language),
        previous=previous,
        prompt_length=len(prompt),
        plan=plan,
        encoder_window=model.check_encoder_window(options.encoder_window),
        warnings=(*prompt_warnings, *plan_warnings, *_word_warnings(model, options)),
    )


def _previous(model: LoadedModel, prompt: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    tokens = model.tokenizer.encode(prompt)
    if len(tokens) <= MAX_PREVIOUS_TOKENS:
        return tokens, ()
    warning = f"prompt: only the last {MAX_PREVIOUS_TOKENS} of its {len(tokens)} tokens were used"
    return tokens[-MAX_PREVIOUS_TOKENS:], (warning,)


def _word_warnings(model: LoadedModel, options: TranscribeOptions) -> list[str]:
    if not options.words:
        return []
    warnings = []
    if not model.has_alignment_heads:
        warnings.append(
            f"return_timestamps: {model.name} does not list its alignment heads, so the times of "
            "words come from the upper half of its layers and may be less exact"
        )
    if options.task is Task.TRANSLATE:
        warnings.append(
            "return_timestamps: the words of a translation are not spoken, so their times are rough"
        )
    return warnings


def _with_logprobs(plan: DecodePlan) -> DecodePlan:
    if plan.patience is not None:
        raise InvalidOption(
            "token_logprobs is not available with patience: CTranslate2's beam search gives none",
            "token_logprobs",
        )
    return replace(plan, token_logprobs=True)


def _refuse_what_is_missing(options: TranscribeOptions) -> None:
    missing = {
        "languages": bool(options.languages),
        "hotwords": bool(options.hotwords),
        "channels": options.channels is not Channels.MIX,
    }
    for name, is_asked_for in missing.items():
        if is_asked_for:
            raise UnsupportedOption(f"{name}: this value is not supported yet", name)
