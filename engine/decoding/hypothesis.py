"""What decoding a chunk gives: tokens, and how sure the model is of them."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Hypothesis:
    """The answer for one chunk.

    Attributes:
        tokens: The generated tokens, end of text left out.
        avg_logprob: Sum of the log-probabilities of the generated tokens, end of text included,
            divided by their number plus one, as openai/whisper's `DecodingResult` has it.
            Probabilities are those after suppression and before temperature. HF's beam searches
            do not normalise again after suppression, and neither does their sum here. Minus
            infinity for an empty answer of CTranslate2's beam search, which gives no sum.
        no_speech_prob: Probability of <|nospeech|> at the start of the transcript, 0 to 1; 0 where
            the vocabulary has no such token.
        temperature: Temperature of sampling; 0 where nothing is sampled.
        token_logprobs: Log-probability of each of `tokens`, by the same probabilities as
            `avg_logprob`; empty if the plan does not ask for them.
    """

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    temperature: float = 0.0
    token_logprobs: tuple[float, ...] = ()

    def until(self, num_tokens: int) -> Hypothesis:
        """Return it with the first tokens only, and the confidence of all."""
        return replace(
            self,
            tokens=self.tokens[:num_tokens],
            token_logprobs=self.token_logprobs[:num_tokens],
        )


def average_logprob(sum_logprob: float, num_tokens: int) -> float:
    """Return `Hypothesis.avg_logprob` for `num_tokens` tokens, end of text not counted."""
    return sum_logprob / (num_tokens + 1)
