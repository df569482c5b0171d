"""The command line, run in this process."""

from __future__ import annotations

import os

from click.testing import CliRunner, Result

from fakes import DEMO_FOLDER
from talkmill.server.cli import main

SAMPLE = DEMO_FOLDER / "sample.flac"
_SMALL = {"TALKMILL_WORKERS_PER_DEVICE": "1", "TALKMILL_PREPARE_THREADS": "1"}


def run(*args: object, **variables: str) -> Result:
    """Run `talkmill` with these arguments and variables; no other settings of the environment."""
    unset = {name: None for name in os.environ if name.startswith("TALKMILL_")}
    env = {**unset, **_SMALL, **variables}
    result = CliRunner().invoke(main, [str(arg) for arg in args], env=env)
    # Anything but an exit is a traceback in front of the user.
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result
