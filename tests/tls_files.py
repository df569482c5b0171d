"""Certificates for the tests of TLS, made anew."""

from __future__ import annotations

from pathlib import Path

import trustme

NOT_PEM = b"neither a certificate nor a key\n"


class Files:
    """A certificate authority, and the files that a server reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.client_ca, self.root = folder / "clients.pem", folder / "root.pem"

    @property
    def settings(self) -> dict[str, Path]:
        return {"tls_cert": self.cert, "tls_key": self.key}

    def write_server(self, authority: trustme.CA) -> None:
        """Write a new certificate for this machine, and the root that clients need."""
        made = authority.issue_cert("127.0.0.1", "localhost")
        made.private_key_pem.write_to_path(self.key)
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        self.cert.write_bytes(chain)
        authority.cert_pem.write_to_path(self.root)

    def write_client(self, authority: trustme.CA, name: str) -> tuple[Path, Path]:
        """Write a client's certificate and key, and return where."""
        made = authority.issue_cert(f"{name}@example.org")
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        made.cert_chain_pems[0].write_to_path(cert)
        made.private_key_pem.write_to_path(key)
        return cert, key


def server_files(folder: Path) -> Files:
    """Return files with a new certificate and key of a server, from a new authority."""
    made = Files(folder)
    made.write_server(trustme.CA())
    return made
