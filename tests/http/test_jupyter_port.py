"""The API on Jupyter's port: Jupyter's authentication and XSRF rules, our errors; and ordinary Jupyter servers."""

from __future__ import annotations

import json
import socket
import time
from http.client import HTTPResponse

import httpx
import pytest

from guests import guest, tells_inputs
from jupyter_support import TOKEN, JupyterServer
from moc_server_ext.cluster import Cluster
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.http.messages import Door
from moc_server_ext.http.openapi.document import Documents
from moc_server_ext.http.routes import ROUTES

pytestmark = pytest.mark.timeout(180)

ADDRESSES = [
    (method, "/".join("x" if segment.startswith("{") else segment for segment in route.pattern))
    for route in ROUTES
    for method in route.operations
]


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("jupyter")
    server = JupyterServer(
        directory / "storage",
        "--ServerApp.base_url=/a@b/",
        "--ServerApp.allow_unauthenticated_access=False",
        "--MocExtension.max_body_bytes=1000000",
    )
    try:
        server.wait_until_it_answers()
        yield server
    finally:
        server.stop()


def test_without_a_token_every_address_answers_401_in_json(jupyter):
    assert "/a@b/" in jupyter.url
    jupyter.http.cookies.clear()
    for method, path in [*ADDRESSES, ("GET", "nothing/here"), ("POST", "nothing"), ("PATCH", "functions")]:
        response = jupyter.http.request(method, jupyter.api + path)
        assert response.status_code == 401, (method, path)
        if method != "HEAD":
            assert response.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("scheme", ["token", "Bearer"])
def test_with_the_token_all_of_it_works_below_the_base_url(jupyter, scheme):
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    put = jupyter.request("PUT", "buffers/a%2Fb", content=b"0123456789", headers={**headers, "Content-Type": "text/x"})
    assert put.status_code == 201
    assert put.headers["location"] == "/a@b/moc/api/v1/buffers/a%2Fb"
    got = jupyter.request("GET", "buffers/a%2Fb", headers={**headers, "Range": "bytes=2-3"})
    assert (got.status_code, got.content, got.headers["content-type"]) == (206, b"23", "text/x")
    assert got.headers["content-security-policy"] == "sandbox"
    head = jupyter.request("HEAD", "buffers/a%2Fb", headers=headers)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")
    deleted = jupyter.request("DELETE", "buffers/a%2Fb", headers=headers)
    assert (deleted.status_code, deleted.content) == (204, b"")


def test_a_token_in_the_query_is_jupyters_own_way(jupyter):
    assert httpx.get(jupyter.api + "status", params={"token": TOKEN}, trust_env=False).status_code == 200
    assert httpx.get(jupyter.api + "status", params={"token": "wrong"}, trust_env=False).status_code == 401


