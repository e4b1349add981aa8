"""Corners in which the proxy once went wrong."""

import os
import signal
import time

import pytest
from harness import hello, procfs
from harness.backends import echo, http
from harness.env import PATIENCE
from harness.http import HttpClient
from harness.ports import free_port
from harness.tls import tcp
from harness.wait import wait_until

LAST_OFFSETS = range(65530, 65537)


def hello_ending_at(offset):
    """Records of an unfinished ClientHello that end `offset` bytes into the connection."""
    body = b"\1\0\xff\xf0" + bytes(65520)
    sizes = [16384, 16384, 16384, offset - 3 * (16384 + 5) - 5]
    records, start = b"", 0
    for size in sizes:
        records += hello.record(body[start:start + size])
        start += size
    return records


@pytest.mark.parametrize("offset", LAST_OFFSETS)
def test_an_unfinished_hello_at_the_buffers_edge_costs_no_time(pawl, serve, offset):
    proxy = pawl(serve(http), limits={"handshake_timeout": "2s"})
    worker = proxy.role("worker 0")
    before = procfs.cpu_seconds(worker)
    with tcp(proxy.listen[0]) as sock:
        sock.sendall(hello_ending_at(offset) + bytes(8))
        sock.settimeout(10 * PATIENCE)
        try:
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass
    assert procfs.cpu_seconds(worker) - before < 0.5 * PATIENCE


def test_a_reload_moves_between_a_wildcard_and_its_ipv6_twin(pawl, serve):
    port = free_port()
    proxy = pawl(serve(http), listen=f"*:{port}")
    for address in (f"[::]:{port}", f"*:{port}", f"127.0.0.1:{port}", f"*:{port}"):
        proxy.sections["listener web"]["address"] = address
        proxy.write_config()
        proxy.reload()
        reached = f"[::1]:{port}" if address.startswith("[") else f"127.0.0.1:{port}"
        client = proxy.connect(address=reached)
        assert HttpClient(client).request().status == 200


def test_a_death_during_a_stuck_reload_is_mended_at_once(pawl, serve):
    proxy = pawl(serve(http), workers=2)
    proxy.expect_log("worker 1 was killed by signal 9")
    proxy.expect_log("worker 1 was killed by signal 9 .* while it prepared")
    proxy.expect_log("reload refused")
    proxy.allow_log("worker 1 cannot be told anything")  # when it dies before it is asked
    stuck, killed = proxy.role("worker 0"), proxy.role("worker 1")
    os.kill(stuck, signal.SIGSTOP)
    try:
        proxy.signal(signal.SIGHUP)
        wait_until(lambda: procfs.state_of(stuck) == "T", "a stopped worker")
        os.kill(killed, signal.SIGKILL)
        proxy.log.wait_for("worker 1 serves again", seconds=5)
    finally:
        os.kill(stuck, signal.SIGCONT)
    proxy.reload()


def test_an_upload_cut_by_a_timeout_does_not_look_whole(pawl, serve):
    ends = []

    def read_to_the_end(connection, backend):
        try:
            while connection.recv(65536):
                pass
            ends.append("clean")
        except ConnectionResetError:
            ends.append("reset")

    proxy = pawl(serve(read_to_the_end), limits={"idle_timeout": "300ms"})
    client = proxy.connect()
    client.send(b"half of it")
    wait_until(lambda: ends, "the backend's end")
    assert ends == ["reset"]
    assert proxy.session_line(client)["reason"] == "idle_timeout"


def test_an_end_sent_while_the_backend_is_awaited_is_passed_on(pawl, serve):
    backend = serve(echo)
    backend.refuse()
    proxy = pawl(backend, backend_keys={"wait": "20s"}, limits={"half_close_timeout": "30s"})
    client = proxy.connect()
    client.send(b"all of it")
    client.close_notify()
    time_of_start = time.monotonic()
    backend.start()
    assert client.recv_all() == b"all of it"
    assert time.monotonic() - time_of_start < 5 * PATIENCE
