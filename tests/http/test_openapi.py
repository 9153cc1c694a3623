"""The OpenAPI document: valid, complete, and true of what a server answers."""

from __future__ import annotations

import ast
import base64
import inspect
import json
import textwrap
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest

# Here rather than when a test asks for it: this Python's parser must not be used by two threads at a time, and servers
# in the tests use it to log tracebacks.
import schemathesis.specs.openapi.schemas  # noqa: F401
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from moc_server_ext import errors, model
from moc_server_ext.engines.wasm.text import wat_to_wasm
from moc_server_ext.http.messages import Door
from moc_server_ext.http.openapi.document import Documents, build_document
from moc_server_ext.http.openapi.operations import DESCRIPTIONS
from moc_server_ext.http.openapi.schemas import SCHEMAS, error_classes
from moc_server_ext.http.routes import ROUTES
from zarr_nodes import zip_group

START = wat_to_wasm('(module (memory (export "memory") 1) (func (export "_start")))')
ADD = wat_to_wasm(
    '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))'
    ' (func (export "div") (param f64) (result f64) (f64.div (local.get 0) (f64.const 0)))'
    ' (func (export "trap") unreachable))'
)
OPERATIONS = [(method, route, operation) for route in ROUTES for method, operation in route.operations.items()]
DOORS = pytest.mark.parametrize("door", Door)


def template(route):
    return "/" + "/".join(route.pattern)


# -- the document -----------------------------------------------------------------------------------------------------


@DOORS
def test_the_document_is_valid_openapi_3_1(door):
    assert build_document(door)["openapi"].startswith("3.1.")
    assert [str(each) for each in OpenAPIV31SpecValidator(build_document(door)).iter_errors()] == []


@DOORS
def test_every_route_and_method_is_in_it_and_nothing_else(door):
    paths = build_document(door)["paths"]
    found = {(method.upper(), path) for path, item in paths.items() for method in item if method != "parameters"}
    assert found == {(method, template(route)) for method, route, _ in OPERATIONS}
    assert {operation for _, _, operation in OPERATIONS} == DESCRIPTIONS.keys()


@DOORS
def test_every_operation_has_an_id_of_its_own_and_says_what_it_does(door):
    found = [
        each
        for item in build_document(door)["paths"].values()
        for method, each in item.items()
        if method != "parameters"
    ]
    ids = [each["operationId"] for each in found]
    assert len(set(ids)) == len(ids) == len(OPERATIONS)
    assert all(each["summary"] for each in found)


def test_every_query_parameter_that_an_operation_reads_is_in_it_and_no_other():
    paths = build_document(Door.GATEWAY)["paths"]
    for method, route, operation in OPERATIONS:
        tree = ast.parse(textwrap.dedent(inspect.getsource(operation)))
        read = [
            [ast.literal_eval(each) for each in call.args]
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "parameters"
        ]
        parameters = paths[template(route)][method.lower()].get("parameters", [])
        assert [[each["name"] for each in parameters if each["in"] == "query"]] == read, (method, route)


def test_every_placeholder_of_a_path_is_a_parameter():
    for path, item in build_document(Door.GATEWAY)["paths"].items():
        names = [each["name"] for each in item.get("parameters", [])]
        assert names == [segment[1:-1] for segment in path.split("/") if segment.startswith("{")]


def test_every_code_and_status_of_an_error_is_in_it():
    document = build_document(Door.GATEWAY)
    found = {
        name: each["content"]["application/json"]["schema"]["allOf"][1]
        for name, each in document["components"]["responses"].items()
        if name.startswith("Error")
    }
    codes = {
        (int(name.removeprefix("Error")), code)
        for name, each in found.items()
        for code in each["properties"]["error"]["properties"]["code"]["enum"]
    }
    tree = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.MocError)]
    assert codes == {(each.http_status, each.code) for each in tree}
    assert document["components"]["schemas"]["ErrorBody"]["properties"]["code"]["enum"] == sorted(
        each.code for each in error_classes()
    )
    assert {f"Head{status}" for status, _ in codes} <= document["components"]["responses"].keys()


