"""Which files and settings of TLS a server does not start with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from talkmill.engine import ConfigError
from talkmill.server import ServerConfig
from talkmill.server.auth import Access
from talkmill.server.certificates import Certificates
from tls_files import NOT_PEM, Files, server_files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A server's certificate and key."""
    return server_files(tmp_path)


def other_key(files: Files) -> None:
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(files.key)


def edwards_key(files: Files) -> None:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(1))
        .sign(key, None)
        .public_bytes(serialization.Encoding.PEM)
    )
    files.cert.write_bytes(cert)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def encrypted_key(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


@pytest.mark.parametrize(
    ("setting", "damage", "reason"),
    [
        pytest.param("tls_cert", lambda files: files.cert.unlink(), "No such", id="no cert"),
        pytest.param("tls_key", lambda files: files.key.unlink(), "No such", id="no key"),
        pytest.param("tls_client_ca", lambda files: None, "No such", id="no client ca"),
        pytest.param(
            "tls_cert", lambda files: files.cert.write_bytes(NOT_PEM), "no certificate", id="cert"
        ),
        pytest.param(
            "tls_cert", lambda files: files.cert.write_bytes(b"\xff"), "no certificate", id="bytes"
        ),
        pytest.param(
            "tls_key", lambda files: files.key.write_bytes(NOT_PEM), "not a private key", id="key"
        ),
        pytest.param("tls_key", other_key, "does not belong", id="another key"),
        pytest.param("tls_key", edwards_key, "Ed25519", id="key of a kind that gRPC lacks"),
        pytest.param("tls_key", encrypted_key, "is encrypted", id="encrypted key"),
        pytest.param(
            "tls_client_ca",
            lambda files: files.client_ca.write_bytes(b""),
            "no certificate",
            id="empty client ca",
        ),
    ],
)
def test_files_that_cannot_work_are_refused_at_the_start(
    server_config: Callable[..., ServerConfig],
    files: Files,
    setting: str,
    damage: Callable[[Files], None],
    reason: str,
) -> None:
    client_ca = {"tls_client_ca": files.client_ca} if setting == "tls_client_ca" else {}
    damage(files)

    with pytest.raises(ConfigError, match=f"^{setting}: .*{reason}"):
        Certificates.from_config(server_config(**files.settings, **client_ca))


@pytest.mark.parametrize(
    ("given", "missing"),
    [(["tls_cert"], "tls_key"), (["tls_key"], "tls_cert"), (["tls_client_ca"], "tls_cert")],
)
def test_a_setting_of_tls_that_needs_another_is_refused(
    server_config: Callable[..., ServerConfig], files: Files, given: list[str], missing: str
) -> None:
    settings = dict.fromkeys(given, files.cert)

    with pytest.raises(ConfigError, match=f"^{missing}: is missing"):
        Certificates.from_config(server_config(**settings))


def test_client_certificates_prove_callers_on_a_public_address(
    server_config: Callable[..., ServerConfig], files: Files
) -> None:
    files.client_ca.write_bytes(files.root.read_bytes())
    config = server_config(host="0.0.0.0", tls_client_ca=files.client_ca, **files.settings)

    assert Access(config).check(None) == ""
