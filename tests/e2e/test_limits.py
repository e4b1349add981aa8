"""What one source, and all together, may have open; sources are addresses in 127/8."""

import contextlib
import math
import resource
import select
import ssl
import struct
import time

import pytest
from harness import hello
from harness.admin import Admin, total
from harness.backends import echo, http
from harness.load import Load
from harness.tls import TlsClient, client_context, reset, tcp
from harness.wait import wait_until

HOSTILE, OTHER = "127.0.0.2", "127.0.0.3"
START = hello.Hello().record()[:50]  # of a hello: its handshake stays in progress


@pytest.fixture
def limited(pawl, serve):
    """Pawl that limits sources in 127/8 too."""
    def start(handler=echo, workers=1, extra=None, **limits):
        return pawl(serve(handler), workers=workers, extra=extra,
                    limits={"exempt_private": "no", **limits})

    return start


def connect(proxy, source, context=None, sni="app.example"):
    client = TlsClient(proxy.listen[0], context or client_context(), sni, source=source)
    proxy.clients.append(client)
    client.handshake()
    client.send(b"x")
    assert client.recv_exactly(1) == b"x"
    return client


def is_refused(proxy, source):
    """Whether a connection of `source` is reset; it must be served if it is not."""
    try:
        connect(proxy, source).close()
        return False
    except ConnectionResetError:
        return True


def half_open(proxy, source, data=START):
    sock = tcp(proxy.listen[0], source)
    sock.sendall(data)
    return sock


