"""The gRPC edge and the command line. Knows the engine only through its public names."""

from .client import Client
from .config import ServerConfig
from .lifecycle import BackgroundServer, Server, serve

__all__ = ["BackgroundServer", "Client", "Server", "ServerConfig", "serve"]
