"""What importing the package, starting a kernel and connecting do, and what they leave alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from moc_kernel import connect


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOC_", "JPY_"))}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, env={**kept, **environment}
    )


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, json, moc_kernel; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(run_python(code).stdout))
    heavy = {"IPython", "ipykernel", "httpx", "wasmtime", "apsw", "rich", "click", "tornado", "moc_server_ext"}
    assert not loaded & heavy


def test_a_kernel_that_was_only_started_has_loaded_and_opened_nothing(fresh_kernel):
    code = (
        "import sys\nprint([m for m in ('click', 'httpx', 'wasmtime', 'apsw', 'moc_server_ext') if m in sys.modules])"
    )
    assert fresh_kernel.do(code).stdout == "[]\n"
    assert not fresh_kernel.storage.exists()


def test_the_first_use_announces_the_embedded_platform_in_one_line(fresh_kernel):
    first = fresh_kernel.do("from moc_kernel import connect\nmoc = connect()")
    assert first.stderr == f"moc: no server found; {fresh_kernel.do('print(moc.origin)').stdout}"
    assert str(fresh_kernel.storage) in first.stderr
    assert fresh_kernel.do("%moc functions").stderr == ""


def test_the_magics_and_connect_share_one_client(fresh_kernel):
    fresh_kernel.do("from moc_kernel import connect\nmoc = connect()\nmoc.kv['k'] = b'from Python'")
    assert fresh_kernel.do("%moc kv get k").stdout == "from Python\n"
    assert fresh_kernel.do("print(connect() is moc)").stdout == "True\n"


def test_a_client_that_was_closed_is_replaced(fresh_kernel):
    fresh_kernel.do("from moc_kernel import connect\nconnect().close()\nconnect().kv['k'] = b'again'")
    assert fresh_kernel.do("%moc kv get k").stdout == "again\n"


def test_connecting_to_a_server_that_is_not_there_leaves_the_connection_as_it_was(fresh_kernel):
    fresh_kernel.do("%moc kv set k before")
    cell = fresh_kernel.run("%moc connect http://127.0.0.1:9")
    assert cell.error["ename"] == "ServerUnreachableError"
    assert fresh_kernel.do("%moc kv get k").stdout == "before\n"


def test_a_restarted_kernel_finds_what_the_one_before_stored(fresh_kernel):
    fresh_kernel.do("%moc kv set k kept")
    fresh_kernel.manager.restart_kernel(now=True)
    fresh_kernel.client.wait_for_ready(timeout=60)
    assert fresh_kernel.do("%moc kv get k").stdout == "kept\n"


def test_a_second_process_on_the_same_storage_becomes_a_client_of_the_first(fresh_kernel):
    fresh_kernel.do("%moc kv set k v")
    code = "from moc_kernel import connect\nwith connect() as moc: print(moc.origin.split()[0], moc.kv['k'].decode())"
    done = run_python(code, MOC_STORAGE=str(fresh_kernel.storage))
    assert (done.stdout, done.stderr) == ("server v\n", "")


def test_the_extension_can_be_unloaded_and_loaded_again(plain_kernel):
    plain_kernel.do("%load_ext moc_kernel\n%moc kv set k v\n%unload_ext moc_kernel")
    assert "not found" in plain_kernel.run("%moc kv get k").stderr
    assert plain_kernel.do("%load_ext moc_kernel\n%moc kv get k").stdout.endswith("v\n")


def test_unloading_the_extension_gives_python_its_tracebacks_back(plain_kernel):
    failing = "from moc_server_ext.client import connect as other\nother().call('nothing')"
    plain_kernel.do("%load_ext moc_kernel\nfrom moc_kernel import connect\nconnect().close()")
    assert "Traceback" not in plain_kernel.run(failing).error_text
    plain_kernel.do("%unload_ext moc_kernel")
    assert "Traceback" in plain_kernel.run(f"other().close()\n{failing}").error_text


def test_loading_the_extension_in_the_moc_kernel_does_no_harm(fresh_kernel):
    assert fresh_kernel.do("%load_ext moc_kernel").messages == ["status", "execute_input", "status"]
    assert "Verbs:" in fresh_kernel.do("%moc -h").stdout


def test_connect_works_without_ipython(tmp_path):
    client = connect(storage=tmp_path / "storage")
    try:
        client.kv["k"] = b"plain Python"
        assert client.kv["k"] == b"plain Python"
    finally:
        client.close()


def test_in_a_terminal_a_mistake_is_one_line_too(tmp_path):
    command = [sys.executable, "-m", "IPython", "--colors=NoColor", "--no-banner", "-c"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOC_", "JPY_"))}
    done = subprocess.run(
        [*command, "%load_ext moc_kernel\n%moc call nope"],
        capture_output=True,
        text=True,
        timeout=100,
        env={**kept, "MOC_STORAGE": str(tmp_path / "storage"), "IPYTHONDIR": str(tmp_path)},
    )
    assert "moc: error[function_not_found]: No function is named 'nope'." in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 1
