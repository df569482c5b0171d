"""Browsers on other origins: refused unless the settings name them."""

from __future__ import annotations

from collections.abc import Callable

import requests

from fakes import PATIENCE_S, tones_file, words
from http_calls import Http, form_of

ORIGIN = "https://pages.example.com"
TOKENS = {"auth_tokens": (f"a:{'0' * 64}",)}


def preflight(server: Http, origin: str) -> requests.Response:
    """Ask as a browser does before it sends a form with a token."""
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    url = f"{server.url}/v1/audio/transcriptions"
    return requests.options(url, headers=headers, timeout=PATIENCE_S)


def test_by_default_no_page_may_call(server: Http) -> None:
    assert preflight(server, ORIGIN).status_code == 405
    answer = server.get("/live", headers={"origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_page_of_a_named_origin_may_call(http: Callable[..., Http]) -> None:
    server = http(cors_origins=(ORIGIN,))
    body, headers = form_of(tones_file(10), vad="off")

    allowed = preflight(server, ORIGIN)
    answer = server.post(
        "/v1/audio/transcriptions", data=body, headers={**headers, "origin": ORIGIN}
    )

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert answer.json()["text"] == words(10)
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_a_page_of_another_origin_may_not_call(http: Callable[..., Http]) -> None:
    server = http(cors_origins=(ORIGIN,))

    assert preflight(server, "https://else.example.com").status_code == 400
    answer = server.get("/live", headers={"origin": "https://else.example.com"})
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_needs_no_token_to_ask_and_one_to_call(http: Callable[..., Http]) -> None:
    server = http(cors_origins=("*",), **TOKENS)

    assert preflight(server, ORIGIN).status_code == 200
    refused = server.post("/", data=b"", headers={"origin": ORIGIN})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "*"  # the page can read why
