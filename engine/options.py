"""Whether a request's options can be had from the model that is served, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .decoding.plan import DecodePlan, make_plan
from .errors import UnknownModel
from .model.loading import LoadedModel
from .model.tokenizer import MAX_PREVIOUS_TOKENS
from .types import TranscribeOptions


@dataclass(frozen=True)
class CheckedOptions:
    """What a request's options come to on the model that is served.

    Attributes:
        language: Given, or the model's only one; None where it must be detected.
        previous: Tokens of the prompt.
        prompt_length: Tokens before each chunk's answer, `previous` among them.
        plan: How each chunk is decoded.
        warnings: What of it has no effect.
    """

    language: str | None
    previous: tuple[int, ...]
    prompt_length: int
    plan: DecodePlan
    warnings: tuple[str, ...]

    def question(self, options: TranscribeOptions) -> str | None:
        """Return all that the words depend on but the audio; None where they are drawn afresh."""
        if not self.plan.is_deterministic:
            return None
        return repr((self.language, options.task, self.previous, options.vad, self.plan))


def check_options(model: LoadedModel, options: TranscribeOptions, name: str) -> CheckedOptions:
    """Return what options come to, or refuse them.

    Args:
        model: The model that is served.
        options: What is asked for.
        name: The model that the caller expects; empty for any.

    Raises:
        RequestError: Something that is asked for cannot be.
    """
    if name and name != model.name:
        raise UnknownModel(f"model {name!r} is not served here: {model.name}", "model")
    model.check_task(options.task)
    previous, prompt_warnings = _previous(model, options.prompt)
    any_language = next(iter(model.tokenizer.languages))  # each is one token
    prompt = model.tokenizer.prompt(any_language, options.task, options.timestamps, previous)
    plan, plan_warnings = make_plan(
        options.parameters, timestamps=options.timestamps, prompt_length=len(prompt)
    )
    model.check_tokens(plan.suppress_tokens)
    if plan.top_k > model.tokenizer.num_tokens:  # all of them; CTranslate2 takes no more
        plan = replace(plan, top_k=0)
    language = model.check_language(options.language)
    warnings = (*prompt_warnings, *plan_warnings)
    return CheckedOptions(language, previous, len(prompt), plan, warnings)


def _previous(model: LoadedModel, prompt: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    tokens = model.tokenizer.encode(prompt)
    if len(tokens) <= MAX_PREVIOUS_TOKENS:
        return tokens, ()
    warning = f"prompt: only the last {MAX_PREVIOUS_TOKENS} of its {len(tokens)} tokens were used"
    return tokens[-MAX_PREVIOUS_TOKENS:], (warning,)
