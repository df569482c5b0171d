"""The server over gRPC and HTTP, its client and the command line. Owns all network code."""

import os

# gRPC would write a line of its own to standard error for each TLS handshake that fails.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from .client import Client
from .config import ServerConfig
from .lifecycle import BackgroundServer, Server
from .process import serve

__all__ = ["BackgroundServer", "Client", "Server", "ServerConfig", "serve"]
