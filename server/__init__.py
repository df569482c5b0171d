"""The gRPC edge and the command line. Knows the engine only through its public names."""

from talkmill.server.client import Client
from talkmill.server.config import ServerConfig
from talkmill.server.lifecycle import BackgroundServer, Server, serve

__all__ = ["BackgroundServer", "Client", "Server", "ServerConfig", "serve"]
