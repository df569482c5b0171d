from __future__ import annotations

import os

# Before NumPy is there: its matrices are small, and threads of its own would fight for the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from audio_files import decode_file
from fakes import DEMO_FOLDER, FakeModel, demo_tokenizer, loaded, small_config
from served import Call, ModelThatCounts, Send, Serve, Served
from talkmill.engine import Engine, LoadedModel
from talkmill.engine.model.tokenizer import WhisperTokenizer
from talkmill.engine.types import Samples
from talkmill.server import BackgroundServer, ServerConfig

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache folder: earlier tuning on this machine must not change the tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def speech() -> Samples:
    """11 s of real speech, 16 kHz mono: jfk.flac."""
    samples = decode_file(DATA / "jfk.flac")
    samples.flags.writeable = False
    return samples


@pytest.fixture(scope="session")
def speech_file() -> bytes:
    """jfk.flac itself, as bytes."""
    return (DATA / "jfk.flac").read_bytes()


@pytest.fixture(scope="session")
def sample() -> bytes:
    """The recording that ships with the demo model."""
    return (DEMO_FOLDER / "sample.flac").read_bytes()


@pytest.fixture(scope="session")
def sample_text() -> str:
    """What is said in `sample`."""
    return (DEMO_FOLDER / "sample.txt").read_text(encoding="utf-8").strip()


@pytest.fixture(scope="session")
def demo() -> Iterator[BackgroundServer]:
    """A server with the demo model, over gRPC and HTTP."""
    settings = small_config(encoder_windows=(5,), cache_bytes=2**20).model_dump()
    config = ServerConfig.model_validate({**settings, "port": 0, "http_port": 0})
    with BackgroundServer(config) as server:
        yield server


@pytest.fixture(scope="session")
def tokenizer() -> WhisperTokenizer:
    """The demo model's vocabulary."""
    return demo_tokenizer()


@pytest.fixture
def model(tokenizer: WhisperTokenizer) -> Iterator[FakeModel]:
    """A model without weights; `engine` runs on it."""
    fake = FakeModel(tokenizer)
    yield fake
    fake.release()


@pytest.fixture
def engine(model: FakeModel) -> Iterator[Engine]:
    """A started engine on `model`: one worker, batches of up to 4."""
    with Engine(small_config(), model=loaded(model)) as engine:
        model.forget()  # the warm-up
        yield engine
        model.release()


@pytest.fixture
def counting_model(model: FakeModel) -> ModelThatCounts:
    """`model`, ready for use, which counts the requests that arrive."""
    return ModelThatCounts(**vars(loaded(model)))


@pytest.fixture
def server_config() -> Callable[..., ServerConfig]:
    """Makes settings of a small server on a free port, with others on top."""

    def make(**settings: object) -> ServerConfig:
        small = small_config().model_dump()
        # A server that loads refuses at once: no test is to wait for that.
        own = {"port": 0, "loading_wait_s": 0}
        return ServerConfig.model_validate({**small, **own, **settings})

    return make


@pytest.fixture
def serve(model: FakeModel, server_config: Callable[..., ServerConfig]) -> Iterator[Serve]:
    """Starts servers with the settings given, on `model` or on another; stops them at the end."""
    with ExitStack() as stack:

        def start(loaded_model: LoadedModel | None = None, **settings: object) -> Served:
            ready = loaded_model or loaded(model)
            replica = ready.replicas[0]
            assert isinstance(replica, FakeModel)
            background = stack.enter_context(
                BackgroundServer(server_config(**settings), model=ready)
            )
            stack.callback(replica.release)
            replica.forget()  # the warm-up
            channel = stack.enter_context(grpc.insecure_channel(background.address))
            return Served(background, replica, channel)

        yield start


@pytest.fixture(params=["unary", "stream"])
def send(request: pytest.FixtureRequest) -> Send:
    """Sends audio to a server, by each of the two RPCs."""
    name = request.param

    def through(served: Served, audio: bytes, **options: object) -> Call:
        call: Call = getattr(served, name)(audio, **options)
        return call

    return through
