"""The speech-to-text clients of LiveKit and Pipecat, each as an agent has it, on the demo model."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from audio_files import decode_file
from fakes import DEMO_FOLDER, PATIENCE_S
from realtime_line import at_24_khz
from talkmill.server import BackgroundServer

AGENTS_PYTHON = "TALKMILL_TEST_AGENTS"
"""Names a Python with the packages: see .ci/run. They want other versions than the tests."""

LIVEKIT = """
import asyncio, json, sys
from livekit import rtc
from livekit.agents import stt
from livekit.agents.utils import http_context
from livekit.plugins import openai

async def main(base_url, path, num_words):
    num_left = int(num_words)
    async with http_context.open():
        client = openai.STT(
            model="whisper-1", language="en", base_url=base_url, api_key="none", use_realtime=True
        )
        stream = client.stream()
        data = open(path, "rb").read()

        async def push():
            for at in range(0, len(data), 4800):
                piece = data[at : at + 4800]
                stream.push_frame(rtc.AudioFrame(piece, 24_000, 1, len(piece) // 2))
                await asyncio.sleep(0.1)
            stream.end_input()

        pushing = asyncio.create_task(push())
        async for event in stream:
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                text = event.alternatives[0].text
                print("final", json.dumps(text), flush=True)
                num_left -= len(text.split())
                if num_left <= 0:  # else it waits for the server to close
                    break
        await pushing
        await stream.aclose()
        await client.aclose()

asyncio.run(main(*sys.argv[1:]))
"""
PIPECAT = """
import asyncio, json, sys
from pipecat.frames.frames import EndFrame, InputAudioRawFrame, TranscriptionFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.stt import OpenAIRealtimeSTTService

class Printer(FrameProcessor):
    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            print("final", json.dumps(frame.text), flush=True)
        await self.push_frame(frame, direction)

async def main(base_url, path, num_words):
    service = OpenAIRealtimeSTTService(
        api_key="none",
        base_url=base_url.replace("http", "ws", 1) + "/realtime",
        settings=OpenAIRealtimeSTTService.Settings(model="whisper-1"),
        turn_detection={"type": "server_vad"},
    )
    params = PipelineParams(audio_in_sample_rate=24_000)
    task = PipelineTask(Pipeline([service, Printer()]), params=params)
    data = open(path, "rb").read()

    async def push():
        while not service._session_ready:  # it drops what comes before
            await asyncio.sleep(0.1)
        for at in range(0, len(data), 4800):
            await task.queue_frame(InputAudioRawFrame(data[at : at + 4800], 24_000, 1))
            await asyncio.sleep(0.1)
        await task.queue_frame(EndFrame())

    pushing = asyncio.create_task(push())
    await PipelineRunner(handle_sigint=False).run(task)
    await pushing

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow  # they speak at their own pace
@pytest.mark.parametrize("script", [LIVEKIT, PIPECAT], ids=["livekit", "pipecat"])
def test_an_agent_hears_what_is_said(
    demo: BackgroundServer, script: str, sample_text: str, tmp_path: Path
) -> None:
    python = os.environ.get(AGENTS_PYTHON)
    if python is None:
        pytest.skip(f"needs {AGENTS_PYTHON}: a Python with the packages of .ci/run")
    sound = decode_file(DEMO_FOLDER / "sample.flac")
    path = tmp_path / "sample.pcm"
    path.write_bytes(at_24_khz(np.concatenate([sound, np.zeros(3 * 16_000, np.float32)])))

    num_words = str(len(sample_text.split()))
    done = subprocess.run(
        [python, "-c", script, f"{demo.http_address}/v1", str(path), num_words],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        check=False,
    )

    finals = [line for line in done.stdout.splitlines() if line.startswith("final ")]
    assert " ".join(json.loads(one.removeprefix("final ")) for one in finals) == sample_text, done
