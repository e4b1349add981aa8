"""Bytes go through unchanged in both directions, and each direction ends by itself."""

import hashlib
import threading
import time

import pytest
from harness import pattern
from harness.backends import banner, echo, http, sink, source
from harness.env import PATIENCE
from harness.http import HttpClient
from harness.tls import TLS12, TLS13, client_context
from harness.wait import wait_until

MIB = 1024 * 1024
SIZES = [1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, MIB, 256 * MIB]
VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])


@pytest.mark.parametrize("size", SIZES)
def test_bytes_to_the_backend_are_unchanged(pawl, serve, size):
    proxy = pawl(serve(sink))
    client = proxy.connect()
    for piece in pattern.chunks(size):
        client.send(piece)
    client.close_notify()
    assert client.recv_all().decode() == f"{pattern.digest(size)} {size}\n"
    assert proxy.session_line(client)["bytes_in"] == str(size)


@pytest.mark.parametrize("size", SIZES)
def test_bytes_to_the_client_are_unchanged(pawl, serve, size):
    proxy = pawl(serve(source(size)))
    client = proxy.connect()
    assert pattern.digest_of(client.recv) == (pattern.digest(size), size)
    client.close_notify()
    assert proxy.session_line(client)["bytes_out"] == str(size)


@VERSIONS
def test_both_directions_run_at_once(pawl, serve, version):
    proxy = pawl(serve(echo))
    client = proxy.connect(context=client_context(version=version))
    body = pattern.whole(32 * MIB)
    answer = client.exchange(body, len(body))
    assert hashlib.sha256(answer).hexdigest() == hashlib.sha256(body).hexdigest()


def test_small_messages_go_to_and_fro_without_delay(pawl, serve):
    proxy = pawl(serve(echo))
    client = proxy.connect()
    started = time.monotonic()
    for number in range(1000):
        message = f"message {number}".encode()
        client.send(message)
        assert client.recv_exactly(len(message)) == message
    assert time.monotonic() - started < 10 * PATIENCE  # delayed acknowledgements: 40 s


def test_requests_on_a_kept_connection_are_answered(pawl, serve):
    backend = serve(http)
    proxy = pawl(backend)
    client = HttpClient(proxy.connect())
    for size in (0, 1, 100, 16384, 70000, 5):
        assert client.request(f"/bytes/{size}").body == pattern.whole(size)
        body = pattern.whole(size)
        assert client.request("/", "POST", body).body.decode() == pattern.digest(size)
    assert backend.accepted == 1


def test_a_backend_that_speaks_first_is_heard(pawl, serve):
    proxy = pawl(serve(banner))
    client = proxy.connect()
    assert client.recv_exactly(11) == b"220 ready\r\n"
    client.send(b"EHLO")
    assert client.recv_exactly(4) == b"EHLO"


@VERSIONS
def test_bytes_that_come_with_the_end_of_the_handshake_arrive(pawl, serve, version):
    proxy = pawl(serve(sink))
    client = proxy.client(context=client_context(version=version))
    sendall = client.sock.sendall
    client.handshake()
    held = bytearray()
    client.sock = _Holding(client.sock, held)
    client.send(b"GET /")
    client.close_notify()
    sendall(held)  # data and close_notify in one segment
    assert client.recv_all().endswith(b" 5\n")


class _Holding:
    """A socket whose writes are kept back."""

    def __init__(self, sock, held):
        self._sock, self._held = sock, held

    def sendall(self, data):
        self._held += data

    def __getattr__(self, name):
        return getattr(self._sock, name)


def test_bytes_sent_before_the_backend_listens_arrive(pawl, serve):
    backend = serve(sink)
    backend.refuse()
    proxy = pawl(backend, backend_keys={"wait": "10s"})
    client = proxy.connect()
    client.send(b"x" * 100_000)
    client.close_notify()
    backend.start()
    assert client.recv_all().endswith(b" 100000\n")


