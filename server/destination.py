"""The server that `talkmill transcribe` sends files to, and the command line's options for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import grpc

_PEM = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Destination:
    """A server, and what it wants of a client.

    Attributes:
        address: HOST:PORT.
        token: The bearer token; None if it needs none.
        credentials: For TLS; None if it speaks none.
    """

    address: str
    token: str | None = None
    credentials: grpc.ChannelCredentials | None = None


def destination_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a server to a command, which gets `destination` for them; None without.

    Raises:
        click.UsageError: One of them has no effect without another one.
    """

    @click.option(
        "--server",
        metavar="HOST:PORT",
        help="Send the files to this server instead of transcribing them in this process.",
    )
    @click.option(
        "--token",
        envvar="TALKMILL_TOKEN",
        show_envvar=True,
        help="Bearer token for that server.",
    )
    @click.option("--tls", is_flag=True, help="Speak TLS with it, and trust the usual roots.")
    @click.option(
        "--tls-ca", type=_PEM, help="Speak TLS with it, and trust the roots in this PEM file."
    )
    @click.option(
        "--tls-cert", type=_PEM, help="Speak TLS, and show this client certificate. PEM file."
    )
    @click.option("--tls-key", type=_PEM, help="PEM file with the private key of --tls-cert.")
    @functools.wraps(command)
    def with_destination(
        *args: Any,
        server: str | None,
        token: str | None,
        tls: bool,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        **given: Any,
    ) -> None:
        files = {"--tls-ca": tls_ca, "--tls-cert": tls_cert, "--tls-key": tls_key}
        named = [flag for flag, file in files.items() if file is not None]
        if server is None:
            if tls or named:
                raise click.UsageError(f"{(named or ['--tls'])[0]} has no effect without --server")
            command(*args, destination=None, **given)
            return
        if (tls_cert is None) != (tls_key is None):
            raise click.UsageError("--tls-cert and --tls-key need each other")
        credentials = None
        if tls or named:
            ca, cert, key = (None if file is None else file.read_bytes() for file in files.values())
            credentials = grpc.ssl_channel_credentials(ca, key, cert)
        command(*args, destination=Destination(server, token, credentials), **given)

    return with_destination