@pytest.mark.parametrize(
    ("shape", "thing"),
    [
        ("Function", model.FunctionRecord("name", "0" * 64, 1, "type", model.Declaration(), {}, 0.0)),
        ("Blob", model.BlobRecord("0" * 64, 1, "type")),
        ("Array", model.parse_array("float32", [2, 3])),
        ("Buffer", model.BufferRecord("name", 1, "type", {}, 0.0)),
        ("Call", model.CallResult("id", 1, None, b"")),
        ("CallRecord", model.CallRecord("id", "f", model.Mode.POSIX, "me", model.CallState.DONE, 0.0)),
        ("Plan", model.MapReduce("source", "map")),
        ("Run", model.RunRecord("id", model.MapReduce("source", "map"), model.RunState.DONE, "map", 0, 0)),
        ("Limits", model.Limits()),
    ],
)
def test_every_shape_has_the_fields_that_are_sent(shape, thing):
    assert list(SCHEMAS[shape]["properties"]) == list(thing.to_json())


@DOORS
def test_what_is_defined_is_used_but_for_what_no_operation_answers(door):
    document = build_document(door)
    text = json.dumps(document)
    unused = {
        f"{kind}/{name}"
        for kind, each in document["components"].items()
        if kind != "securitySchemes"
        for name in each
        if f'"#/components/{kind}/{name}"' not in text
    }
    # Another method of an address is no operation; the other never happens.
    never = {405, 501}
    assert {each for each in unused if not each.startswith("responses/Head")} == {
        f"responses/Error{status}" for status in never
    }


def test_each_door_tells_who_passes_it():
    gateway, jupyter = build_document(Door.GATEWAY), build_document(Door.JUPYTER)
    assert gateway["security"] == [{"bearer": []}]
    assert jupyter["security"] == [{"bearer": []}, {"token": []}, {"cookie": [], "xsrf": []}]
    assert jupyter["paths"]["/status"]["get"]["security"] == [{"bearer": []}, {"token": []}, {"cookie": []}]
    assert "security" not in gateway["paths"]["/status"]["get"]
    assert "403" in jupyter["paths"]["/status"]["get"]["responses"]
    assert "403" not in gateway["paths"]["/status"]["get"]["responses"]


@DOORS
def test_the_document_is_built_once_and_always_the_same(door):
    documents = Documents()
    assert documents.body(door) is documents.body(door)
    assert documents.body(door) == Documents().body(door)


# -- served -----------------------------------------------------------------------------------------------------------


