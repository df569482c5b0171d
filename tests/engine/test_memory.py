from __future__ import annotations

from pathlib import Path

import pytest

from audio_files import encode_audio
from fakes import FakeModel
from talkmill.engine import Engine
from talkmill.engine.types import Samples

HOURS = 10


def memory_bytes(counter: str) -> int:
    """Return a counter of this process: VmRSS is what it holds, VmHWM the most that it ever did."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{counter}:")[2].split()[0]) * 1024


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="counts memory by /proc")
def test_ten_hours_need_less_than_a_gigabyte(
    engine: Engine, model: FakeModel, speech: Samples, tmp_path: Path
) -> None:
    part = encode_audio(speech, "mp3", "libmp3lame", bit_rate=24_000)
    path = tmp_path / "long.mp3"
    num_parts = HOURS * 3600 * 16_000 // len(speech) + 1
    with path.open("wb") as file:
        for _ in range(num_parts):
            file.write(part)
    before = memory_bytes("VmRSS")
    transcript = engine.transcribe(path.open("rb"))
    assert transcript.duration_s > HOURS * 3600
    assert len(transcript.warnings) == 1  # the packets at the seams, not one warning for each
    assert sum(len(batch.bands) for batch in model.encoded) > HOURS * 3600 / 30 * 0.6
    needed = memory_bytes("VmHWM") - before
    print(f"{needed / 1e6:.0f} MB")
    assert needed < 1e9
