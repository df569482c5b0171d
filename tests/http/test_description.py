"""The OpenAPI description lists what the server serves, and nothing else."""

from __future__ import annotations

from starlette.routing import Route, WebSocketRoute

from fakes import FakeModel, loaded, small_config
from talkmill.engine import Engine
from talkmill.server import ServerConfig
from talkmill.server.auth import Access
from talkmill.server.gateway import Gateway
from talkmill.server.http.app import make_app
from talkmill.server.http.description import describe
from talkmill.server.metrics import Metrics

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def test_the_description_has_exactly_the_routes_of_the_app(model: FakeModel) -> None:
    config = ServerConfig()
    engine = Engine(small_config(), model=loaded(model))
    app = make_app(Gateway(engine, Access(config), Metrics(engine), config), config)

    served = set()
    for route in app.routes:
        if isinstance(route, WebSocketRoute):  # OpenAPI knows no WebSockets
            assert route.path == "/v1/realtime"
            continue
        assert isinstance(route, Route)
        assert route.methods
        # `path_format` is the path without converters: `{model}` for `{model:path}`.
        served |= {(route.path_format, method) for method in route.methods - {"HEAD"}}
    described = {
        (path, method.upper())
        for path, item in describe()["paths"].items()
        for method in item.keys() & METHODS
    }

    assert described == served
    assert ("/models/{model}/pipeline/automatic-speech-recognition", "POST") in served
