"""The names that the model answers to."""

from __future__ import annotations

from ..engine import Engine
from .status import UnknownModel

MAX_MODEL_NAME = 256  # characters


class ServedModels:
    """The names of one engine's model."""

    def __init__(self, engine: Engine, more_names: tuple[str, ...]) -> None:
        """Take the engine, and what its model answers to beside its own name."""
        self._engine = engine
        self._more_names = more_names

    @property
    def names(self) -> list[str]:
        """All names; the model's own is the first."""
        return list(dict.fromkeys([self._engine.model_name, *self._more_names]))

    def check(self, name: str) -> None:
        """Check that a model is served; an empty name stands for any.

        Raises:
            UnknownModel: It is not served.
        """
        if len(name) > MAX_MODEL_NAME:
            raise UnknownModel(
                f"model: a name of {len(name)} characters is over the limit of {MAX_MODEL_NAME}",
                "model",
            )
        if name and name not in self.names:
            served = ", ".join(self.names)
            raise UnknownModel(f"model {name!r} is not served here; served: {served}", "model")
