"""The training loop: cross entropy on the decoder, CTC on the encoder.

The schedule follows wall time, so a run ends after the given minutes on any machine. A checkpoint
holds everything needed to resume.
"""

import argparse
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.features import SAMPLE_RATE, log_mel
from training.model import ModelShape, Whisper
from training.muon import Muon
from training.scoring import WordErrors
from training.synthesis import Corpus, load_corpus
from training.tokens import SpeechTokenizer, load_tokenizer
from training.warm_start import warm_start
from training.windows import IGNORED, Batch, WindowComposer

WINDOWS_S = (5.0, 10.0, 20.0, 30.0)
EARLY_SHARES = (0.72, 0.20, 0.03, 0.05)
LATE_SHARES = (0.70, 0.18, 0.02, 0.10)
EARLY_PART = 0.3  # of the run: mostly short windows, whose steps cost less and teach as much
LOG_STEPS = 100


@dataclass(frozen=True)
class TrainingPlan:
    """The duration and the hyperparameters of a training run."""

    minutes: float = 77.0
    learning_rate: float = 1.2e-3
    warmup_steps: int = 200
    weight_decay: float = 0.05
    budget_s: float = 96.0
    """Seconds of audio in a step."""
    ctc_weights: tuple[float, float] = (0.5, 0.15)
    """Weight of the CTC loss at the start and at the end."""
    average_decay: float = 0.995
    """Of the moving average of the weights, which is what gets evaluated and exported."""
    checkpoint_minutes: float = 5.0
    evaluation_minutes: float = 10.0
    seed: int = 1


