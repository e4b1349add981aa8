"""Memory stays bounded whatever peers do not read, and idle clients cost little."""

import pytest
from harness import hello
from harness.backends import echo, flood, http, stall
from harness.env import SANITIZED
from harness.http import HttpClient
from harness.tls import client_context
from harness.wait import wait_unchanged, wait_until

pytestmark = pytest.mark.skipif(SANITIZED, reason="the sanitizers' own memory is measured")

MIB = 1024 * 1024
GROWTH_MAX = 16 * MIB


def assert_bounded(proxy, before):
    now = proxy.rss()
    growth = {pid: now[pid] - before.get(pid, 0) for pid in now}
    assert max(growth.values()) < GROWTH_MAX, growth


def warmed(proxy):
    """Memory by process once each has done what it does."""
    with proxy.connect() as client:
        client.send(b"x")
    return proxy.rss()


def test_a_client_that_does_not_read_holds_up_the_backend(pawl, serve):
    backend = serve(flood)  # would send as much as anybody takes
    proxy = pawl(backend)
    before = warmed(proxy)
    client = proxy.connect()
    client.recv(1)
    taken = wait_unchanged(lambda: backend.sent, "the flood to stand still")
    assert taken < 64 * MIB
    assert_bounded(proxy, before)
    assert client.recv(65536)  # and it goes on as soon as somebody reads
    assert_bounded(proxy, before)


def test_a_slow_client_of_a_gibibyte_costs_no_memory(pawl, serve):
    backend = serve(flood)
    proxy = pawl(backend)
    before = warmed(proxy)
    client = proxy.connect()
    received = 0
    while received < 1024 * MIB:
        received += len(client.recv(65536))
        if received % (100 * MIB) < 16384:
            assert_bounded(proxy, before)
    assert_bounded(proxy, before)


def test_a_backend_that_does_not_read_holds_up_the_client(pawl, serve):
    proxy = pawl(serve(stall), limits={"drain_timeout": "100ms"})
    proxy.allow_log("drain_timeout is over")  # this backend ends nothing by itself
    before = warmed(proxy)
    client = proxy.connect()
    client.sock.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 1024 * MIB:
            client.send(bytes(MIB))
            sent += MIB
    assert sent < 64 * MIB
    assert_bounded(proxy, before)


def test_100_stuck_clients_cost_a_bounded_amount_each(pawl, serve):
    backend = serve(flood)
    proxy = pawl(backend)
    warmed(proxy)
    worker = proxy.role("worker 0")
    before = proxy.rss()[worker]
    clients = [proxy.connect() for _ in range(100)]
    for client in clients:
        client.recv(1)
    wait_unchanged(lambda: backend.sent, "the floods to stand still", still=1)
    growth = proxy.rss()[worker] - before
    for client in clients:
        client.reset()
    assert growth < 100 * 256 * 1024


def test_idle_connections_cost_little_and_give_it_back(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend)
    warmed(proxy)
    worker = proxy.role("worker 0")
    before = proxy.rss()[worker]
    context = client_context()
    clients = [proxy.connect(context=context) for _ in range(500)]
    for client in clients:
        client.send(b"x")
        client.recv_exactly(1)
    each = (proxy.rss()[worker] - before) / len(clients)
    assert each < 10 * 1024  # wolfSSL's 3.4 KB and the session, rounded up generously
    for client in clients:
        client.close()
    backend.wait_idle()
    wait_until(lambda: len(proxy.log.find("session closed")) >= 501, "the sessions to end")


def test_many_short_connections_leave_nothing(pawl, serve):
    proxy = pawl(serve(http))
    worker = proxy.role("worker 0")
    context = client_context()

    def run(count):
        for _ in range(count):
            with proxy.client(context=context).handshake() as client:
                assert HttpClient(client).request("/bytes/20000").status == 200

    run(200)
    before = proxy.rss()[worker]
    run(600)
    assert proxy.rss()[worker] - before < 256 * 1024


def test_refused_handshakes_leave_nothing(pawl, serve):
    proxy = pawl(serve(echo))
    worker = proxy.role("worker 0")
    offers = [b"GET / HTTP/1.1\r\n\r\n", hello.Hello(groups=(hello.P384,)).record(),
              hello.Hello().record()[:100], hello.Hello().record() + b"garbage"]

    def run(count):
        for number in range(count):
            hello.answer(proxy.listen[0], offers[number % len(offers)], end=True)

    run(100)
    before = proxy.rss()[worker]
    run(600)
    assert proxy.rss()[worker] - before < 256 * 1024


def test_reloads_leave_nothing(pawl, serve):
    # Keyholders keep former keys for handshake_timeout.
    proxy = pawl(serve(http), workers=2, limits={"handshake_timeout": "100ms"})

    def run(count):
        for number in range(count):
            proxy.sections["limits"]["idle_timeout"] = f"{number + 10}s"
            proxy.reload()
            with proxy.connect() as client:
                assert HttpClient(client).request().status == 200

    run(30)
    before = proxy.rss()
    run(100)
    now = proxy.rss()
    growth = {pid: now[pid] - before[pid] for pid in now}
    assert max(growth.values()) < 256 * 1024, growth
