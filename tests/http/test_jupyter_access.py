"""Who may do what on Jupyter's port: every method of every route asks Jupyter's authorizer, and cookies need XSRF."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from jupyter_support import TOKEN, JupyterServer
from moc_server_ext.http.routes import ROUTES

pytestmark = pytest.mark.timeout(180)

# Written out, so that whoever adds a route decides here what its methods are.
ACTIONS = {
    "status": {"GET": "read"},
    "openapi.json": {"GET": "read"},
    "metrics": {"GET": "read"},
    "functions": {"GET": "read"},
    "functions/{name}": {"GET": "read", "PUT": "write", "DELETE": "write"},
    "functions/{name}/call": {"POST": "execute"},
    "blobs": {"POST": "write"},
    "blobs/{id}": {"GET": "read"},
    "buffers": {"GET": "read"},
    "buffers/{name}": {"GET": "read", "PUT": "write", "DELETE": "write"},
    "buffers/{name}/append": {"POST": "write"},
    "buffers/{name}/chunks": {"GET": "read"},
    "zarr": {"GET": "read"},
    "zarr/{key}": {"GET": "read"},
    "kv": {"GET": "read", "POST": "write"},
    "kv/{key}": {"GET": "read", "PUT": "write", "DELETE": "write"},
    "kv/{key}/increment": {"POST": "write"},
    "calls": {"GET": "read"},
    "calls/{id}": {"GET": "read", "DELETE": "execute"},
    "runs": {"GET": "read", "POST": "execute"},
    "runs/{id}": {"GET": "read", "DELETE": "execute"},
    "runs/{id}/output": {"GET": "read"},
    "buffers/{name}/copy": {"POST": "write"},
    "buffers/{name}/rename": {"POST": "write"},
    "buffers/{name}/log": {"GET": "read", "POST": "write", "PUT": "write", "DELETE": "write"},
    "buffers/{name}/log/seal": {"POST": "write"},
    "logs": {"GET": "read"},
    "gc": {"POST": "write"},
    "fsck": {"POST": "write"},
    "backups": {"GET": "read", "POST": "write"},
    "backups/verify": {"POST": "write"},
    "take-over": {"POST": "write"},
    "promote": {"POST": "write"},
    "handover": {"POST": "write"},
}
# What no route answers is asked for all the same: who may not read does not learn what there is.
UNKNOWN = [
    ("GET", "nothing", "read"),
    ("PATCH", "functions/x", "write"),
    ("PUT", "functions/x/call", "execute"),
    ("POST", "runs/x/call", "write"),
    ("POST", "buffers/x%2Fcall", "write"),
    ("POST", "functions/x/call/", "write"),
    ("GET", "zarr/buffers/x/c/0", "read"),
    ("PUT", "zarr/buffers/x/c/0", "write"),
]
CONFIGURATION = """
import json, os
from jupyter_server.auth import Authorizer

class Recording(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        with open(os.environ["ASKED"], "a") as asked:
            print(json.dumps([handler.request.method, handler.request.path, action, resource]), file=asked)
        return action in handler.request.headers.get("X-Test-Allow", "").split(",")

c.ServerApp.authorizer_class = Recording
"""


def addresses() -> list[tuple[str, str, str]]:
    """Give (method, path, action) of every operation."""
    found = [
        (method, "/".join("x" if segment.startswith("{") else segment for segment in path.split("/")), action)
        for path, actions in ACTIONS.items()
        for method, action in [*actions.items(), *([("HEAD", "read")] if "GET" in actions else [])]
    ]
    return [*found, *UNKNOWN]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("asked") / "asked"


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory, asked: Path):
    directory = tmp_path_factory.mktemp("jupyter")
    configuration = directory / "authorizer_config.py"
    configuration.write_text(CONFIGURATION)
    server = JupyterServer(
        directory / "storage",
        f"--config={configuration}",
        "--ServerApp.base_url=/a@b/",
        "--ServerApp.allow_unauthenticated_access=False",
        environment={"ASKED": str(asked)},
    )
    try:
        server.wait_until_it_answers()
        yield server
    finally:
        server.stop()


def test_every_route_and_method_has_an_action_here():
    found = {"/".join(route.pattern): {method for method in route.operations if method != "HEAD"} for route in ROUTES}
    assert found == {path: set(actions) for path, actions in ACTIONS.items()}


@pytest.mark.parametrize(("method", "path", "action"), addresses())
def test_the_authorizer_is_asked_for_this_action_alone(jupyter, asked, method, path, action):
    asked.write_text("")
    others = ",".join({"read", "write", "execute"} - {action})
    refused = jupyter.request(method, path, headers={"X-Test-Allow": others})
    assert refused.status_code == 403
    if method != "HEAD":
        assert refused.json()["error"]["code"] == "access_denied"
        assert action in refused.json()["error"]["message"]
    assert [json.loads(line) for line in asked.read_text().splitlines()] == [
        [method, f"/a@b/moc/api/v1/{path}", action, "moc"]
    ]
    allowed = jupyter.request(method, path, headers={"X-Test-Allow": action})
    assert allowed.status_code not in (401, 403)


def test_without_a_user_the_authorizer_is_not_even_asked(jupyter, asked):
    asked.write_text("")
    jupyter.http.cookies.clear()
    for method, path, _ in addresses():
        answer = jupyter.http.request(method, jupyter.api + path, headers={"X-Test-Allow": "read,write,execute"})
        assert answer.status_code == 401, (method, path)
    assert asked.read_text() == ""


def test_a_cookie_without_the_xsrf_token_changes_nothing_by_any_address(jupyter):
    everything = {"X-Test-Allow": "read,write,execute"}
    with httpx.Client(trust_env=False, headers=everything) as browser:
        browser.get(jupyter.url + "login").raise_for_status()
        browser.get(jupyter.url + "api/contents", params={"token": TOKEN}).raise_for_status()
        assert browser.cookies
        for method, path, action in addresses():
            answer = browser.request(method, jupyter.api + path)
            if action == "read":
                assert answer.status_code != 403, (method, path)
            else:
                assert answer.status_code == 403, (method, path)
                assert answer.json()["error"]["code"] == "access_denied"
            xsrf = {"X-XSRFToken": browser.cookies["_xsrf"]}
            assert browser.request(method, jupyter.api + path, headers=xsrf).status_code != 403, (method, path)


def test_a_refusal_does_not_tell_whether_the_thing_exists(jupyter):
    everything = {"X-Test-Allow": "read,write,execute"}
    assert jupyter.request("PUT", "buffers/there", content=b"x", headers=everything).status_code == 201
    answers = {
        jupyter.request("GET", f"buffers/{name}", headers={"X-Test-Allow": "write"}).text for name in ("there", "none")
    }
    assert len(answers) == 1