class Trainer:
    """One training run, new or resumed. Not thread-safe."""

    def __init__(self, folder: Path, plan: TrainingPlan) -> None:
        """Set up a run in `folder` (see `train`); resume it if there is a checkpoint."""
        self.plan = plan
        self.checkpoint_path = folder / "checkpoint.pt"
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        torch.manual_seed(plan.seed)
        self.model = Whisper(ModelShape(self.tokenizer.num_tokens))
        self.optimizers = _make_optimizers(self.model, plan)
        self.step, self.elapsed_s = 0, 0.0
        self.average = self._starting_weights(folder)
        corpora = folder / "corpora"
        rng = np.random.default_rng((plan.seed, self.step))
        train, human = load_corpus(corpora / "train"), load_corpus(corpora / "human_train")
        self.composer = WindowComposer(train, human, self.tokenizer, rng)
        self.held_out = load_corpus(corpora / "heldout")
        self._rng = np.random.default_rng((plan.seed, self.step, 1))
        self._losses: list[tuple[float, float]] = []

    @property
    def progress(self) -> float:
        """The completed part of the run, 0 to 1."""
        return min(1.0, self.elapsed_s / (self.plan.minutes * 60))

    def run(self) -> None:
        """Train for the minutes of the plan."""
        last_s = time.monotonic()
        saved_s = evaluated_s = self.elapsed_s
        while self.progress < 1:
            self._train_step()
            now_s = time.monotonic()
            self.elapsed_s += now_s - last_s
            last_s = now_s
            if self.step % LOG_STEPS == 0:
                self._log_losses()
            if self.elapsed_s - saved_s > self.plan.checkpoint_minutes * 60:
                saved_s = self.elapsed_s
                self.save()
            if self.elapsed_s - evaluated_s > self.plan.evaluation_minutes * 60:
                evaluated_s = self.elapsed_s
                print(f"held-out WER {self.quick_wer():.3f}", flush=True)
        self.save()
        print(f"done: {self.step} steps, held-out WER {self.quick_wer():.3f}", flush=True)

    def quick_wer(self, num_utterances: int = 108) -> float:
        """Return the averaged weights' WER on some held-out utterances of every category."""
        model = Whisper(self.model.shape)
        model.load_state_dict(self.average)
        stride = max(1, len(self.held_out.utterances) // num_utterances)
        return held_out_wer(model.eval(), self.tokenizer, self.held_out, stride)

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "shape": asdict(self.model.shape),
            "tokens": self.tokenizer.all_tokens(),
        }
        partial = self.checkpoint_path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint_path)

    def _starting_weights(self, folder: Path) -> dict[str, Tensor]:
        """Fill the model from a checkpoint or a warm start, if any; returns the average's start."""
        if self.checkpoint_path.exists():
            state = torch.load(self.checkpoint_path, weights_only=True)
            self.model.load_state_dict(state["model"])
            for optimizer, optimizer_state in zip(
                self.optimizers, state["optimizers"], strict=True
            ):
                optimizer.load_state_dict(optimizer_state)
            self.step, self.elapsed_s = state["step"], state["elapsed_s"]
            print(f"resumed at step {self.step}, {self.elapsed_s / 60:.1f} min", flush=True)
            average: dict[str, Tensor] = state["average"]
            return average
        if (folder / "start.pt").exists():
            num_copied = warm_start(self.model, self.tokenizer, folder / "start.pt")
            print(f"warm start: {num_copied} token embeddings copied by name", flush=True)
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def _train_step(self) -> None:
        shares = EARLY_SHARES if self.progress < EARLY_PART else LATE_SHARES
        window_s = float(self._rng.choice(WINDOWS_S, p=shares))
        batch = self.composer.batch(window_s, self.plan.budget_s)
        token_loss, ctc_loss = losses(self.model, batch)
        early, late = self.plan.ctc_weights
        self.model.zero_grad()
        (token_loss + (early + (late - early) * self.progress) * ctc_loss).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._learning_rate()
            optimizer.step()
        self.step += 1
        self._update_average()
        self._losses.append((token_loss.item(), ctc_loss.item()))

    def _learning_rate(self) -> float:
        warmup = min(1.0, (self.step + 1) / self.plan.warmup_steps)
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.progress)
        return self.plan.learning_rate * warmup * (cosine + 0.005)

    def _update_average(self) -> None:
        # A smaller decay at first, so that the initial weights do not dominate the average.
        decay = min(self.plan.average_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def _log_losses(self) -> None:
        token_loss, ctc_loss = np.mean(self._losses[-LOG_STEPS:], axis=0)
        print(
            f"step {self.step} {self.elapsed_s / 60:.1f} min loss {token_loss:.3f} "
            f"ctc {ctc_loss:.3f} lr {self._learning_rate():.2e}",
            flush=True,
        )


def _make_optimizers(model: Whisper, plan: TrainingPlan) -> list[torch.optim.Optimizer]:
    """Return Muon for the layers' matrices and AdamW for all else."""
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_hidden_matrix = ".layers." in name and parameter.ndim == 2
            (matrices if is_hidden_matrix else others).append(parameter)
    adamw = torch.optim.AdamW(
        others,
        lr=plan.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=plan.weight_decay,
        fused=True,
    )
    muon = Muon(matrices, lr=plan.learning_rate, weight_decay=plan.weight_decay)
    return [muon, adamw]


def losses(model: Whisper, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the decoder's cross entropy and the encoder's CTC loss, each a scalar."""
    logits, ctc_logits = model(batch.features, batch.inputs)
    wanted = batch.targets != IGNORED
    token_loss = functional.cross_entropy(logits[wanted], batch.targets[wanted])
    num_frames = torch.full((len(batch.characters),), ctc_logits.shape[1])
    lengths = torch.tensor([len(row) for row in batch.characters])
    ctc_loss = functional.ctc_loss(
        ctc_logits.log_softmax(-1).transpose(0, 1),
        torch.cat(batch.characters),
        num_frames,
        lengths,
        reduction="sum",
        zero_infinity=True,
    )
    # Mean per character of the whole batch: in a mean over rows, empty rows would dominate.
    return token_loss, ctc_loss / lengths.sum().clamp(min=1)


def held_out_wer(model: Whisper, tokenizer: SpeechTokenizer, corpus: Corpus, stride: int) -> float:
    """Return the WER of greedy decoding in 10 s windows on every `stride`-th utterance."""
    errors = WordErrors()
    prompt = [
        tokenizer.sot,
        tokenizer.language("en"),
        tokenizer.transcribe,
        tokenizer.notimestamps,
    ]
    lead = SAMPLE_RATE // 5
    chosen = corpus.utterances[::stride]
    for start in range(0, len(chosen), 18):
        rows = chosen[start : start + 18]
        samples = np.zeros((len(rows), 10 * SAMPLE_RATE), np.float32)
        for row, utterance in enumerate(rows):
            audio = corpus.audio(utterance)[: samples.shape[1] - lead]
            samples[row, lead : lead + len(audio)] = audio
        answers = model.transcribe(log_mel(torch.from_numpy(samples)), prompt, tokenizer.eot, 48)
        for utterance, answer in zip(rows, answers, strict=True):
            errors.add(utterance.text, tokenizer.decode(answer))
    return errors.rate


def train(folder: Path, plan: TrainingPlan) -> Path:
    """Train in `folder`, resuming from its checkpoint if there is one; return the checkpoint.

    Args:
        folder: Has `corpora/` and `tokenizer.json`; `start.pt` is used for a warm start if present.
        plan: Duration and hyperparameters.
    """
    trainer = Trainer(folder, plan)
    trainer.run()
    return trainer.checkpoint_path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("training/runs"))
    parser.add_argument("--minutes", type=float, default=TrainingPlan.minutes)
    arguments = parser.parse_args()
    train(arguments.folder, TrainingPlan(minutes=arguments.minutes))
