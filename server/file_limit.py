"""How many files this process may have open, which bounds its connections."""

from __future__ import annotations

import resource

_MAX_FILES = 2**16


def file_limit(unlimited: int) -> int:
    """Return the most files that may be open now; `unlimited` if the system sets no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return unlimited if soft == resource.RLIM_INFINITY else soft


def raise_file_limit() -> None:
    """Allow this process as many open files as its hard limit does, up to `_MAX_FILES`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if most > resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
