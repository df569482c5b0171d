"""The server over gRPC and HTTP, its client and the command line. Owns all network code."""

from .client import Client
from .config import ServerConfig
from .lifecycle import BackgroundServer, Server
from .process import serve

__all__ = ["BackgroundServer", "Client", "Server", "ServerConfig", "serve"]
