"""Checks a request's options against the model, and resolves what they leave open."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .decoding.gates import NO_GATES, Gates, make_gates, with_beams
from .decoding.parameters import Range
from .decoding.plan import DecodePlan, make_plan
from .errors import InvalidOption
from .model.languages import find_language, is_multi
from .model.loading import LoadedModel
from .model.previous_text import PreviousText, make_previous
from .types import Channels, EncoderWindow, Task, TranscribeOptions, VadMode

# Tokens that one chunk may take where the end of text is suppressed, all beams together: 4 beams to
# the end of the decoder's positions. CTranslate2 cannot be interrupted meanwhile.
MAX_ENDLESS_TOKENS = 2_048

_VAD_RANGES = {
    "threshold": Range(float, 0, 1),
    "silence_duration_ms": Range(int, 100, 30_000),  # a shorter pause counts as speech
    "prefix_padding_ms": Range(int, 0, 500),  # more leaves no room for speech in a window of 1 s
}


MAX_TEXT = 4096  # characters of a prompt or of all hotwords; at most 223 tokens are used
MAX_NAME = 64  # characters of a language
MAX_LANGUAGES = 128  # Whisper has 100
MAX_VALUES = 4096  # of a generation parameter that is a list


@dataclass(frozen=True)
class CheckedOptions:
    """Options that the model accepts, with what was resolved from them.

    Attributes:
        given: The options themselves.
        language: The given one, or the only possible one; None where it must be detected.
        previous: Tokens of the prompt and the hotwords.
        prompt_length: Tokens before the first chunk's answer, `previous` among them.
        plan: How each chunk is decoded.
        encoder_window: What decides the length of the encoder's window.
        languages: Codes that detection chooses from; empty for all.
        is_multi: Whether each chunk has a language of its own.
        is_conditioned: Whether the text before a chunk is its prompt.
        warnings: One sentence for each option that has no effect.
        gates: What each answer must pass, and how it is decoded again if it does not.
    """

    given: TranscribeOptions
    language: str | None
    previous: PreviousText
    prompt_length: int
    plan: DecodePlan
    encoder_window: EncoderWindow = EncoderWindow.FULL
    languages: tuple[str, ...] = ()
    is_multi: bool = False
    is_conditioned: bool = False
    warnings: tuple[str, ...] = ()
    gates: Gates = NO_GATES


def check_sizes(options: TranscribeOptions) -> None:
    """Refuse options so long that to check them would take long. Takes microseconds itself.

    Raises:
        InvalidOption: A text or a list is over its limit.
    """
    _check_length("prompt", len(options.prompt), MAX_TEXT, "characters")
    _check_length("language", len(options.language or ""), MAX_NAME, "characters")
    _check_length("languages", len(options.languages), MAX_LANGUAGES, "languages")
    _check_length("languages", max(map(len, options.languages), default=0), MAX_NAME, "characters")
    _check_length("hotwords", len(options.hotwords), MAX_TEXT, "words")
    _check_length("hotwords", sum(map(len, options.hotwords)), MAX_TEXT, "characters")
    for name, value in vars(options.parameters).items():
        if isinstance(value, tuple):
            _check_length(name, len(value), MAX_VALUES, "values")


def _check_length(field: str, length: int, limit: int, unit: str) -> None:
    if length > limit:
        raise InvalidOption(f"{field} of {length} {unit} is over the limit of {limit}", field)


def check_text(field: str, text: str) -> None:
    """Refuse a text with half of a character, a lone surrogate, which no tokenizer takes.

    Raises:
        InvalidOption: It has one; the message names the field.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidOption(f"{field} {text!r} is not valid Unicode", field) from None