def was_reset(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""  # after the error the end
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def refused(proxy, reason, source, after=0):
    return proxy.log.wait_for("connection refused", after=after, reason=reason, source=source)


# --- Per source.

def test_a_source_has_only_so_many_connections(limited):
    proxy = limited(connections_per_source=3)
    clients = [connect(proxy, HOSTILE) for _ in range(3)]
    assert is_refused(proxy, HOSTILE)
    assert refused(proxy, "connections_per_source", HOSTILE)["listener"] == "web"
    assert not is_refused(proxy, OTHER)
    clients[0].close()
    wait_until(lambda: not is_refused(proxy, HOSTILE), "one more to be let in")


def test_a_source_has_only_so_many_handshakes_in_progress(limited):
    proxy = limited(handshakes_per_source=2)
    waiting = [half_open(proxy, HOSTILE) for _ in range(2)]
    wait_until(lambda: is_refused(proxy, HOSTILE), "the handshakes to be counted")
    refused(proxy, "handshakes_per_source", HOSTILE)
    assert not is_refused(proxy, OTHER)
    for sock in waiting:
        reset(sock)
    wait_until(lambda: not is_refused(proxy, HOSTILE), "the handshakes to be over")
    clients = [connect(proxy, HOSTILE) for _ in range(5)]  # one after the other
    assert len(clients) == 5


def test_a_source_whose_handshakes_fail_is_refused_for_a_while(limited):
    proxy = limited(failed_handshakes=3, penalty="2s")
    survivor = connect(proxy, HOSTILE)
    for _ in range(4):
        half_open(proxy, HOSTILE, b"garbage" * 10).recv(100)
    proxy.log.wait_for("source penalized", source=HOSTILE, reason="failed_handshakes")
    assert is_refused(proxy, HOSTILE)
    refused(proxy, "penalty", HOSTILE)
    assert not is_refused(proxy, OTHER)
    survivor.send(b"y")
    assert survivor.recv_exactly(1) == b"y"
    wait_until(lambda: not is_refused(proxy, HOSTILE), "the penalty to end")


def test_hanging_up_on_our_hello_counts_as_a_failure(limited):
    proxy = limited(failed_handshakes=1)
    for _ in range(2):
        sock = half_open(proxy, HOSTILE, hello.Hello().record())
        assert hello.first_record(sock) == "handshake"
        reset(sock)
    proxy.log.wait_for("source penalized", source=HOSTILE)
    assert is_refused(proxy, HOSTILE)


def test_handshakes_that_fail_through_no_fault_of_the_client_do_not_count(limited):
    proxy = limited(failed_handshakes=1, extra={"listener web": {"unknown_sni": "refuse"}})
    distrustful = ssl.create_default_context()
    distrustful.check_hostname = False
    for _ in range(3):
        with pytest.raises(ssl.SSLError):
            connect(proxy, HOSTILE, sni="nobody.example")
        with pytest.raises(ssl.SSLError):
            connect(proxy, HOSTILE, context=distrustful)
        half_open(proxy, HOSTILE, b"").close()
    proxy.log.wait_for("handshake failed", count=3, reason="tls_alert")
    proxy.log.wait_for("handshake failed", count=3, reason="unknown_sni")
    assert not is_refused(proxy, HOSTILE)


def test_a_network_can_be_one_source(limited):
    proxy = limited(connections_per_source=1, source_prefix_v4=24)
    kept = connect(proxy, "127.0.7.1")
    assert is_refused(proxy, "127.0.7.250")
    refused(proxy, "connections_per_source", "127.0.7.0/24")
    assert not is_refused(proxy, "127.0.8.1")
    kept.close()


# --- Who has no limit.

def test_exempt_sources_have_no_limits(limited):
    proxy = limited(connections_per_source=1, failed_handshakes=1,
                    exempt="127.0.0.2, 127.0.9.0/24")
    for source in (HOSTILE, "127.0.9.77"):
        for _ in range(3):
            half_open(proxy, source, b"garbage" * 10).recv(100)
        clients = [connect(proxy, source) for _ in range(3)]
        assert len(clients) == 3
    kept = connect(proxy, OTHER)
    assert is_refused(proxy, OTHER)
    kept.close()


def test_private_sources_have_no_limits_by_default(pawl, serve):
    proxy = pawl(serve(echo), limits={"connections_per_source": 1})
    clients = [connect(proxy, HOSTILE) for _ in range(5)]
    assert len(clients) == 5


# --- Behind a load balancer.

@pytest.fixture
def behind(pawl, serve):
    def start(**limits):
        proxy = pawl(serve(echo), limits=limits, extra={
            "listener web": {"accept_proxy": "yes", "proxy_networks": "127.0.0.0/8"}})
        proxy.guarded = True
        return proxy

    return start


def named(proxy, address, context=None):
    """A client before its handshake, of whom the balancer says where it comes from."""
    client = TlsClient(proxy.listen[0], context or client_context())
    proxy.clients.append(client)
    family = "TCP6" if ":" in address else "TCP4"
    server = "2001:db8::1" if ":" in address else "192.0.2.1"
    client.sock.sendall(f"PROXY {family} {address} {server} 4321 443\r\n".encode())
    return client


def test_the_source_is_whom_the_load_balancer_names(behind):
    proxy = behind(connections_per_source=2)
    for source, neighbour, stranger in (("198.51.100.7", "198.51.100.7", "198.51.100.8"),
                                        ("2001:db8:1:2::1", "2001:db8:1:2::2",
                                         "2001:db8:1:3::1")):
        kept = [named(proxy, source).handshake() for _ in range(2)]
        with pytest.raises(ConnectionResetError):
            named(proxy, neighbour).handshake()
        proxy.log.wait_for("handshake failed", reason="source_limit",
                           detail="connections_per_source")
        named(proxy, stranger).handshake()
        kept.pop().close()

        def is_let_in(address=source):
            with contextlib.suppress(ConnectionResetError):
                return named(proxy, address).handshake()
            return None

        wait_until(is_let_in, "one more to be let in")


def test_a_load_balancer_itself_is_not_limited(behind):
    proxy = behind(connections_per_source=1, exempt_private="no", failed_handshakes=1)
    for number in range(4):
        named(proxy, f"198.51.100.{number}").handshake()
    checks = []
    for _ in range(4):
        client = TlsClient(proxy.listen[0], client_context())
        client.sock.sendall(b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x20, 0, 0))
        checks.append(client.handshake())
    for check in checks:
        check.close()


def test_three_hundred_at_once_from_one_address_are_served_by_default(behind):
    proxy = behind(handshake_timeout="60s")
    context = client_context()
    clients = [named(proxy, "203.0.113.9", context) for _ in range(300)]
    hellos = [client.hello() for client in clients]
    for client, data in zip(clients, hellos):
        client.sock.sendall(data)
    for client in clients:
        client.handshake()
    for client in clients:
        client.send(b"z")
        assert client.recv_exactly(1) == b"z"
    assert not proxy.log.find("source_limit|source penalized")


# --- All together.

def test_no_more_connections_than_configured_are_served_at_once(limited):
    proxy = limited(connections=3, connections_per_source="unlimited")
    proxy.expect_log("accepting pauses with 3 sessions open: more than connections in")
    clients = [connect(proxy, OTHER) for _ in range(3)]
    late = TlsClient(proxy.listen[0], client_context(), source=OTHER)
    proxy.clients.append(late)
    late.sock.sendall(late.hello())
    proxy.log.wait_for("accepting pauses")
    assert not select.select([late.sock], [], [], 0.5)[0]  # it waits in the queue
    clients[0].close()
    late.handshake()
    late.close()
    for client in clients[1:]:
        client.close()


