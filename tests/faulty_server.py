"""A model that fails as the tone that it hears says, and a server process with it.

As a script: `python faulty_server.py [--hangs-while-loading] NAME=VALUE ...` serves it, with these
settings. Its first line of output ends with the address of gRPC, after the port of HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Sequence

from fakes import FakeModel, heard, loaded, small_config
from talkmill.engine import DeviceLost
from talkmill.engine.types import Features
from talkmill.server import ServerConfig, serve

RAISES, HANGS, RUNS_OUT_OF_MEMORY, LOSES_THE_DEVICE, BREAKS, KILLS_THE_THREAD = range(60, 66)
"""Bands on which `FaultyModel` fails; once it has heard `BREAKS`, it fails on everything."""

HANG_WHILE_LOADING = "--hangs-while-loading"


class ThreadKilled(BaseException):
    """Escapes a loop that catches every `Exception`."""


class FaultyModel(FakeModel):
    """Fails as the band that it hears says."""

    is_broken = False
    hangs = False

    def encode(self, features: Sequence[Features], num_positions: int) -> Features:
        bands = {heard(row) for row in features}
        self.is_broken = self.is_broken or BREAKS in bands
        if self.hangs:
            print("loading", flush=True)
        if HANGS in bands or self.hangs:
            threading.Event().wait()
        if LOSES_THE_DEVICE in bands:
            raise DeviceLost("CUDA failed with error unspecified launch failure")
        if KILLS_THE_THREAD in bands:
            raise ThreadKilled
        if RAISES in bands or self.is_broken:
            raise RuntimeError("the model raises")
        if RUNS_OUT_OF_MEMORY in bands:
            raise RuntimeError("CUDA failed with error out of memory")
        return super().encode(features, num_positions)


def main(*args: str) -> int:
    model = FaultyModel()
    model.hangs = HANG_WHILE_LOADING in args
    pairs = [arg.split("=", 1) for arg in args if arg != HANG_WHILE_LOADING]
    settings = {**small_config().model_dump(), "port": 0, "http_port": 0, **dict(pairs)}
    config = ServerConfig.model_validate(settings)

    def announce(port: int, http_port: int | None) -> None:
        print(http_port, f"127.0.0.1:{port}", flush=True)

    logging.basicConfig(level="INFO")
    return asyncio.run(serve(config, announce, model=loaded(model)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
