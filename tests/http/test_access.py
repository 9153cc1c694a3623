"""Who may pass: every address, whether there is one or not, asks for the token first."""

from __future__ import annotations

import pytest

from moc_server_ext.http.routes import ROUTES

ADDRESSES = [
    (method, "/".join("x" if segment.startswith("{") else segment for segment in route.pattern))
    for route in ROUTES
    for method in route.operations
]
UNKNOWN = [("GET", "nothing/here"), ("POST", ""), ("PATCH", "functions/x"), ("OPTIONS", "functions")]
WRONG = {
    "no token": {},
    "a wrong token": {"Authorization": "Bearer a-token-for-testsX"},
    "a wrong scheme": {"Authorization": "Basic a-token-for-tests"},
    "a bare token": {"Authorization": "a-token-for-tests"},
    "a token that is no ASCII": {"Authorization": "Bearer tokén"},
    "a cookie": {"Cookie": "token=a-token-for-tests; Authorization=Bearer a-token-for-tests"},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG.keys())
def test_without_the_token_every_address_answers_401_alike(gateway, headers):
    answers = set()
    for method, path in [*ADDRESSES, *UNKNOWN]:
        raw = {name: value.encode() for name, value in headers.items()}
        response = gateway.http.request(method, gateway.api + path, headers=raw)
        assert response.status_code == 401, (method, path)
        assert response.headers["www-authenticate"] == "Bearer"
        if method != "HEAD":
            assert response.json()["error"]["code"] == "unauthorized"
            answers.add(response.text)
    assert len(answers) == 1


def test_addresses_outside_of_the_api_answer_401_too(gateway):
    assert gateway.http.get(gateway.url + "/").status_code == 401
    assert gateway.http.get(gateway.url + "/lab").status_code == 401


def test_a_token_in_the_url_is_not_taken(gateway):
    assert gateway.http.get(gateway.api + "status?token=a-token-for-tests").status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token", "Token"])
def test_both_schemes_are_taken_in_any_case(gateway, scheme):
    response = gateway.http.get(gateway.api + "status", headers={"Authorization": f"{scheme} a-token-for-tests"})
    assert response.status_code == 200


def test_a_refused_upload_still_reads_its_answer(gateway):
    response = gateway.http.put(gateway.api + "buffers/x", content=b"x" * (900 << 10))
    assert response.status_code == 401


def test_the_gateway_sets_no_cookie_and_names_no_server(gateway):
    response = gateway.request("GET", "status")
    assert "set-cookie" not in response.headers
    assert "server" not in response.headers
