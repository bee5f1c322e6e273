"""Who may ask a service, by host, origin and token, and the headers that every answer carries."""

from __future__ import annotations

from unittest import mock

import pytest

pytest.importorskip("fastapi", reason="the service is not there: pip install 'camtrace[web]'")

from fastapi import FastAPI

from camtrace.web.app import create_app
from camtrace.web.settings import Settings
from made_service import ask

TOKEN = "correct-horse-battery"
LOCAL = {"Host": "localhost:8000"}


@pytest.fixture(scope="module")
def private() -> FastAPI:
    """A service for this computer only; it is asked in this process and has no workers."""
    return create_app(Settings())


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "0.0.0.0", "", "a@127.0.0.1", "::1"]
)
def test_only_names_of_this_computer_are_answered(private: FastAPI, host: str) -> None:
    for path in ("/", "/healthz", "/api/cameras"):
        answer = ask(private, "GET", path, headers={"Host": host})
        assert answer.status_code == 421, path
        assert "error" in answer.json()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.5:8000", "[::1]", "[::1]:8000"])
def test_all_names_of_this_computer_are_answered(private: FastAPI, host: str) -> None:
    assert ask(private, "GET", "/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_are_refused(private: FastAPI, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/api/identify"), ("GET", "/api/bundles"), ("POST", "/")):
        answer = ask(private, method, path, headers=LOCAL | headers)
        assert answer.status_code == 403, path
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert ask(private, "GET", "/", headers=LOCAL | headers).status_code == 200  # a link to the page is no harm


def test_the_own_page_is_answered_and_nothing_is_shared_with_others(private: FastAPI) -> None:
    own = LOCAL | {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"}
    assert ask(private, "GET", "/api/bundles", headers=own).status_code == 200
    asked = LOCAL | {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = ask(private, "OPTIONS", "/api/identify", headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.fixture(scope="module")
def guarded() -> FastAPI:
    """A service for others, with a token; it is asked in this process and has no workers."""
    return create_app(Settings(host="0.0.0.0", token=TOKEN))


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        "Bearer \xe9",
        TOKEN,
    ],
)
def test_without_the_token_nothing_is_told(guarded: FastAPI, given: str | None) -> None:
    headers = [] if given is None else [(b"Authorization", given.encode("latin-1"))]
    for method, path in (("GET", "/api/cameras"), ("GET", "/api/bundles"), ("POST", "/api/identify"), ("GET", "/api/nothing")):
        answer = ask(guarded, method, path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text


def test_with_the_token_all_is_told(guarded: FastAPI) -> None:
    for scheme in ("Bearer", "bearer"):
        assert ask(guarded, "GET", "/api/cameras", headers={"Authorization": f"{scheme} {TOKEN}"}).status_code == 200
    assert ask(guarded, "GET", "/api/cameras", params={"token": TOKEN}).status_code == 401
    assert ask(guarded, "GET", "/healthz").status_code == ask(guarded, "GET", "/").status_code == 200
    assert ask(guarded, "GET", "/openapi.json").json()["security"] == [{"token": []}]


def test_the_token_is_compared_in_constant_time(guarded: FastAPI) -> None:
    with mock.patch("hmac.compare_digest", return_value=True) as compare:
        assert ask(guarded, "GET", "/api/cameras", headers={"Authorization": "Bearer anything"}).status_code == 200
    compare.assert_called_once_with(b"anything", TOKEN.encode())


def test_a_proxy_may_call_it_by_its_public_name() -> None:
    app = create_app(Settings(token=TOKEN, hosts=("photos.example.org",)))
    assert ask(app, "GET", "/healthz", headers={"Host": "Photos.example.org"}).status_code == 200
    assert ask(app, "GET", "/healthz", headers={"Host": "evil.example"}).status_code == 421


# What every answer carries


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/bundles", "/api/nothing", "/nothing", "/healthz", "/openapi.json"])
def test_security_headers(private: FastAPI, path: str) -> None:
    headers = ask(private, "GET", path, headers=LOCAL).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["style-src"] == policy["worker-src"] == "'self'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe-inline" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["cache-control"] == ("no-store" if path.startswith("/api") else "no-cache")
    assert "server" not in headers
