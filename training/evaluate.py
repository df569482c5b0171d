"""Evaluates an exported model: word error rate, segment times, silence."""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from training.decoding import Answer, Recognizer
from training.evaluation_sets import Item, Place, load_evaluation
from training.scoring import WordErrors

TIME_TOLERANCE_S = 0.25
EVALUATION_SEED = 2024
ITEMS_AT_ONCE = 16
RANDOM_WORDS = "sentences: random"  # trained on and shown, but not counted in "sentences"


@dataclass(frozen=True)
class Figure:
    """One line of the result table: a rate and what it is a rate of."""

    name: str
    metric: str
    percent: float
    count: int
    bar: str = ""


def count_timely(true: tuple[Place, ...], found: tuple[Place, ...]) -> int:
    """Return how many true places are each matched by a different segment within the tolerance."""
    free = list(found)
    timely = 0
    for place in true:
        for segment in free:
            start_error_s = abs(segment.start_s - place.start_s)
            end_error_s = abs(segment.end_s - place.end_s)
            if max(start_error_s, end_error_s) <= TIME_TOLERANCE_S:
                free.remove(segment)
                timely += 1
                break
    return timely


def summarize(items: list[Item], answers: list[Answer]) -> list[Figure]:
    """Return the result table's lines."""
    groups: dict[str, list[tuple[Item, Answer]]] = defaultdict(list)
    for item, answer in zip(items, answers, strict=True):
        groups[item.group].append((item, answer))
    return [*_word_figures(groups), *_time_figures(groups), *_silence_figures(groups)]


def _select(groups: dict[str, list[tuple[Item, Answer]]], prefix: str) -> list[tuple[Item, Answer]]:
    return [pair for name, pairs in groups.items() if name.startswith(prefix) for pair in pairs]


def _word_figures(groups: dict[str, list[tuple[Item, Answer]]]) -> Iterator[Figure]:
    bars = {"sentences": "10 % or less", "sentences: digits": "3 % or less"}
    names = ["sentences", *(name for name in groups if not name.startswith("no speech"))]
    for name in names:
        pairs = _select(groups, name)
        if name == "sentences":
            pairs = [pair for pair in pairs if pair[0].group != RANDOM_WORDS]
        plain, timed = WordErrors(), WordErrors()
        for item, answer in pairs:
            plain.add(item.text, answer.text)
            timed.add(item.text, answer.timed_text)
        yield Figure(name, "WER", plain.rate * 100, len(pairs), bars.get(name, ""))
        yield Figure(name, "WER with timestamps", timed.rate * 100, len(pairs))


def _time_figures(groups: dict[str, list[tuple[Item, Answer]]]) -> Iterator[Figure]:
    bars = {"windows": "90 % or more"}
    for name in ("windows", *(n for n in groups if n.startswith("windows")), "sentences"):
        pairs = _select(groups, name)
        timely = sum(count_timely(item.places, answer.segments) for item, answer in pairs)
        count = sum(len(item.places) for item, _ in pairs)
        metric = "start and end within 0.25 s"
        yield Figure(name, metric, 100 * timely / max(1, count), count, bars.get(name, ""))


def _silence_figures(groups: dict[str, list[tuple[Item, Answer]]]) -> Iterator[Figure]:
    for name in ("no speech", *(n for n in groups if n.startswith("no speech"))):
        pairs = _select(groups, name)
        for metric, texts in (
            ("empty text", [answer.text for _, answer in pairs]),
            ("empty text with timestamps", [answer.timed_text for _, answer in pairs]),
        ):
            empty = sum(not text.strip() for text in texts)
            bar = "95 % or more" if name == "no speech" else ""
            yield Figure(name, metric, 100 * empty / max(1, len(texts)), len(texts), bar)


def evaluate_model(model_folder: Path, corpora: Path, stride: int = 1) -> list[Figure]:
    """Run an exported model over the evaluation sets and return the result table.

    Args:
        model_folder: A CTranslate2 folder.
        corpora: The corpora that `make_corpora` wrote.
        stride: Evaluate every `stride`-th item only, for a quick look.
    """
    items = load_evaluation(corpora, EVALUATION_SEED)[::stride]
    with Recognizer(model_folder) as recognizer, ThreadPoolExecutor(ITEMS_AT_ONCE) as pool:
        answers = list(pool.map(recognizer.answer, items))
    _write_errors(items, answers, corpora.parent / "errors.txt")
    return summarize(items, answers)


def _write_errors(items: list[Item], answers: list[Answer], path: Path) -> None:
    """Write reference and answers of every item with an error to a file, for inspection."""
    lines = [
        f"{item.group}\t{item.text}\t{answer.text}\t{answer.timed_text}"
        for item, answer in zip(items, answers, strict=True)
        if item.text != answer.text or item.text != answer.timed_text
    ]
    path.write_text("\n".join(lines) + "\n")


def format_table(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows = ["| set | figure | % | of | bar |", "|---|---|--:|--:|---|"]
    rows += [f"| {f.name} | {f.metric} | {f.percent:.1f} | {f.count} | {f.bar} |" for f in figures]
    return "\n".join(rows)


def write_results(figures: list[Figure], path: Path) -> None:
    """Write the figures as JSON."""
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--model", type=Path, default=Path("training/runs/demo_model"))
    parser.add_argument("--stride", type=int, default=1)
    arguments = parser.parse_args()
    results = evaluate_model(arguments.model, arguments.runs / "corpora", arguments.stride)
    print(format_table(results))
    if arguments.stride == 1:
        write_results(results, arguments.runs / "results.json")
