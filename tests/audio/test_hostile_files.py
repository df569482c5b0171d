"""Files that lie break nothing: no crash, no hang, no error but our own, bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_audio import decode
from hostile_files import hostile_file

SCRIPT = Path(__file__).parents[1] / "fuzz_audio.py"
SECONDS = int(os.environ.get("TALKMILL_FUZZ_S", "30"))

pytestmark = pytest.mark.usefixtures("quiet_ffmpeg")


# Boxes of an MP4 that reach beyond 2 ** 63 bytes.
BROKE = (349_704, 434_366, 452_775)


@pytest.mark.parametrize("seed", [*range(100), *BROKE])
def test_a_damaged_file_is_decoded_or_refused(seed: int) -> None:
    assert decode(hostile_file(seed)) in ("transcribed", "refused")


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS + 300)
@pytest.mark.parametrize("where", [[], ["--served"]], ids=["decoder", "server"])
def test_nothing_breaks_for_some_time(where: list[str]) -> None:
    command = [sys.executable, str(SCRIPT), "--seconds", str(SECONDS), *where]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr + ended.stdout
