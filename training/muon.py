"""Muon: an optimizer that orthogonalizes the momentum of each matrix before the update.

For a model this small and a training this short it learns markedly faster than AdamW. See Jordan
et al., "Muon: an optimizer for hidden layers" (2024). The scale is Liu et al.'s (2025), so that it
can use AdamW's learning rate.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

# Coefficients of the quintic that pushes every singular value towards 1.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_UPDATE_RMS = 0.2  # about AdamW's


def orthogonalize(matrices: Tensor, num_iterations: int) -> Tensor:
    """Return matrices of the same singular vectors with singular values of about 1.

    Args:
        matrices: float32 of shape (count, rows, columns), rows at most columns.
        num_iterations: Newton-Schulz iterations; 5 is the usual number.
    """
    a, b, c = _QUINTIC
    current: Tensor = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(num_iterations):
        gram = current @ current.mT
        current = a * current + torch.baddbmm(b * gram, gram, gram, alpha=c) @ current
    return current


class Muon(torch.optim.Optimizer):
    """Optimizer for hidden weight matrices; equal shapes are handled together."""

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.05,
        num_iterations: int = 5,
    ) -> None:
        """Group the parameters, which must be two-dimensional, by shape."""
        by_shape: dict[torch.Size, list[torch.nn.Parameter]] = {}
        for parameter in parameters:
            by_shape.setdefault(parameter.shape, []).append(parameter)
        settings = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "num_iterations": num_iterations,
        }
        super().__init__([{"params": group} for group in by_shape.values()], settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply the gradients; `closure` is ignored."""
        for group in self.param_groups:
            directions = []
            for parameter in group["params"]:
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                directions.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
            stacked = torch.stack(directions)
            is_tall = stacked.shape[1] > stacked.shape[2]
            wide = stacked.mT.contiguous() if is_tall else stacked
            updates = orthogonalize(wide, group["num_iterations"])
            updates = updates.mT if is_tall else updates
            scale = _UPDATE_RMS * max(stacked.shape[1:]) ** 0.5
            for parameter, update in zip(group["params"], updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(update, alpha=group["lr"] * scale)
