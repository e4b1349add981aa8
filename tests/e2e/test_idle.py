"""Whatever a session waits for, it waits without using the processor."""

import os
import signal
import time

import pytest
from harness import procfs
from harness.backends import echo, flood, source, stall
from harness.hello import Hello
from harness.ports import free_address
from harness.tls import tcp
from harness.wait import wait_unchanged

LONG = {"idle_timeout": "60s", "half_close_timeout": "60s", "linger_timeout": "60s",
        "handshake_timeout": "60s", "drain_timeout": "100ms"}


@pytest.fixture
def patient(pawl):
    """A Pawl that cuts nothing by itself."""
    def start(backend, **keys):
        proxy = pawl(backend, limits=LONG, **keys)
        proxy.allow_log("drain_timeout is over|have not ended in time")
        return proxy

    return start


def assert_sleeps(proxy):
    """All its processes together use next to nothing of a second."""
    pids = proxy.processes()
    before = sum(procfs.cpu_seconds(pid) for pid in pids)
    time.sleep(1)  # the time that is measured
    assert sum(procfs.cpu_seconds(pid) for pid in pids) - before <= 0.1


def test_without_connections(patient, serve):
    assert_sleeps(patient(serve(echo), workers=2))


def test_with_idle_sessions(patient, serve):
    proxy = patient(serve(echo), workers=2)
    for _ in range(20):
        client = proxy.connect()
        client.send(b"x")
        client.recv_exactly(1)
    assert_sleeps(proxy)


def test_with_clients_that_have_ended(patient, serve):
    proxy = patient(serve(stall))
    for number in range(6):
        client = proxy.connect()
        if number % 3 != 1:
            client.close_notify()
        if number % 3 != 0:
            client.fin()
    assert_sleeps(proxy)


def test_with_backends_that_have_ended(patient, serve):
    proxy = patient(serve(source(1000)))
    for _ in range(5):
        assert len(proxy.connect().recv_all()) == 1000
    assert_sleeps(proxy)


def test_with_clients_that_do_not_read(patient, serve):
    backend = serve(flood)
    proxy = patient(backend)
    for _ in range(5):
        proxy.connect().recv(1)
    wait_unchanged(lambda: backend.sent, "the floods to stand still")
    assert_sleeps(proxy)


def test_with_clients_that_ended_and_do_not_read(patient, serve):
    backend = serve(flood)
    proxy = patient(backend)
    for _ in range(5):
        client = proxy.connect()
        client.recv(1)
        client.close_notify()
        client.fin()
    wait_unchanged(lambda: backend.sent, "the floods to stand still")
    assert_sleeps(proxy)


def test_with_backends_that_do_not_read(patient, serve):
    proxy = patient(serve(stall))
    client = proxy.connect()
    client.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            client.send(bytes(1 << 20))
    assert_sleeps(proxy)


def test_with_a_backend_that_does_not_read_and_a_client_that_has_ended(patient, serve):
    proxy = patient(serve(stall))
    client = proxy.connect()
    client.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            client.send(bytes(1 << 20))
    client.fin()
    assert_sleeps(proxy)


def test_with_clients_that_wait_for_a_backend(patient):
    proxy = patient(free_address(), backend_keys={"wait": "60s"})
    for number in range(6):
        client = proxy.connect()
        client.send(b"request")
        if number % 3 == 1:
            client.close_notify()
        if number % 3 == 2:
            client.fin()
    assert_sleeps(proxy)


def test_with_half_hellos_and_half_handshakes(patient, serve):
    proxy = patient(serve(echo))
    socks = [tcp(proxy.listen[0]) for _ in range(6)]
    for number, sock in enumerate(socks):
        sock.sendall(Hello().record()[:60] if number % 2 else Hello().record())
        if number > 3:
            sock.shutdown(1)
    assert_sleeps(proxy)
    for sock in socks:
        sock.close()


def test_with_handshakes_that_wait_for_the_keyholder(patient, serve):
    proxy = patient(serve(echo))
    keyholder = proxy.role("keyholder 0")
    os.kill(keyholder, signal.SIGSTOP)
    for number in range(6):
        client = proxy.client()
        client.sock.sendall(client.hello())
        if number % 3 == 1:
            client.sock.sendall(b"what comes too early")
        if number % 3 == 2:
            client.fin()
    assert_sleeps(proxy)
    os.kill(keyholder, signal.SIGCONT)


def test_with_clients_that_do_not_close(patient, serve):
    """The session is over; only the client's end is waited for."""
    proxy = patient(serve(source(1)))
    for number in range(4):
        client = proxy.connect()
        assert len(client.recv_all()) == 1
        client.close_notify()
        if number % 2:
            client.sock.sendall(b"garbage after the end" * 1000)
    with tcp(proxy.listen[0]) as refused:
        refused.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert_sleeps(proxy)