def test_the_openapi_document_tells_jupyters_own_ways_and_leads_back_to_the_api(jupyter):
    response = jupyter.request("GET", "openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    document = response.json()
    assert document == json.loads(Documents().body(Door.JUPYTER))
    assert set(document["components"]["securitySchemes"]) == {"bearer", "token", "cookie", "xsrf"}
    root = str(response.url.join(document["servers"][0]["url"]))
    assert jupyter.http.get(root + "/status", params={"token": TOKEN}).status_code == 200


def test_errors_have_our_shape(jupyter):
    missing = jupyter.request("GET", "functions/none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "function_not_found")
    assert missing.headers["content-type"] == "application/json"
    unknown = jupyter.request("GET", "nothing")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    wrong = jupyter.request("PATCH", "functions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
    large = jupyter.request("PUT", "buffers/x", content=b"x" * 1_000_001)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "body_too_large")
    assert jupyter.request("PUT", "buffers/x", content=b"x" * 1_000_000).status_code == 201


def test_a_browsers_cookie_needs_the_xsrf_token_to_write(jupyter):
    with httpx.Client(trust_env=False) as browser:
        browser.get(jupyter.url + "login").raise_for_status()
        browser.get(jupyter.url + "api/contents", params={"token": TOKEN}).raise_for_status()
        assert browser.get(jupyter.api + "status").status_code == 200
        forged = browser.put(jupyter.api + "buffers/forged", content=b"x")
        assert forged.status_code == 403
        assert forged.json()["error"]["code"] == "access_denied"
        assert jupyter.request("HEAD", "buffers/forged").status_code == 404
        # Jupyter's own pages come with this cookie, and their scripts send it back in a header.
        xsrf = browser.cookies.get("_xsrf")
        assert xsrf
        written = browser.put(jupyter.api + "buffers/real", content=b"x", headers={"X-XSRFToken": xsrf})
        assert written.status_code == 201


def test_another_origin_is_refused(jupyter):
    with httpx.Client(trust_env=False) as browser:
        browser.get(jupyter.url + "api/contents", params={"token": TOKEN}).raise_for_status()
        answer = browser.get(jupyter.api + "status", headers={"Origin": "https://evil.example"})
        assert answer.status_code in (403, 404)
        assert answer.json()["error"]["code"] in ("access_denied", "not_found")


# -- ordinary servers -------------------------------------------------------------------------------------------------


def test_a_second_server_on_the_storage_goes_on_and_says_so_in_one_line(tmp_path):
    with Cluster.open(tmp_path / "storage"):
        server = JupyterServer(tmp_path / "storage")
        log = server.stop()
    lines = [line for line in log.splitlines() if "moc:" in line]
    assert len(lines) == 1
    assert "is owned by" in lines[0]
    assert "Traceback" not in log
    assert server.url


def test_a_taken_gateway_port_costs_an_ordinary_server_only_moc(tmp_path, a_taken_port):
    server = JupyterServer(tmp_path / "storage", gateway_port=a_taken_port)
    log = server.stop()
    lines = [line for line in log.splitlines() if "moc:" in line]
    assert len(lines) == 1
    assert str(a_taken_port) in lines[0]
    assert "--MocExtension.gateway_port" in lines[0]
    with Cluster.open(tmp_path / "storage") as cluster:
        assert cluster.buffers.list() == []


def test_a_required_cluster_that_cannot_be_opened_ends_the_server(tmp_path, a_taken_port):
    server = JupyterServer(tmp_path / "storage", "--MocExtension.required=True", gateway_port=a_taken_port)
    assert server.process.wait(60) == 1
    assert any("moc: error[address_in_use]" in line for line in server.log)
    server.stop()


def test_without_a_gateway_the_endpoint_leads_to_jupyter(tmp_path):
    from moc_server_ext.client import connect

    server = JupyterServer(tmp_path / "storage", "--MocExtension.enable_gateway=False")
    endpoint = tmp_path / "storage" / "endpoint.json"
    while not endpoint.exists():
        assert server.process.poll() is None
    assert json.loads(endpoint.read_text())["url"] is None
    with connect(storage=tmp_path / "storage") as moc:
        moc.buffers["x"] = b"1"
        assert moc.buffers["x"].read() == b"1"
    server.stop()
    assert not endpoint.exists()


def test_a_client_that_hangs_up_ends_its_guest(jupyter):
    spin = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))')
    assert jupyter.request("PUT", "functions/spin", content=spin).status_code == 201

    def running() -> int:
        return jupyter.request("GET", "status").json()["calls"]["running"]

    def wait_for(count: int) -> None:
        end = time.monotonic() + 30
        while running() != count:
            assert time.monotonic() < end
            time.sleep(0.01)  # the server gives no sign of its own

    address = httpx.URL(jupyter.api)
    with socket.create_connection((address.host, address.port), timeout=60) as stream:
        stream.sendall(
            f"POST {address.raw_path.decode()}functions/spin/call HTTP/1.1\r\nHost: {address.netloc.decode()}\r\n"
            f"Authorization: token {TOKEN}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        wait_for(1)
    wait_for(0)


# -- streams ----------------------------------------------------------------------------------------------------------


def connect_to(jupyter) -> socket.socket:
    address = httpx.URL(jupyter.api)
    return socket.create_connection((address.host, address.port), timeout=60)


def head_of_call(jupyter, name: str, *headers: str) -> bytes:
    path = httpx.URL(jupyter.api).raw_path.decode()
    lines = [f"POST {path}functions/{name}/call HTTP/1.1", "Host: 127.0.0.1", f"Authorization: token {TOKEN}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("size", [0, 600, 65_536, 65_537, 900_000])
def test_a_body_comes_back_byte_for_byte_as_from_the_gateway(jupyter, size):
    jupyter.request("PUT", "functions/cat", content=guest("cat"))
    body = bytes(range(256)) * (size // 256 + 1)
    response = jupyter.request("POST", "functions/cat/call", content=body[:size])
    assert (response.status_code, response.content) == (200, body[:size])
    assert response.headers["content-type"] == "application/octet-stream"
    assert ("moc-exit-code" in response.headers) == (size <= 65_536)


def test_the_parts_of_a_form_are_inputs_on_jupyters_port_too(jupyter):
    jupyter.request("PUT", "functions/tell", content=tells_inputs())
    response = jupyter.request("POST", "functions/tell/call", files=[("a", b"one"), ("a", b"two")])
    assert (response.status_code, response.content) == (200, b"one\n{}\ntwo\n{}\n")
    wrong = {"Content-Type": "multipart/form-data; boundary=xx"}
    refused = jupyter.request("POST", "functions/tell/call", content=b"--xx\r\n\r\ncut off", headers=wrong)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_input")


def test_output_arrives_before_the_upload_has_ended_on_jupyters_port_too(jupyter):
    jupyter.request("PUT", "functions/cat", content=guest("cat"))
    with connect_to(jupyter) as stream:
        stream.sendall(head_of_call(jupyter, "cat", "Content-Length: 200000") + bytes(150_000))
        response = HTTPResponse(stream)
        response.begin()
        received = 0
        while received < 150_000:
            received += len(response.read1(150_000 - received))
        stream.sendall(bytes(50_000))
        assert len(response.read()) == 50_000


def test_a_client_that_only_ends_its_sending_gets_its_answer(jupyter):
    jupyter.request("PUT", "functions/cat", content=guest("cat"))
    with connect_to(jupyter) as stream:
        stream.sendall(head_of_call(jupyter, "cat", "Content-Length: 400000") + bytes(400_000))
        stream.shutdown(socket.SHUT_WR)
        response = HTTPResponse(stream)
        response.begin()
        assert response.status == 200
        assert len(response.read()) == 400_000
