"""The certificates of TLS, for gRPC and HTTP alike, and how they change while the server runs."""

from __future__ import annotations

import base64
import logging
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from ..engine import ConfigError
from .config import ServerConfig

_PRIVATE_KEY = re.compile(rb"-----BEGIN PRIVATE KEY-----([\w+/=\s]+)-----END")
_EDWARDS = (bytes.fromhex("06032b6570"), bytes.fromhex("06032b6571"))  # Ed25519, Ed448: RFC 8410

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    """What the files held when they were read last."""

    grpc: grpc.ServerCertificateConfiguration
    http: ssl.SSLContext


class Certificates:
    """The server's certificate and key, and the roots of its clients' certificates.

    Connections that are open keep what they began with. Thread-safe.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        """Read the files; see `from_config`."""
        self._cert = cert
        self._key = key
        self._client_ca = client_ca
        self._loaded = self._read()

    @classmethod
    def from_config(cls, config: ServerConfig) -> Certificates | None:
        """Read the files that the settings name; None without TLS.

        Raises:
            ConfigError: A file cannot be read or holds something else, the key does not belong to
                the certificate, or one of the settings needs another one.
        """
        cert, key, client_ca = config.tls_cert, config.tls_key, config.tls_client_ca
        if cert is not None and key is not None:
            return cls(cert, key, client_ca)
        if cert is not None:
            raise ConfigError("tls_key: is missing; tls_cert needs it")
        if key is not None or client_ca is not None:
            given = "tls_client_ca" if key is None else "tls_key"
            raise ConfigError(f"tls_cert: is missing; {given} needs it")
        return None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that `reload` reads."""
        files = (self._cert, self._key)
        return files if self._client_ca is None else (*files, self._client_ca)

    def reload(self) -> None:
        """Read the files again; if they are not valid, keep what holds now and log why."""
        try:
            self._loaded = self._read()
        except ConfigError as error:
            _log.error("the TLS certificates stay as they are: %s", error)
        else:
            _log.info("the TLS certificates are read again")

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Return credentials that take up what `reload` reads, for one gRPC server."""
        current = self._loaded.grpc

        def changed() -> grpc.ServerCertificateConfiguration | None:  # asked at each connection
            nonlocal current
            if self._loaded.grpc is current:
                return None
            current = self._loaded.grpc
            return current

        return grpc.dynamic_ssl_server_credentials(
            current,
            changed,  # type: ignore[arg-type]  # the stubs lack the None that gRPC documents
            require_client_authentication=self._client_ca is not None,
        )

    def http_context(self) -> ssl.SSLContext:
        """Return a context that takes up what `reload` reads."""
        context = self._new_context()

        def switch(connection: ssl.SSLObject, name: str, _: ssl.SSLContext) -> None:
            connection.context = self._loaded.http

        # Asked at each handshake, also of clients that name no server. It is the way that the
        # `ssl` module has to replace certificates; a context cannot forget the roots it trusts.
        context.sni_callback = switch
        return context

    def _read(self) -> _Loaded:
        cert, key = _read_pem("tls_cert", self._cert), _read_pem("tls_key", self._key)
        roots = None
        if self._client_ca is not None:
            roots = _read_pem("tls_client_ca", self._client_ca)
            _check_certificates("tls_client_ca", roots)
        _check_certificates("tls_cert", cert)
        context = self._new_context()
        try:
            context.load_cert_chain(self._cert, self._key, _refuse_passphrase)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError("tls_key: does not belong to the certificate tls_cert") from error
            raise ConfigError("tls_key: is not a private key in PEM") from error
        except OSError as error:  # replaced since it was read
            raise ConfigError(f"tls_cert or tls_key: {error.strerror}") from error
        _check_key_type(key)
        if roots is not None:
            context.load_verify_locations(cadata=roots.decode())
        configuration = grpc.ssl_server_certificate_configuration([(key, cert)], roots)
        return _Loaded(configuration, context)

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        if self._client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            # Sessions are not resumed: that would spare a client the check against new roots.
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.num_tickets = 0
        return context


def _read_pem(setting: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:  # without the path: the message gets into the log
        raise ConfigError(f"{setting}: {error.strerror}") from error


def _check_certificates(setting: str, content: bytes) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=content.decode("ascii")
        )
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{setting}: holds no certificate in PEM") from error


def _check_key_type(key: bytes) -> None:
    if (match := _PRIVATE_KEY.search(key)) is None:
        return  # the older formats have no such keys
    head = base64.b64decode(match[1])[:24]
    if any(kind in head for kind in _EDWARDS):
        raise ConfigError(
            "tls_key: is an Ed25519 or Ed448 key, which gRPC does not take; use RSA or ECDSA"
        )


def _refuse_passphrase() -> str:
    raise ConfigError("tls_key: is encrypted; store it without a passphrase")
