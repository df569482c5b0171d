from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tls_files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A server's certificate and key."""
    made = Files(tmp_path)
    made.write_server(trustme.CA())
    return made
