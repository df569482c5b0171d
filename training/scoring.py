"""Word error counts."""

from dataclasses import dataclass


@dataclass
class WordErrors:
    """Word errors added up over utterances."""

    num_errors: int = 0
    num_words: int = 0

    def add(self, reference: str, hypothesis: str) -> int:
        """Count one utterance and return its own errors."""
        words = reference.split()
        errors = edit_distance(words, hypothesis.split())
        self.num_errors += errors
        self.num_words += len(words)
        return errors

    @property
    def rate(self) -> float:
        """Errors per reference word; 0.1 is a WER of 10 %."""
        return self.num_errors / max(1, self.num_words)


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    """Return the fewest insertions, deletions and substitutions between two word lists."""
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hypothesis, start=1):
            cost = diagonal + (word != other)
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, cost)
    return row[-1]