def test_the_gateway_serves_its_own_document(gateway):
    response = gateway.request("GET", "openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == json.loads(Documents().body(Door.GATEWAY))
    head = gateway.request("HEAD", "openapi.json")
    assert head.headers["content-length"] == str(len(response.content))


def test_the_servers_address_leads_from_the_document_to_the_api(gateway):
    response = gateway.request("GET", "openapi.json")
    root = response.url.join(response.json()["servers"][0]["url"])
    assert str(root) + "/" == gateway.api


# -- true -------------------------------------------------------------------------------------------------------------


def resolve(document, found):
    while "$ref" in found:
        name = found["$ref"].removeprefix("#/").split("/")
        found = document
        for each in name:
            found = found[each]
    return found


def check(document, path, response):
    """Hold an answer against what the document says about it."""
    operation = document["paths"][path][response.request.method.lower()]
    said = resolve(document, operation["responses"][str(response.status_code)])
    for name, header in said.get("headers", {}).items():
        header = resolve(document, header)
        assert name in response.headers or not header["required"], (path, name)
        if name in response.headers and "content" in header:
            schema = header["content"]["application/json"]["schema"]
            validate(document, schema, json.loads(response.headers[name]))
    moc = {name for name in response.headers if name.startswith("moc-")}
    assert moc <= {name.lower() for name in said.get("headers", {})}
    if "content" not in said:
        assert response.content == b""
        return
    content = said["content"]
    media = response.headers["content-type"]
    assert media in content or "*/*" in content, (path, media)
    schema = content.get(media, {}).get("schema")
    if schema is not None:
        validate(document, schema, response.json())


def validate(document, schema, found):
    Draft202012Validator({**schema, "components": document["components"]}).validate(found)


def exchanges(gateway):
    """Give (path of the document, status, method, path, options) of requests, one after another."""
    blob = gateway.platform.blobs.put(b"bytes", "text/plain").blob_id
    plan = {"source": "lines", "map": "start", "sink": "counted"}
    text = {"Content-Type": "text/plain", "Moc-Headers": '{"x-own": "1"}'}
    as_json = {"Accept": "application/json"}
    function, buffer, key, run = "/functions/{name}", "/buffers/{name}", "/kv/{key}", "/runs/{id}"
    log = "/buffers/{name}/log"
    append, chunks, value = "/buffers/{name}/append", "/buffers/{name}/chunks", "/zarr/{key}"
    call, output, one_call = "/functions/{name}/call", "/runs/{id}/output", "/calls/{id}"
    yield "/status", 200, "GET", "status", {}
    yield "/status", 200, "HEAD", "status", {}
    yield "/status", 400, "GET", "status?x=1", {}
    yield "/status", 401, "GET", "status", {"headers": {"Authorization": "Bearer no"}}
    yield "/status", 401, "HEAD", "status", {"headers": {"Authorization": "Bearer no"}}
    yield "/openapi.json", 200, "GET", "openapi.json", {}
    yield "/metrics", 200, "GET", "metrics", {}
    yield "/metrics", 200, "HEAD", "metrics", {}
    yield "/functions", 200, "GET", "functions", {}
    yield function, 201, "PUT", "functions/start", {"content": START}
    yield function, 201, "PUT", "functions/add?entry=add&grant=kv:a/&limit=timeout_seconds=2", {"content": ADD}
    yield function, 400, "PUT", "functions/no", {"content": b"no module"}
    yield function, 400, "PUT", "functions/no?grant=all", {"content": START}
    yield function, 403, "PUT", "functions/no", {"content": IMPORTS_WITHOUT_GRANT}
    yield function, 404, "PUT", "functions/no?entry=nothing", {"content": START}
    yield function, 413, "PUT", "functions/no", {"content": bytes(2 << 20)}
    yield function, 422, "PUT", "functions/no", {"content": IMPORTS_NOTHING_THAT_IS}
    yield "/functions", 200, "GET", "functions", {}
    yield function, 200, "GET", "functions/add", {}
    yield function, 404, "GET", "functions/nobody", {}
    yield function, 404, "HEAD", "functions/nobody", {}
    yield call, 200, "POST", "functions/start/call", {"content": b"input"}
    yield call, 200, "POST", "functions/start/call", {"headers": as_json}
    yield call, 200, "POST", "functions/add/call?arg=1&arg=2", {}
    yield call, 200, "POST", "functions/add/call?entry=div&arg=1", {}
    yield call, 200, "POST", "functions/add/call?entry=div&arg=1", {"headers": as_json}
    yield call, 400, "POST", "functions/add/call?arg=1", {}
    called = gateway.request("POST", "functions/start/call").headers["moc-call-id"]
    yield "/calls", 200, "GET", "calls", {}
    yield "/calls", 200, "GET", "calls?limit=1", {}
    yield "/calls", 400, "GET", "calls?limit=0", {}
    yield one_call, 200, "GET", f"calls/{called}", {}
    yield one_call, 200, "HEAD", f"calls/{called}", {}
    yield one_call, 200, "DELETE", f"calls/{called}", {}
    yield one_call, 404, "GET", "calls/none", {}
    yield one_call, 404, "DELETE", "calls/none", {}
    yield call, 404, "POST", "functions/nobody/call", {}
    yield call, 422, "POST", "functions/add/call?entry=trap", {}
    yield function, 204, "DELETE", "functions/add", {}
    yield function, 404, "DELETE", "functions/add", {}
    yield "/blobs", 201, "POST", "blobs", {"content": b"bytes"}
    yield "/blobs", 400, "POST", "blobs", {"headers": {"Content-Type": "none"}}
    yield "/blobs/{id}", 200, "GET", f"blobs/{blob}", {}
    yield "/blobs/{id}", 200, "HEAD", f"blobs/{blob}", {}
    yield "/blobs/{id}", 206, "GET", f"blobs/{blob}", {"headers": {"Range": "bytes=1-2"}}
    yield "/blobs/{id}", 304, "GET", f"blobs/{blob}", {"headers": {"If-None-Match": f'"{blob}"'}}
    yield "/blobs/{id}", 416, "GET", f"blobs/{blob}", {"headers": {"Range": "bytes=9-"}}
    yield "/blobs/{id}", 400, "GET", "blobs/x", {}
    yield "/blobs/{id}", 404, "GET", f"blobs/{'0' * 64}", {}
    yield buffer, 201, "PUT", "buffers/lines", {"content": b"a\nb\n", "headers": text}
    yield buffer, 400, "PUT", "buffers/%20", {}
    yield "/buffers", 200, "GET", "buffers", {}
    yield buffer, 200, "GET", "buffers/lines", {}
    yield buffer, 206, "HEAD", "buffers/lines", {"headers": {"Range": "bytes=-1"}}
    yield buffer, 416, "HEAD", "buffers/lines", {"headers": {"Range": "bytes=9-"}}
    yield buffer, 404, "GET", "buffers/none", {}
    cube = {"Moc-Dtype": "float32", "Moc-Shape": "[2,3]", "Moc-Chunks": "[1,3]", "Moc-Origin": '{"call_id": "1"}'}
    zipped_group = {"content": zip_group({"a": np.arange(3)}), "headers": {"Content-Type": "application/zip"}}
    staged = {"content": b"{}", "headers": {**cube, "Content-Type": "application/vnd.moc.staged+json"}}
    yield buffer, 201, "PUT", "buffers/cube", {"content": bytes(24), "headers": cube}
    yield buffer, 400, "PUT", "buffers/cube", {"content": bytes(23), "headers": cube}
    yield buffer, 400, "PUT", "buffers/cube", staged
    yield buffer, 201, "PUT", "buffers/set?format=zarr", zipped_group
    yield buffer, 200, "GET", "buffers/cube", {}
    yield buffer, 206, "GET", "buffers/cube", {"headers": {"Range": "bytes=1-2"}}
    yield buffer, 200, "HEAD", "buffers/set", {}
    yield buffer, 409, "GET", "buffers/set", {}
    yield append, 200, "POST", "buffers/cube/append", {"content": bytes(12), "headers": {**cube, "Moc-Shape": "[1,3]"}}
    yield append, 400, "POST", "buffers/cube/append", {"content": bytes(12)}
    yield append, 404, "POST", "buffers/none/append", {"content": bytes(24), "headers": cube}
    yield "/buffers/{name}/copy", 201, "POST", "buffers/cube/copy", {"json": {"to": "twin"}}
    yield "/buffers/{name}/copy", 409, "POST", "buffers/cube/copy", {"json": {"to": "twin"}}
    yield "/buffers/{name}/copy", 400, "POST", "buffers/cube/copy", {"json": {"to": "twin", "over": True}}
    yield "/buffers/{name}/rename", 201, "POST", "buffers/twin/rename", {"json": {"to": "a/b"}}
    yield "/buffers/{name}/rename", 404, "POST", "buffers/twin/rename", {"json": {"to": "c"}}
    yield log, 201, "PUT", "buffers/x/log", {"headers": cube}
    yield log, 409, "PUT", "buffers/x/log", {}
    yield log, 400, "PUT", "buffers/y/log", {"content": b"1"}
    yield log, 200, "POST", "buffers/x/log", {"content": bytes(12)}
    yield log, 200, "POST", "buffers/y/log", {"content": b"1"}
    yield log, 400, "POST", "buffers/y/log", {"content": b"1", "headers": {"Moc-Offset": "1"}}
    yield log, 404, "POST", "buffers/y/log", {"content": b"1", "headers": {"Moc-Log-Id": "0" * 16}}
    yield log, 200, "GET", "buffers/x/log", {}
    yield log, 404, "GET", "buffers/none/log", {}
    yield "/logs", 200, "GET", "logs", {}
    yield log + "/seal", 201, "POST", "buffers/x/log/seal", {}
    yield log + "/seal", 404, "POST", "buffers/x/log/seal", {}
    yield log, 204, "DELETE", "buffers/y/log", {}
    yield log, 404, "DELETE", "buffers/y/log", {}
    yield chunks, 200, "GET", "buffers/cube/chunks", {}
    yield chunks, 404, "GET", "buffers/none/chunks", {}
    yield chunks, 409, "GET", "buffers/set/chunks", {}
    yield "/buffers", 200, "GET", "buffers", {}
    yield "/zarr", 200, "GET", "zarr?prefix=buffers/cube/&limit=2", {}
    yield "/zarr", 400, "GET", "zarr?limit=0", {}
    yield value, 200, "GET", "zarr/buffers/set/zarr.json", {}
    yield value, 200, "HEAD", "zarr/buffers/cube/c/0/0", {}
    yield value, 206, "GET", "zarr/buffers/cube/c/0/0", {"headers": {"Range": "bytes=0-3"}}
    yield value, 416, "GET", "zarr/buffers/cube/c/0/0", {"headers": {"Range": "bytes=99-"}}
    yield value, 404, "GET", "zarr/buffers/cube/c/7/0", {}
    yield value, 404, "HEAD", "zarr/buffers/none/zarr.json", {}
    yield value, 400, "GET", "zarr/%FF", {}
    yield call, 200, "POST", "functions/start/call", {"content": bytes(24), "headers": cube}
    yield call, 400, "POST", "functions/start/call", {"content": bytes(23), "headers": cube}
    yield call, 200, "POST", "functions/start/call", {"files": [("a", b"one"), ("b", b"two")]}
    yield call, 400, "POST", "functions/start/call", {"files": [("a", b"one")] * 65}
    yield key, 201, "PUT", "kv/%FF%00", {"content": b"value"}
    yield "/kv", 200, "GET", "kv?limit=5", {}
    yield "/kv", 200, "GET", f"kv?prefix_base64={base64.b64encode(bytes([255])).decode()[:2]}%3D%3D", {}
    yield "/kv", 400, "GET", "kv?limit=0", {}
    yield key, 200, "GET", "kv/%FF%00", {}
    etag = gateway.request("HEAD", "kv/%FF%00").headers["etag"]
    yield key, 409, "PUT", "kv/%FF%00", {"content": b"new", "headers": {"If-None-Match": "*"}}
    yield key, 201, "PUT", "kv/%FF%00", {"content": b"new", "headers": {"If-Match": etag}}
    yield key, 409, "DELETE", "kv/%FF%00", {"headers": {"If-Match": etag}}
    yield key, 400, "DELETE", "kv/%FF%00", {"headers": {"If-Match": "*"}}
    yield "/kv", 200, "GET", "kv?values&limit=1", {}
    changes = [{"change": "increment", "key": "n"}, {"change": "set", "key_base64": "/w==", "value": "v"}]
    yield "/kv", 200, "POST", "kv", {"json": changes}
    yield "/kv", 200, "GET", "kv?values&limit=1", {}
    yield "/kv", 400, "POST", "kv", {"json": {"change": "set"}}
    yield "/kv", 404, "POST", "kv", {"json": [{"change": "delete", "key": "nobody"}]}
    stale = {"change": "compare_and_set", "key": "n", "expected": None, "value": None}
    yield "/kv", 409, "POST", "kv", {"json": [stale]}
    yield "/kv/{key}/increment", 200, "POST", "kv/n/increment?by=-2", {}
    yield "/kv/{key}/increment", 400, "POST", "kv/n/increment?by=1.5", {}
    yield "/kv/{key}/increment", 400, "POST", "kv/%FF/increment", {}
    yield key, 204, "DELETE", "kv/%FF%00", {}
    yield key, 404, "DELETE", "kv/%FF%00", {}
    yield "/runs", 201, "POST", "runs", {"json": plan}
    started = gateway.platform.runs.list()[0].run_id
    yield run, 200, "GET", f"runs/{started}", {}
    yield "/runs", 200, "GET", "runs", {}
    yield run, 200, "DELETE", f"runs/{started}", {}
    yield output, None, "GET", f"runs/{started}/output", {}
    yield "/runs", 400, "POST", "runs", {"json": {**plan, "more": 1}}
    yield "/runs", 404, "POST", "runs", {"json": {**plan, "source": "none"}}
    yield run, 404, "GET", "runs/none", {}
    yield output, 404, "GET", "runs/none/output", {}
    yield buffer, 204, "DELETE", "buffers/lines", {}
    yield "/gc", 200, "POST", "gc", {}
    yield "/gc", 200, "POST", "gc?dry_run=true", {}
    yield "/gc", 400, "POST", "gc?dry_run=perhaps", {}
    yield "/backups", 400, "GET", "backups", {}
    yield "/backups", 200, "POST", "backups", {}
    yield "/backups", 400, "POST", "backups?keep=0", {}
    yield "/backups", 403, "POST", "backups?keep=1", {}
    yield "/backups/verify", 400, "POST", "backups/verify", {}
    yield "/backups/verify", 400, "POST", "backups/verify?id=x", {}
    yield "/take-over", 204, "POST", "take-over", {}
    yield "/fsck", 200, "POST", "fsck?quick=true", {}
    yield "/fsck", 400, "POST", "fsck?deep=true", {}
    yield "/promote", 409, "POST", "promote", {}
    yield "/handover", 400, "POST", "handover", {"json": {"pid": 0}}
    yield "/handover", 409, "POST", "handover", {"json": {"pid": 1}}
    yield "/handover", 409, "POST", "handover", {}


IMPORTS_WITHOUT_GRANT = wat_to_wasm('(module (import "no" "f" (func)) (func (export "f")))')
IMPORTS_NOTHING_THAT_IS = wat_to_wasm('(module (import "no" "such" (func)) (memory (export "memory") 1))')


def test_what_a_server_answers_is_what_the_document_says(cluster_gateway):
    document = cluster_gateway.request("GET", "openapi.json").json()
    asked = set()
    for path, status, method, address, options in exchanges(cluster_gateway):
        response = cluster_gateway.request(method, address, **options)
        assert status in (None, response.status_code), (method, address, response.text)
        check(document, path, response)
        asked.add(path)
    assert asked == document["paths"].keys()


def test_a_method_that_is_not_in_the_document_is_answered_as_it_says(cluster_gateway):
    document = cluster_gateway.request("GET", "openapi.json").json()
    said = document["components"]["responses"]["Error405"]
    for route in ROUTES:
        address = "/".join("x" if segment.startswith("{") else segment for segment in route.pattern)
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - route.operations.keys():
            response = cluster_gateway.request(method, address)
            assert response.status_code == HTTPStatus.METHOD_NOT_ALLOWED, (method, address)
            assert response.headers["allow"] == ", ".join(sorted(route.operations))
            validate(document, said["content"]["application/json"]["schema"], response.json())


# -- generated --------------------------------------------------------------------------------------------------------

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def stock(cluster):
    """Make sure that there is something of everything, and give what addresses it and makes it."""
    cluster.functions.put("x", START)
    cluster.buffers.put("x", b"0123456789")
    cluster.kv.set(b"x", b"0123456789")
    blob_id = cluster.blobs.put(b"0123456789", "text/plain").blob_id
    call_id = cluster.call_sync(model.CallRequest("x")).call_id
    run_id = cluster.runs.start(model.MapReduce("x", "x")).run_id
    addresses = {
        "/functions": {"name": "x"},
        "/buffers": {"name": "x"},
        "/kv": {"key": "x"},
        "/blobs": {"id": blob_id},
        "/calls": {"id": call_id},
        "/runs": {"id": run_id},
        "/zarr": {"key": "zarr.json"},
    }
    bodies = {
        "PUT /functions/{name}": {"body": START, "media_type": "application/octet-stream"},
        "POST /runs": {"body": {"source": "x", "map": "x"}, "media_type": "application/json"},
    }
    return addresses, bodies


@pytest.mark.parametrize(
    ("mode", "there"),
    [(GenerationMode.POSITIVE, False), (GenerationMode.POSITIVE, True), (GenerationMode.NEGATIVE, False)],
    ids=["well-formed", "of what is there", "malformed"],
)
def test_no_generated_request_gets_an_answer_that_the_document_does_not_know(cluster_gateway, mode, there):
    schema = openapi.from_dict(cluster_gateway.request("GET", "openapi.json").json())
    headers = {"Authorization": f"Bearer {cluster_gateway.token}"}
    statuses: dict[int, int] = {}
    for each in schema.get_all_operations():
        operation = each.ok()
        addresses, bodies = stock(cluster_gateway.platform)
        given_ones: dict[str, Any] = {}
        if there:
            given_ones = dict(bodies.get(operation.label, {}))
            if "{" in operation.path:
                given_ones["path_parameters"] = addresses["/" + operation.path.split("/")[1]]

        @settings(
            max_examples=5, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
        )
        @given(operation.as_strategy(generation_mode=mode, **given_ones))
        def ask(case):
            response = case.call_and_validate(
                base_url=cluster_gateway.api.rstrip("/"),
                headers=headers,
                checks=CHECKS,
                verify=str(cluster_gateway.ca_file),
            )
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1

        ask()
    assert statuses.keys() >= ({200, 201, 204} if there else {200, 400, 404}), statuses