def test_500_connections_are_served_at_once(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend, workers=2)
    context = client_context()
    clients = [proxy.connect(context=context) for _ in range(500)]
    backend.wait_connections(500)
    for number, client in enumerate(clients):
        client.send(f"client {number}".encode() * 100)
    for number, client in enumerate(clients):
        wanted = f"client {number}".encode() * 100
        assert client.recv_exactly(len(wanted)) == wanted


def test_500_clients_arriving_together_are_served(pawl, serve):
    proxy = pawl(serve(http), workers=2)
    context = client_context()
    clients = [proxy.client(context=context) for _ in range(500)]
    for client in clients:
        client.sock.sendall(client.hello())
    for client in clients:
        client.handshake()
        assert HttpClient(client).request().status == 200


# --- Each direction ends by itself.


@VERSIONS
def test_the_backend_may_answer_after_the_client_has_ended(pawl, serve, version):
    backend = serve(sink)
    proxy = pawl(backend)
    client = proxy.connect(context=client_context(version=version))
    client.send(b"all I have")
    client.close_notify()
    assert client.recv_all().endswith(b" 10\n")
    assert client.at_tcp_end()
    assert proxy.session_line(client)["reason"] == "finished"


@VERSIONS
def test_the_client_may_go_on_after_the_backend_has_ended(pawl, serve, version):
    backend = serve(source(1000))
    proxy = pawl(backend)
    client = proxy.connect(context=client_context(version=version))
    assert client.recv_all() == pattern.whole(1000)  # up to close_notify
    for _ in range(10):
        client.send(b"more")
    client.close_notify()
    wait_until(lambda: backend.notes, "the backend to see the end")
    assert backend.notes == [b"more" * 10]
    assert proxy.session_line(client)["reason"] == "finished"


def test_an_end_of_tcp_without_close_notify_is_passed_on_and_logged(pawl, serve):
    proxy = pawl(serve(sink))
    client = proxy.connect()
    client.send(b"cut")
    client.fin()
    assert client.recv_all().endswith(b" 3\n")
    line = proxy.session_line(client)
    assert line["reason"] == "client_truncated" and line["bytes_in"] == "3"


@VERSIONS
def test_close_notify_and_fin_together_end_the_session(pawl, serve, version):
    backend = serve(echo)
    proxy = pawl(backend)
    client = proxy.connect(context=client_context(version=version))
    client.send(b"bye")
    client.close_notify()
    client.fin()
    assert client.recv_all() == b"bye"
    assert client.at_tcp_end()
    assert proxy.session_line(client)["reason"] == "finished"
    backend.wait_idle()


def test_a_client_that_resets_ends_the_backends_connection(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend)
    client = proxy.connect()
    name = client.local_address()
    client.send(b"x")
    client.recv_exactly(1)
    client.reset()
    assert proxy.session_line(name)["reason"] == "client_reset"
    backend.wait_idle()


def test_an_end_waits_for_the_bytes_before_it(pawl, serve):
    """Back-pressure and the end of file together: nothing of what was sent is lost."""
    size = 20 * MIB
    backend = serve(source(size))
    proxy = pawl(backend)
    client = proxy.connect()
    client.send(b"all I have")
    wait_until(lambda: backend.sent > 0, "the backend to send")
    client.close_notify()
    assert pattern.digest_of(client.recv) == (pattern.digest(size), size)


def test_one_stuck_client_does_not_hold_up_another(pawl, serve):
    backend = serve(source(64 * MIB))
    proxy = pawl(backend)
    stuck = proxy.connect()
    stuck.recv(1)
    other = proxy.connect()
    assert pattern.digest_of(other.recv)[1] == 64 * MIB
    assert stuck.recv(1)


def test_clients_of_both_directions_share_a_worker(pawl, serve):
    """Uploads and downloads at once on one worker, each whole."""
    proxy = pawl(serve(http))
    failures = []

    def run(number):
        try:
            client = HttpClient(proxy.connect())
            size = 3 * MIB + number
            if number % 2:
                body = client.request("/", "POST", pattern.whole(size)).body.decode()
            else:
                got = client.request(f"/bytes/{size}").body
                body = hashlib.sha256(got).hexdigest()
            assert body == pattern.digest(size)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
