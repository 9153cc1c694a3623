"""Which addresses a request may go to by itself."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from moc_server_ext.egress.addresses import refused_kind

REFUSED = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "unspecified"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "shared"),
    ("100.127.255.255", "shared"),
    ("127.0.0.1", "loopback"),
    ("127.255.0.1", "loopback"),
    ("168.63.129.16", "cloud"),
    ("169.254.169.254", "link-local"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.192", "reserved"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "reserved"),
    ("192.168.1.1", "private"),
    ("198.19.0.1", "benchmarking"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "private"),
    ("fd00:ec2::254", "private"),
    ("fc00::1", "private"),
    ("ff02::1", "multicast"),
    ("100::1", "reserved"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("2001:2::1", "reserved"),
    ("2001:20::1", "reserved"),
    ("4000::1", "reserved"),
    ("5f00::1", "reserved"),
    ("64:ff9b:1::a00:1", "private"),
    # IPv4 in IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo (server and client), ISATAP
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:a9fe:a9fe", "link-local"),
    ("::127.0.0.1", "loopback"),
    ("::8.8.8.8", "reserved"),
    ("::ffff:0:10.0.0.1", "private"),
    ("::ffff:0:8.8.8.8", "reserved"),
    ("64:ff9b::169.254.169.254", "link-local"),
    ("64:ff9b::7f00:1", "loopback"),
    ("2002:7f00:1::", "loopback"),
    ("2002:a00:1::1", "private"),
    ("2001:0:7f00:1::f7f7:f7f7", "loopback"),
    ("2001:0:808:808::80ff:fffe", "loopback"),
    ("2a00:1450::5efe:10.0.0.1", "private"),
    ("2a00:1450::200:5efe:7f00:1", "loopback"),
]


@pytest.mark.parametrize(("address", "kind"), REFUSED)
def test_special_addresses_are_refused_with_their_kind(address, kind):
    assert (refused_kind(ip_address(address)) or "").startswith(kind)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.255",
     "2a00:1450::1", "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1", "3ffe::1"],
)  # fmt: skip
def test_public_addresses_are_not_refused(address):
    assert refused_kind(ip_address(address)) is None
