"""The whole recipe in one command: speech, tokenizer, training, export, evaluation, model card.

    python -m training.recipe --digits FOLDER_OF_FSDD_RECORDINGS

Finished stages are not repeated, so an interrupted run resumes where it stopped.
"""

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

from training.evaluate import evaluate_model, format_table, write_results
from training.export import export_checkpoint
from training.model_card import describe_training, write_model_card
from training.sentences import draw_sentence
from training.synthesis import make_corpora
from training.tokens import train_tokenizer
from training.train import TrainingPlan, train


@dataclass(frozen=True)
class RecipePlan:
    """The sizes and seeds of all stages except the training."""

    num_train_utterances: int = 32_000
    num_held_out_per_category: int = 60
    corpus_seed: int = 7
    tokenizer_seed: int = 3
    num_tokenizer_sentences: int = 40_000


def run_recipe(folder: Path, digits: Path, minutes: float, plan: RecipePlan) -> None:
    """Run every stage that is not finished in `folder`, then the evaluation.

    Args:
        folder: Receives all data, checkpoints, models and results.
        digits: The human digit recordings (FSDD), wave files.
        minutes: Wall time of the training.
        plan: Sizes and seeds.
    """
    make_corpora(
        folder / "corpora",
        digits,
        plan.num_train_utterances,
        plan.num_held_out_per_category,
        plan.corpus_seed,
    )
    make_tokenizer(folder / "tokenizer.json", plan)
    checkpoint = train(folder, TrainingPlan(minutes=minutes))
    model_folder = folder / "demo_model"
    export_checkpoint(checkpoint, folder / "tokenizer.json", folder / "hf", model_folder)
    figures = evaluate_model(model_folder, folder / "corpora")
    write_results(figures, folder / "results.json")
    print(format_table(figures))
    history = describe_training(checkpoint, (folder / "start.pt").exists())
    write_model_card(model_folder, figures, history)


def make_tokenizer(path: Path, plan: RecipePlan) -> None:
    """Train the tokenizer on sentences of the grammar, unless `path` exists."""
    if not path.exists():
        rng = random.Random(plan.tokenizer_seed)
        texts = [draw_sentence(rng).text for _ in range(plan.num_tokenizer_sentences)]
        train_tokenizer(texts).tokenizer.save(str(path))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--digits", type=Path, required=True, help="FSDD's folder of recordings")
    parser.add_argument("--folder", type=Path, default=Path("training/runs"))
    parser.add_argument("--minutes", type=float, default=TrainingPlan.minutes)
    arguments = parser.parse_args()
    run_recipe(arguments.folder, arguments.digits, arguments.minutes, RecipePlan())
