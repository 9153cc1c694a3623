"""Symbolic and hard links of the private tree: where they lead, how far, and what they cost."""

from __future__ import annotations

import gc
import weakref

import pytest

from moc_server_ext.engines.wasi import layout
from moc_server_ext.engines.wasi.nodes import NODE_BYTES
from moc_server_ext.engines.wasi.tree import MAX_EXPANSIONS
from moc_server_ext.guest_api.errno import Errno, GuestErrno

RESULT, CONTENT = 64, 64 << 10


def refused(errno: str):
    return pytest.raises(GuestErrno, match=f"^{errno}$")


@pytest.fixture
def guest(guest):
    fd = guest.open("f", "w")
    guest.write(fd, b"abc")
    guest.need(guest.fd_close(fd))
    guest.mkdir("d")
    return guest


def content(guest, path, **options):
    fd = guest.open(path, **options)
    found = guest.read(fd, 100)
    guest.need(guest.fd_close(fd))
    return found


# -- symbolic links ---------------------------------------------------------------------------------------------------


def test_a_symbolic_link_is_followed_on_the_way_and_on_request_at_the_end(guest):
    guest.symlink("../f", "d/up")
    guest.symlink("d", "way")
    assert content(guest, "way/up") == b"abc"
    assert guest.readlink("way/up") == b"../f"
    assert guest.stat("way/up")["filetype"] == layout.REGULAR_TYPE
    seen = guest.stat("way/up", follow=False)
    assert (seen["filetype"], seen["size"], seen["nlink"]) == (layout.SYMBOLIC_LINK_TYPE, 4, 1)
    with refused("ELOOP"):
        guest.open("way/up", follow=False)


def test_a_link_is_read_as_far_as_there_is_room(guest):
    guest.symlink("some/where", "link")
    assert guest.readlink("link", room=4) == b"some"
    assert guest.readlink("link", room=0) == b""
    assert guest.path_readlink(3, *guest.path("link"), -4, 8, RESULT) == Errno.EFAULT
    assert guest.path_readlink(3, *guest.path("link"), CONTENT, 8, -2) == Errno.EFAULT


def test_a_listing_tells_links_from_what_they_lead_to(guest):
    guest.symlink("f", "link")
    guest.symlink("nowhere", "dangling")
    entries = dict(guest.page(3)[0])
    assert entries["link"] == entries["dangling"] == layout.SYMBOLIC_LINK_TYPE
    assert entries["f"] == layout.REGULAR_TYPE


def test_a_file_is_created_where_a_dangling_link_leads_but_not_exclusively(guest):
    guest.symlink("d/new", "link")
    with refused("EEXIST"):
        guest.open("link", "x")
    with refused("ELOOP"):
        guest.open("link", "w", follow=False)
    with refused("ENOENT"):
        guest.stat("link")
    guest.open("link", "w")
    assert guest.listdir("d") == ["new"]


@pytest.mark.parametrize("target", ["..", "../f", "d/../..", "d/../../f"])
def test_a_link_that_leaves_what_it_is_followed_from_is_refused_then(guest, target):
    guest.symlink(target, "link")
    for act in (guest.open, guest.stat, lambda path: guest.open(f"{path}/x", "w")):
        with refused("EPERM"):
            act("link")
    assert guest.readlink("link") == target.encode()
    guest.mkdir("d/e")
    guest.rename("link", "d/e/link")
    if target == "../f":
        with refused("ENOENT"):
            guest.open("d/e/link")


def test_what_is_within_reach_depends_on_the_descriptor_that_a_link_is_followed_from(guest):
    guest.symlink("../f", "d/up")
    assert content(guest, "d/up") == b"abc"
    with refused("EPERM"):
        guest.open("up", at=guest.open("d", "d"))


def test_a_link_that_leads_nowhere_by_its_form_is_not_made(guest):
    refusals = {"/f": "EPERM", "": "ENOENT", "a\0": "EINVAL", "x" * 4097: "ENAMETOOLONG", b"\xff": "EILSEQ"}
    for target, errno in refusals.items():
        with refused(errno):
            guest.symlink(target, "link")
    with refused("ENOENT"):
        guest.readlink("link")
    guest.symlink("x" * 256, "link")
    with refused("ENAMETOOLONG"):
        guest.open("link")


def test_as_many_links_are_followed_as_are_on_no_way_without_end(guest):
    guest.symlink("f", "link-0")
    for number in range(MAX_EXPANSIONS):
        guest.symlink(f"link-{number}", f"link-{number + 1}")
    assert content(guest, f"link-{MAX_EXPANSIONS - 1}") == b"abc"
    for act in (guest.open, guest.stat):
        with refused("ELOOP"):
            act(f"link-{MAX_EXPANSIONS}")


