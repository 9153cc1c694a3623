from __future__ import annotations

import os
from pathlib import Path

import pytest

from moc_server_ext.errors import InvalidInputError
from moc_server_ext.model import Mount, parse_mount, parse_mounts


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/srv::/", Mount("/srv", "/")),
        ("/srv/./x//y/::/data/", Mount("/srv/x/y", "/data")),
        ("/srv::data/./x//y", Mount("/srv", "data/x/y")),
        ("/srv::.", Mount("/srv", ".")),
        ("/srv::./", Mount("/srv", ".")),
        ("/srv::/data:ro", Mount("/srv", "/data", read_only=True)),
        ("/srv::/a:b", Mount("/srv", "/a:b")),
        ("/a:b::c", Mount("/a:b", "c")),
    ],
)
def test_a_mount_is_read_as_it_is_written(text, mount):
    assert parse_mount(text) == mount


def test_a_relative_host_is_one_of_the_moment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mount = parse_mount("data::/data")
    monkeypatch.chdir("/")
    assert mount.host == str(tmp_path / "data")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "/srv",
            "/srv:/data",
            "::/data",
            "/srv::",
            "/srv:::ro",
            "/srv::/a/../b",
            "/srv::..",
            "/s\0::/x",
            "/s::\0",
        ),
        "/srv::/data:rw",
    ],
)
def test_what_is_no_mount_is_refused_with_what_one_looks_like(text):
    with pytest.raises(InvalidInputError, match=r"expected HOST::GUEST or HOST::GUEST:ro"):
        parse_mount(text)


def test_python_gives_a_mapping_from_names_or_a_sequence():
    assert parse_mounts(None) == ()
    assert parse_mounts({"/data": "/srv", Path("x"): Path("/y")}) == (Mount("/srv", "/data"), Mount("/y", "x"))
    assert parse_mounts(["/srv::/data:ro", Mount("/y", "./x/")]) == (Mount("/srv", "/data", True), Mount("/y", "x"))
    assert parse_mounts({"/odd:ro": os.fsencode("/a::b")}) == (Mount("/a::b", "/odd:ro"),)


@pytest.mark.parametrize(
    "dirs", ["/srv::/data", b"/srv::/data", 3, [3], [("/srv", "/data")], {"/data": 3}, {3: "/srv"}]
)
def test_anything_else_is_refused(dirs):
    with pytest.raises(InvalidInputError):
        parse_mounts(dirs)


def test_one_name_stands_for_one_directory():
    with pytest.raises(InvalidInputError, match=r"Two directories are to be mounted as '/data': '/a' and '/b'"):
        parse_mounts(["/a::/data", "/b::/data/:ro"])
