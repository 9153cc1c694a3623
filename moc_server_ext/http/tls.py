"""The gateway's certificate: made on first start, kept in the storage, self-signed, for this machine's own names.

Clients trust exactly this file (``curl --cacert``, ``ca_file`` of the endpoint).
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ReadOnlyStorageError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_VALID = datetime.timedelta(days=397)
_RENEW_BEFORE = datetime.timedelta(days=30)
# Machines whose clocks differ a little must not refuse a fresh certificate.
_BACKDATED = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files; the key's is readable by its owner only."""

    cert_file: Path
    key_file: Path


def ensure_certificate(directory: Path, hosts: Sequence[str] = ()) -> Certificate:
    """Give the certificate in `directory`, making a new one when there is no good one.

    Good is: readable, fits its key, has all names, and does not expire within 30 days. An interrupted replacement
    leaves a pair that does not fit, which the next start replaces.

    Parameters
    ----------
    hosts
        Names and addresses besides localhost, 127.0.0.1 and ::1.

    Raises
    ------
    ReadOnlyStorageError
        The files cannot be written.
    """
    certificate = Certificate(directory / "cert.pem", directory / "key.pem")
    names = (*_LOCAL_HOSTS, *hosts)
    if not _is_good(certificate, names):
        key, cert = _make(names)
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            _write(certificate.key_file, key, 0o600)
            _write(certificate.cert_file, cert, 0o644)
        except OSError as error:
            raise ReadOnlyStorageError(str(directory), error.strerror or str(error)) from error
    return certificate


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """Make the TLS configuration of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context


def _is_good(certificate: Certificate, names: Sequence[str]) -> bool:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        if certificate.key_file.stat().st_mode & 0o077:
            return False
        cert = x509.load_pem_x509_certificate(certificate.cert_file.read_bytes())
        key = serialization.load_pem_private_key(certificate.key_file.read_bytes(), None)
        found = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    now = datetime.datetime.now(datetime.UTC)
    return (
        cert.not_valid_before_utc <= now
        and now + _RENEW_BEFORE < cert.not_valid_after_utc
        and key.public_key() == cert.public_key()
        and set(found) >= set(_alternative_names(names))
    )


def _make(names: Sequence[str]) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "My Own Cluster gateway")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_key_identifier(key), critical=False)
    )
    cert = builder.sign(key, hashes.SHA256())
    return (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        cert.public_bytes(serialization.Encoding.PEM),
    )


def _key_usage() -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key_identifier(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    from cryptography import x509

    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _alternative_names(names: Sequence[str]) -> list[x509.GeneralName]:
    from cryptography import x509

    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file as a whole: readers see the old one or the new one, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
