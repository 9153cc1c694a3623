"""The gateway's certificate: what clients accept, and when it is made anew."""

from __future__ import annotations

import datetime
import os
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from moc_server_ext.errors import ReadOnlyStorageError
from moc_server_ext.http import tls
from moc_server_ext.http.tls import ensure_certificate, server_context


def handshake(certificate, name, context):
    """Let `context` talk to a server with `certificate` in memory."""
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    client = context.wrap_bio(client_in, client_out, server_hostname=name)
    server = server_context(certificate).wrap_bio(server_in, server_out, server_side=True)
    done = set()
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
            server_in.write(client_out.read())
            client_in.write(server_out.read())
        if len(done) == 2:
            return client.version()
    raise AssertionError("the handshake did not end")


STRICT = getattr(ssl, "VERIFY_X509_STRICT", 0) | getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
@pytest.mark.parametrize("flags", [0, ssl.VERIFY_X509_STRICT, STRICT], ids=["default", "strict", "strict and partial"])
def test_python_accepts_the_certificate_for_this_machines_names(tmp_path, name, flags):
    certificate = ensure_certificate(tmp_path / "tls")
    context = ssl.create_default_context(cafile=certificate.cert_file)
    context.verify_flags |= flags
    assert handshake(certificate, name, context) == "TLSv1.3"


def test_other_names_are_refused(tmp_path):
    certificate = ensure_certificate(tmp_path / "tls")
    context = ssl.create_default_context(cafile=certificate.cert_file)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(certificate, "example.org", context)


def test_old_protocols_are_refused(tmp_path):
    certificate = ensure_certificate(tmp_path / "tls")
    assert server_context(certificate).minimum_version is ssl.TLSVersion.TLSv1_2


def test_further_hosts_are_in_it_and_bring_a_new_one(tmp_path):
    first = ensure_certificate(tmp_path / "tls").cert_file.read_bytes()
    certificate = ensure_certificate(tmp_path / "tls", ["10.0.0.7", "box.example"])
    assert certificate.cert_file.read_bytes() != first
    context = ssl.create_default_context(cafile=certificate.cert_file)
    for name in ("10.0.0.7", "box.example", "localhost"):
        handshake(certificate, name, context)


def test_the_key_is_the_owners_alone(tmp_path):
    certificate = ensure_certificate(tmp_path / "tls")
    assert certificate.key_file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700


def test_a_good_certificate_is_kept(tmp_path):
    first = ensure_certificate(tmp_path / "tls")
    before = first.cert_file.read_bytes(), first.key_file.read_bytes()
    again = ensure_certificate(tmp_path / "tls")
    assert (again.cert_file.read_bytes(), again.key_file.read_bytes()) == before
    assert sorted(os.listdir(tmp_path / "tls")) == ["cert.pem", "key.pem"]


def test_it_is_made_anew_before_it_expires(tmp_path, monkeypatch):
    monkeypatch.setattr(tls, "_VALID", datetime.timedelta(days=29))
    before = ensure_certificate(tmp_path / "tls").cert_file.read_bytes()
    monkeypatch.undo()
    after = x509.load_pem_x509_certificate(ensure_certificate(tmp_path / "tls").cert_file.read_bytes())
    assert after.public_bytes(serialization.Encoding.PEM) != before
    assert after.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=300)


@pytest.mark.parametrize("damage", ["cert.pem gone", "key.pem gone", "cert.pem garbage", "key.pem garbage", "readable"])
def test_a_damaged_pair_is_made_anew(tmp_path, damage):
    certificate = ensure_certificate(tmp_path / "tls")
    name, _, how = damage.partition(" ")
    if how == "gone":
        (tmp_path / "tls" / name).unlink()
    elif how == "garbage":
        (tmp_path / "tls" / name).write_bytes(b"-----BEGIN X-----\n")
    else:
        certificate.key_file.chmod(0o644)
    again = ensure_certificate(tmp_path / "tls")
    handshake(again, "localhost", ssl.create_default_context(cafile=again.cert_file))
    assert again.key_file.stat().st_mode & 0o777 == 0o600


def test_an_interrupted_replacement_is_repaired(tmp_path):
    ensure_certificate(tmp_path / "tls")
    (tmp_path / "tls" / "cert.pem").write_bytes(ensure_certificate(tmp_path / "other").cert_file.read_bytes())
    again = ensure_certificate(tmp_path / "tls")
    handshake(again, "localhost", ssl.create_default_context(cafile=again.cert_file))


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ReadOnlyStorageError, match="file"):
        ensure_certificate(tmp_path / "file" / "tls")
