"""The load generator tells apart what it counts: a figure of a benchmark is no better than that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.doors.load import Generator, Target
from benchmarks.doors.transfer import transfer
from moc_server_ext.http.tls import ensure_certificate, server_context

ANSWERS = {
    "/length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/parts": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "/empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "/last": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    "/later": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    "/never": b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
}
ENDS = {"/last", "/short"}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            if path == "/echo":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                left = int(head.lower().split(b"content-length: ")[1].split()[0])
                while left:
                    part = await reader.read(65536)
                    left -= len(part)
                    writer.write(part)
                    await writer.drain()
                break
            answer = ANSWERS[path]
            # In two parts, which a reader must put together.
            writer.write(answer[:20])
            await writer.drain()
            writer.write(answer[20:])
            await writer.drain()
            if path in ENDS:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    certificate = ensure_certificate(tmp_path_factory.mktemp("tls"))
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_answer, "127.0.0.1", 0, ssl=server_context(certificate)))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Target(f"https://localhost:{server.sockets[0].getsockname()[1]}", Path(certificate.cert_file))

    async def stop() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loop.stop()

    asyncio.run_coroutine_threadsafe(stop(), loop)
    thread.join(60)
    loop.close()


@pytest.mark.parametrize("path", ["/length", "/parts", "/empty", "/last"])
def test_every_kind_of_whole_answer_counts_as_answered(target: Target, path: str) -> None:
    with Generator(target, 3) as generator:
        sample = generator.burst(target.request("POST", path))
        again = generator.burst(target.request("POST", path))
    assert (sample.answered, sample.refused, sample.wrong, sample.lost) == (3, 0, 0, 0)
    assert again.answered == 3


@pytest.mark.parametrize(("path", "counted"), [("/later", "refused"), ("/never", "wrong"), ("/short", "lost")])
def test_what_is_no_answer_is_counted_by_its_kind_and_fails_the_check(target: Target, path: str, counted: str) -> None:
    with Generator(target, 2) as generator:
        sample = generator.burst(target.request("POST", path))
        assert generator.burst(target.request("POST", "/length")).answered == 2
    kinds = ("answered", "refused", "wrong", "lost")
    assert {kind: getattr(sample, kind) for kind in kinds if getattr(sample, kind)} == {counted: 2}
    with pytest.raises(RuntimeError, match=counted):
        sample.check()


def test_closed_loop_keeps_every_connection_busy_until_its_end(target: Target) -> None:
    with Generator(target, 4) as generator:
        sample = generator.closed(target.request("POST", "/length"), 0.2).check()
    assert sample.answered >= 4
    assert sample.seconds >= 0.2


def test_open_loop_sends_what_was_due_even_with_too_few_connections(target: Target) -> None:
    with Generator(target, 1) as generator:
        sample = generator.open(target.request("POST", "/length"), 400, 0.25).check()
    assert sample.answered == 100
    assert sample.seconds >= 0.24


def test_transfer_reads_the_answer_while_it_sends(target: Target) -> None:
    size = 8 << 20
    found = transfer(target, "/echo", size)
    assert found.sent_bytes == size
    assert found.received_bytes > size
    assert found.first_byte_share < 1