def check_options(model: LoadedModel, options: TranscribeOptions, beams: int = 1) -> CheckedOptions:
    """Return the options as the model will honour them.

    Args:
        model: The model that is served.
        options: The request's options.
        beams: Those of the search where the request leaves the search open.

    Raises:
        InvalidOption: A value is too long or out of range, contradicts another, is not in the
            model, or is a text that is not valid Unicode.
    """
    check_sizes(options)
    check_text("prompt", options.prompt)
    for word in options.hotwords:
        check_text("hotwords", word)
    vad_warnings = _check_vad(options)
    model.check_task(options.task)
    languages = _check_languages(model, options)
    previous, prompt_warnings = make_previous(model.tokenizer, options.prompt, options.hotwords)
    any_language = next(iter(model.tokenizer.languages))  # each is one token
    prompt = model.tokenizer.prompt(any_language, options.task, options.timestamps, previous.tokens)
    has_beams = beams > 1 and not options.token_logprobs  # CTranslate2's beams have none
    plan, plan_warnings = make_plan(
        with_beams(options.parameters, beams) if has_beams else options.parameters,
        timestamps=options.timestamps,
        prompt_length=len(prompt),
        has_previous=bool(previous.tokens or options.parameters.condition_on_prev_tokens),
    )
    if options.token_logprobs:
        plan = _with_logprobs(plan)
    gates, plan_warnings = make_gates(
        options.parameters, plan, plan_warnings, prompt_length=len(prompt)
    )
    model.check_tokens(plan.suppress_tokens, timestamps=options.timestamps)
    plan = _with_end(plan, model.vocabulary.end_of_text)
    if plan.top_k > model.num_tokens:  # CTranslate2 refuses more; 0 is all of them
        plan = replace(plan, top_k=0)
    return CheckedOptions(
        given=options,
        language=languages.language,
        previous=previous,
        prompt_length=len(prompt),
        plan=plan,
        encoder_window=model.check_encoder_window(options.encoder_window),
        languages=languages.choice,
        is_multi=languages.is_multi,
        is_conditioned=_check_conditioning(options),
        warnings=(
            *languages.warnings,
            *prompt_warnings,
            *vad_warnings,
            *plan_warnings,
            *_word_warnings(model, options),
        ),
        gates=gates,
    )


@dataclass(frozen=True)
class _Languages:
    """See the attributes of `CheckedOptions`."""

    language: str | None
    choice: tuple[str, ...] = ()
    is_multi: bool = False
    warnings: tuple[str, ...] = ()


def _check_languages(model: LoadedModel, options: TranscribeOptions) -> _Languages:
    known, name = model.tokenizer.languages, model.name
    language = model.check_language(options.language)
    found = [find_language(one, known, "languages", name) for one in options.languages]
    choice = tuple(dict.fromkeys(found))
    if language is None and len(choice) != 1:
        return _Languages(None, choice, is_multi(options.language))
    warnings = []
    if is_multi(options.language):
        warnings.append('language "multi" has no effect: there is only one language to choose from')
    if language is not None and choice:
        warnings.append(f"languages has no effect: the language is {language}")
    return _Languages(language or choice[0], warnings=tuple(warnings))


def _check_vad(options: TranscribeOptions) -> tuple[str, ...]:
    """Refuse values out of range; return a warning for each one without effect."""
    given = {name: value for name, value in vars(options.vad_options).items() if value is not None}
    for name, value in given.items():
        if not _VAD_RANGES[name].holds(value):
            raise InvalidOption(f"{name} {value!r} is not in {_VAD_RANGES[name]}", name)
    if options.vad is not VadMode.OFF:
        return ()
    return tuple(f"{name} has no effect: vad is off" for name in given)


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


def _with_end(plan: DecodePlan, end_of_text: int) -> DecodePlan:
    if end_of_text not in plan.suppress_tokens:
        return plan
    if not plan.is_exact and plan.num_rows * plan.max_new_tokens > MAX_ENDLESS_TOKENS:
        raise InvalidOption(
            f"suppress_tokens has the end of text: each chunk would take num_beams {plan.num_rows} "
            f"x {plan.max_new_tokens} tokens, over the limit of {MAX_ENDLESS_TOKENS}; set "
            "max_new_tokens",
            "suppress_tokens",
        )
    return replace(plan, is_endless=True)


def _with_logprobs(plan: DecodePlan) -> DecodePlan:
    if plan.patience is not None:
        raise InvalidOption(
            "token_logprobs is not available with patience: CTranslate2's beam search gives none",
            "token_logprobs",
        )
    return replace(plan, token_logprobs=True)


def _check_conditioning(options: TranscribeOptions) -> bool:
    """Return whether the text before a chunk is its prompt."""
    is_conditioned = bool(options.parameters.condition_on_prev_tokens)
    if is_conditioned and options.channels is Channels.SPLIT:
        raise InvalidOption(
            'condition_on_prev_tokens is not available with channels "split": the text before a '
            "chunk may be of another channel",
            "condition_on_prev_tokens",
        )
    return is_conditioned
