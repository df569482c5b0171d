"""The demo model, loaded once."""

from __future__ import annotations

import pytest

from fakes import small_config
from talkmill.engine.model.loading import LoadedModel, load_model


@pytest.fixture(scope="session")
def demo() -> LoadedModel:
    config = small_config()
    return load_model(config)
