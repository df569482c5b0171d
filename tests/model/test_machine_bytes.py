from __future__ import annotations

from pathlib import Path

import pytest

from talkmill.engine.model.device import machine_bytes


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_of_a_container_is_its_limit(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("1000000\n", encoding="ascii")
    assert machine_bytes(tmp_path) == 1_000_000


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_container_without_a_limit_has_the_memory_of_the_machine(
    limit: str, tmp_path: Path
) -> None:
    (tmp_path / "memory.max").write_text(limit, encoding="ascii")
    assert machine_bytes(tmp_path) == machine_bytes(tmp_path / "nothing") > 2**20
