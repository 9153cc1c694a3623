"""Virtual files are recognised however a program or its runtime spells them, and nothing else is."""

from __future__ import annotations

import posixpath

from hypothesis import given, settings
from hypothesis import strategies as st

from moc_server_ext.engines.wasi.paths import virtual
from moc_server_ext.engines.wasi.schemes import SCHEMES

SCHEME = st.sampled_from(sorted(each.decode() for each in SCHEMES))
PLAIN = st.text(st.characters(exclude_characters="/\0:", exclude_categories=["Cs"]), min_size=1, max_size=8)
# What a cleaned path can express: no empty components, and none that mean something else.
COMPONENT = PLAIN.filter(lambda each: each not in (".", ".."))
NAME = st.lists(COMPONENT, min_size=1, max_size=4).map("/".join)
BEFORE = st.lists(COMPONENT | st.just("."), max_size=3).map(lambda each: "".join(f"{name}/" for name in each))
SLASHES = st.sampled_from(["/", "//"])
ANY = st.lists(st.sampled_from(["buffer:", "kv:", "api:", "http:", "/", "//", "a", ".", "..", "x:", ":"]), max_size=8)


@settings(deadline=None)
@given(SCHEME, NAME, BEFORE, SLASHES, st.sampled_from(["", "/"]))
def test_every_spelling_names_the_same(scheme, name, before, slashes, lead):
    found = virtual(f"{lead}{before}{scheme}:{slashes}{name}".encode())
    assert found == (scheme.encode(), name.encode())


@settings(deadline=None)
@given(SCHEME, NAME, BEFORE)
def test_a_cleaned_path_names_what_the_path_did(scheme, name, before):
    path = f"/{before}{scheme}://{name}"
    cleaned = posixpath.normpath(path)
    assert virtual(cleaned.encode()) == virtual(path.encode()) == virtual(cleaned.lstrip("/").encode())


@settings(deadline=None)
@given(SCHEME, st.binary(max_size=40).filter(lambda each: b"\0" not in each and not each.startswith(b"/")))
def test_a_name_is_taken_to_its_last_byte(scheme, name):
    found = virtual(scheme.encode() + b"://" + name)
    assert found == (scheme.encode(), name)


@settings(deadline=None)
@given(PLAIN, SCHEME, NAME)
def test_a_name_that_only_ends_like_a_scheme_is_a_file(prefix, scheme, name):
    assert virtual(f"{prefix}{scheme}:/{name}".encode()) is None
    assert virtual(f"{scheme}:{name}".encode()) is None


@settings(deadline=None)
@given(ANY.map("".join))
def test_the_first_scheme_counts(path):
    # The last component has no slash behind it, which a scheme needs.
    schemes = [each for each in path.split("/")[:-1] if each.removesuffix(":").encode() in SCHEMES and ":" in each]
    found = virtual(path.encode())
    assert ([] if found is None else [f"{found.scheme.decode()}:"]) == schemes[:1]