def test_connections_beyond_the_rate_wait_and_are_served(limited):
    proxy = limited(accept_rate=10)
    proxy.expect_log("accepting pauses with .* than accept_rate in")
    before = time.monotonic()
    for _ in range(30):
        connect(proxy, OTHER).close()
    # Ten at once, twenty more at ten a second.
    assert time.monotonic() - before > 1.9


def test_what_is_refused_is_counted(limited, folder):
    proxy = limited(connections_per_source=2, failed_handshakes=2, penalty="60s",
                    extra={"admin": {"address": f"unix:{folder}/admin.sock"}})
    admin = Admin(f"unix:{folder}/admin.sock")
    kept = [connect(proxy, OTHER) for _ in range(2)]
    assert [is_refused(proxy, OTHER) for _ in range(3)] == [True] * 3
    for _ in range(3):
        half_open(proxy, HOSTILE, b"garbage" * 10).recv(100)
    proxy.log.wait_for("source penalized", source=HOSTILE)
    assert is_refused(proxy, HOSTILE)

    def counts():
        found = admin.metrics()
        return (total(found, "connections_refused_total", reason="connections_per_source"),
                total(found, "connections_refused_total", reason="penalty"),
                total(found, "connections_refused_total"),
                total(found, "source_penalties_total"), total(found, "sources"))

    wait_until(lambda: counts() == (3, 1, 4, 1, 2), "the refusals to be counted")
    for client in kept:
        client.close()
    wait_until(lambda: counts()[-1] == 1, "the source without connections to be forgotten")


# --- Floods, workers, reload.

@contextlib.contextmanager
def many_files():
    """Room for sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(hard, 1 << 20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_flood_from_one_source_leaves_the_others_alone(limited):
    proxy = limited(http, handshake_timeout="60s")
    with many_files() as room:
        if room < 6000:
            pytest.skip("too few descriptors for a flood")
        with Load(proxy.listen[0], kept=2, fresh=2) as load:
            flood = []
            for _ in range(5000):
                with contextlib.suppress(ConnectionResetError):
                    flood.append(half_open(proxy, HOSTILE))
            wait_until(lambda: sum(map(was_reset, flood)) >= len(flood) - 512,
                       "all but 512 to be reset", seconds=30)
            load.wait_progress()
            for sock in flood:
                reset(sock)
            load.wait_progress()
        assert not load.failures
        refused(proxy, "handshakes_per_source", HOSTILE)

        def is_served():
            with contextlib.suppress(ConnectionResetError):
                client = TlsClient(proxy.listen[0], client_context(), source=HOSTILE)
                return client.handshake().close() or True
            return False

        wait_until(is_served, "the source to be served again")


def test_workers_share_a_limit(limited):
    """No fewer than the limit get in, whichever worker they reach, and hardly more."""
    proxy = limited(workers=2, handshakes_per_source=100, handshake_timeout="60s")
    flood = [half_open(proxy, HOSTILE) for _ in range(400)]
    each = 50 + 22  # half, and three standard deviations of chance
    wait_until(lambda: sum(map(was_reset, flood)) >= 400 - 2 * each, "the rest to be reset")
    assert sum(map(was_reset, flood)) == 400 - 2 * each
    for sock in flood:
        reset(sock)


def test_workers_share_a_limit_when_their_number_is_auto(limited):
    """They cannot count processors themselves: their sandbox does not let them."""
    proxy = limited(workers="auto", handshakes_per_source=100, handshake_timeout="60s")
    workers = len(proxy.roles("worker"))
    mean = -(-100 // workers)
    each = min(100, mean + math.ceil(3 * math.sqrt(mean)))
    flood = [half_open(proxy, HOSTILE) for _ in range(200 * workers)]
    wait_until(lambda: len(flood) - sum(map(was_reset, flood)) <= workers * each,
               "the rest to be reset")
    assert len(flood) - sum(map(was_reset, flood)) == workers * each
    for sock in flood:
        reset(sock)


def test_a_reload_changes_limits_and_keeps_counts(limited):
    proxy = limited(connections_per_source=5)
    clients = [connect(proxy, HOSTILE) for _ in range(3)]
    proxy.sections["limits"]["connections_per_source"] = 2
    proxy.reload()
    assert is_refused(proxy, HOSTILE)
    for client in clients:
        client.send(b"y")
        assert client.recv_exactly(1) == b"y"
    proxy.sections["limits"]["connections_per_source"] = 4
    proxy.reload()
    clients.append(connect(proxy, HOSTILE))
    assert is_refused(proxy, HOSTILE)
    proxy.sections["limits"]["exempt"] = HOSTILE
    proxy.reload()
    clients += [connect(proxy, HOSTILE) for _ in range(3)]
    for client in clients:
        client.close()