def test_links_in_a_ring_and_links_that_multiply_end(guest):
    guest.symlink("two", "one")
    guest.symlink("one", "two")
    guest.symlink("loop/loop/loop", "loop")
    for path in ("one", "two", "loop", "loop/f", "one/"):
        with refused("ELOOP"):
            guest.stat(path)
    # Each level leads through the one below it many times: 60 ** 3 steps, were they all made.
    guest.symlink(".", "step-0")
    for level in range(3):
        guest.symlink("/".join([f"step-{level}"] * 60), f"step-{level + 1}")
    with refused("ELOOP"):
        guest.stat("step-3/f")


def test_links_cost_their_name_and_their_content(make_guest):
    guest = make_guest(limits={"scratch_bytes": 3 * NODE_BYTES})
    with refused("ENOSPC"):
        guest.symlink("x" * (NODE_BYTES + 1), "link")
    guest.symlink("abc/" * 10, "link")
    with refused("ENOSPC"):
        guest.symlink("f", "other")
    guest.unlink("link")
    guest.symlink("f", "a")
    assert guest.state.tree.quota.used_bytes == 2 * NODE_BYTES + 1


def test_a_tree_of_links_is_freed_with_its_call(make_guest):
    guest = make_guest()
    guest.mkdir("d")
    guest.symlink("../d", "d/self")
    guest.symlink("loop", "loop")
    assert guest.listdir("d/self/self/self") == ["self"]
    tree = weakref.ref(guest.state.tree.root)
    gc.disable()
    try:
        del guest
        assert tree() is None
    finally:
        gc.enable()


# -- hard links -------------------------------------------------------------------------------------------------------


def test_two_names_of_a_file_are_one_file(guest):
    guest.link("f", "d/g")
    first, second = guest.stat("f"), guest.stat("d/g")
    assert first == second
    assert first["nlink"] == 2
    guest.write(guest.open("d/g", "a"), b"def")
    assert content(guest, "f") == b"abcdef"
    guest.unlink("f")
    assert guest.stat("d/g")["nlink"] == 1
    assert content(guest, "d/g") == b"abcdef"


def test_a_link_to_a_symbolic_link_is_one_itself(guest):
    guest.symlink("nowhere", "link")
    guest.link("link", "other")
    assert guest.readlink("other") == b"nowhere"
    assert guest.stat("other", follow=False)["nlink"] == 2
    with refused("EINVAL"):
        guest.link("link", "third", follow=True)


@pytest.mark.parametrize(("old", "new", "errno"), [
    ("d", "e", "EPERM"), ("f", "d", "EEXIST"), ("f", "f", "EEXIST"), ("none", "g", "ENOENT"), ("f", "g/", "ENOENT"),
    ("f/", "g", "ENOTDIR"), ("f", "none/g", "ENOENT"), ("f", "f/g", "ENOTDIR"), ("f", "../g", "EPERM"),
    ("/f", "g", "EPERM"), ("f", "api://output", "EPERM"), ("api://input", "g", "EPERM"),
])  # fmt: skip
def test_a_hard_link_that_cannot_be_changes_nothing(guest, old, new, errno):
    with refused(errno):
        guest.link(old, new)
    assert guest.listdir(".") == ["tmp", "f", "d"]
    assert guest.stat("f")["nlink"] == 1


def test_renaming_one_name_of_a_file_to_another_leaves_both(guest):
    guest.link("f", "g")
    guest.rename("f", "g")
    assert guest.listdir(".") == ["tmp", "f", "d", "g"]
    assert guest.stat("g")["nlink"] == 2


def test_names_cost_each_and_content_once(guest):
    used = guest.state.tree.quota.used_bytes
    guest.link("f", "g")
    assert guest.state.tree.quota.used_bytes == used + NODE_BYTES
    guest.rename("d", "tmp/d")
    fd = guest.open("f")
    guest.unlink("f")
    guest.unlink("g")
    assert guest.fstat(fd)["nlink"] == 0
    assert guest.read(fd, 10) == b"abc"
    assert guest.state.tree.quota.used_bytes == used
    guest.need(guest.fd_close(fd))
    assert guest.state.tree.quota.used_bytes == used - NODE_BYTES - 3


def test_hard_links_without_end_meet_the_quota(make_guest):
    guest = make_guest(limits={"scratch_bytes": 20 * NODE_BYTES})
    guest.need(guest.fd_close(guest.open("f", "w")))
    made = 0
    with refused("ENOSPC"):
        while True:
            guest.link("f", f"tmp/{made}")
            made += 1
    assert made == 18
