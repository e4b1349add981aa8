"""Finding, losing and changing backends."""

import collections
import os
import socket
import time

import pytest
from harness import pattern
from harness.backends import (echo, http, recorder, resetting, resetting_at_once, source,
                              stall)
from harness.http import HttpClient
from harness.load import Load
from harness.ports import free_address, split_address
from harness.tls import Truncated
from harness.wait import wait_until


def name_of_backend(proxy):
    with proxy.connect() as client:
        return HttpClient(client).request().headers["x-backend"]


# --- Where a backend may be.


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_backend_on_a_loopback_port_is_reached(pawl, serve, host):
    backend = serve(echo, free_address(host))
    proxy = pawl(backend)
    client = proxy.connect()
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"
    client.close()
    assert proxy.log.wait_for("session closed")["backend"] == backend.address


def test_a_backend_on_a_unix_socket_is_reached(pawl, serve, folder):
    backend = serve(echo, f"unix:{folder}/app.sock")
    proxy = pawl(backend)
    client = proxy.connect()
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"
    client.close()
    assert proxy.log.wait_for("session closed")["backend"] == backend.address


def test_a_backend_on_an_abstract_socket_is_reached(pawl, serve, folder):
    proxy = pawl(serve(echo, f"unix:@{folder.name}"))
    client = proxy.connect()
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"


def test_localhost_means_both_loopbacks(pawl, serve):
    address = free_address("::1")
    port = split_address(address)[1]
    serve(echo, address)
    proxy = pawl(f"localhost:{port}")
    client = proxy.connect()
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"


# --- A backend that is not there.


@pytest.mark.parametrize("kind, words", [("port", "Connection refused"),
                                         ("socket", "No such file or directory")])
def test_an_absent_backend_ends_the_session_cleanly(pawl, folder, kind, words):
    address = free_address() if kind == "port" else f"unix:{folder}/none.sock"
    proxy = pawl(address, backend_keys={"wait": "0ms"})
    proxy.expect_log("reason=backend_unreachable")
    client = proxy.connect()
    client.send(b"anybody?")
    assert client.recv() == b""  # a close_notify, no truncation
    line = proxy.session_line(client)
    assert line["reason"] == "backend_unreachable" and line["state"] == "connect"
    assert address in line["detail"] and words in line["detail"]


def test_a_unix_socket_that_nobody_serves_is_refused(pawl, folder):
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(f"{folder}/dead.sock")
    left_behind.close()
    proxy = pawl(f"unix:{folder}/dead.sock", backend_keys={"wait": "0ms"})
    proxy.expect_log("reason=backend_unreachable")
    client = proxy.connect()
    assert client.recv() == b""
    detail = proxy.session_line(client)["detail"]
    # Without write permission on the socket the kernel says so before it looks for a server.
    assert "Connection refused" in detail or "Permission denied" in detail


def test_a_missing_backend_is_tried_again_for_the_time_of_wait(pawl):
    proxy = pawl(free_address(), backend_keys={"wait": "1s"})
    proxy.expect_log("reason=backend_unreachable")
    client = proxy.connect()
    started = time.monotonic()
    assert client.recv() == b""
    assert 0.9 < time.monotonic() - started < 5
    assert int(proxy.session_line(client)["duration_ms"]) >= 900


def test_a_backend_that_comes_within_wait_is_reached(pawl, serve):
    backend = serve(echo)
    backend.refuse()
    proxy = pawl(backend, backend_keys={"wait": "10s"})
    client = proxy.connect()
    client.send(b"hello")
    backend.start()
    assert client.recv_exactly(5) == b"hello"


def test_a_client_that_gives_up_waiting_is_not_waited_for(pawl):
    proxy = pawl(free_address(), backend_keys={"wait": "60s"},
                 limits={"drain_timeout": "100ms"})
    proxy.allow_log("drain_timeout is over")  # the last check's session, which only half closes
    client = proxy.connect()
    name = client.local_address()
    client.reset()
    line = proxy.session_line(name)
    assert int(line["duration_ms"]) < 10_000


def test_a_backend_that_does_not_accept_is_given_up(pawl, serve):
    backend = serve(stall, backlog=0)
    backend.refuse()
    full = socket.create_server(split_address(backend.address), backlog=0)
    waiting = [socket.socket() for _ in range(3)]
    for sock in waiting:  # fill the queue that nobody empties
        sock.setblocking(False)
        sock.connect_ex(split_address(backend.address))
    proxy = pawl(backend.address, backend_keys={"wait": "0ms"},
                 limits={"connect_timeout": "500ms"})
    proxy.expect_log("reason=backend_(timeout|unreachable)")
    client = proxy.connect()
    started = time.monotonic()
    assert client.recv() == b""
    assert 0.4 < time.monotonic() - started < 5
    assert backend.address in proxy.session_line(client)["detail"]
    for sock in (full, *waiting):
        sock.close()


def test_a_unix_backend_with_a_full_queue_is_tried_again(pawl, folder):
    path = f"{folder}/app.sock"
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
        full.bind(path)
        os.chmod(path, 0o666)
        full.listen(0)
        first.connect(path)  # takes the only place
        proxy = pawl(f"unix:{path}", backend_keys={"wait": "10s"},
                     limits={"drain_timeout": "100ms"})
        proxy.allow_log("drain_timeout is over")  # of the last check, without a backend
        client = proxy.connect()
        client.send(b"hello")
        full.accept()[0].close()
        connection, _ = full.accept()
        with connection:
            assert connection.recv(5) == b"hello"


# --- A backend that goes away.


def test_a_reset_by_the_backend_is_no_clean_end(pawl, serve):
    proxy = pawl(serve(resetting(5000)))
    proxy.expect_log("reason=backend_reset")
    client = proxy.connect()
    client.send(b"go")
    assert client.recv_exactly(5000) == pattern.whole(5000)
    with pytest.raises((Truncated, ConnectionResetError)):
        client.recv()
    assert proxy.session_line(client)["reason"] == "backend_reset"


def test_a_backend_that_resets_at_once_is_no_clean_end(pawl, serve):
    proxy = pawl(serve(resetting_at_once))
    proxy.expect_log("reason=backend_reset")
    client = proxy.connect()
    with pytest.raises((Truncated, ConnectionResetError, BrokenPipeError)):
        client.recv()
    assert proxy.session_line(client)["reason"] == "backend_reset"


def test_restarting_the_backend_under_load_fails_no_request(pawl, serve, folder):
    backend = serve(http, f"unix:{folder}/app.sock")
    proxy = pawl(backend, workers=2, backend_keys={"wait": "10s"})
    with Load(proxy.listen[0], kept=0, fresh=6) as load:
        for _ in range(3):
            backend.retire()
            time.sleep(0.1)  # how long the restart of this backend takes
            backend.start()
            load.wait_progress()
    assert not load.failures


def test_other_sessions_go_on_when_one_backend_dies(pawl, serve):
    first, second = serve(echo), serve(echo)
    proxy = pawl([first, second])
    clients = [proxy.connect() for _ in range(4)]
    for client in clients:
        client.send(b"x")
        client.recv_exactly(1)
    first.stop()
    alive = [client for client in clients if _still_echoes(client)]
    assert len(alive) == 2


def _still_echoes(client):
    try:
        client.send(b"y")
        return client.recv_exactly(1) == b"y"
    except (EOFError, Truncated, ConnectionError):
        return False


# --- Several addresses.


def test_several_addresses_take_turns(pawl, serve):
    backends = [serve(http, name=name) for name in ("a", "b", "c")]
    proxy = pawl(backends)
    seen = collections.Counter(name_of_backend(proxy) for _ in range(9))
    assert seen == {"a": 3, "b": 3, "c": 3}


def test_each_worker_starts_its_turns_elsewhere_or_not_but_all_get_some(pawl, serve):
    backends = [serve(http, name=name) for name in ("a", "b")]
    proxy = pawl(backends, workers=2)
    seen = collections.Counter(name_of_backend(proxy) for _ in range(20))
    assert seen["a"] >= 9 and seen["b"] >= 9


def test_a_dead_address_is_passed_over(pawl, serve, folder):
    alive = serve(http, name="alive")
    proxy = pawl([f"unix:{folder}/none.sock", alive, free_address()],
                 backend_keys={"wait": "0ms"})
    for _ in range(6):
        assert name_of_backend(proxy) == "alive"


def test_an_address_that_comes_back_gets_its_share(pawl, serve):
    first, second = serve(http, name="first"), serve(http, name="second")
    first.refuse()
    proxy = pawl([first, second])
    assert {name_of_backend(proxy) for _ in range(4)} == {"second"}
    first.start()
    # It rests for a second after the failure.
    wait_until(lambda: name_of_backend(proxy) == "first", "the first address to be used")
    seen = collections.Counter(name_of_backend(proxy) for _ in range(8))
    assert seen == {"first": 4, "second": 4}


def test_without_rests_an_address_that_comes_back_is_used_at_once(pawl, serve):
    first, second = serve(http, name="first"), serve(http, name="second")
    first.refuse()
    proxy = pawl([first, second], backend_keys={"rest_after_failure": "0s"})
    assert {name_of_backend(proxy) for _ in range(4)} == {"second"}
    first.start()
    assert {name_of_backend(proxy) for _ in range(4)} == {"first", "second"}


def test_an_address_that_does_not_answer_delays_one_session_and_not_the_next(pawl, serve):
    """Its time-out is remembered: the others do not each wait for it again."""
    good = serve(http, name="good")
    silent = serve(stall, backlog=0)
    silent.refuse()
    full = socket.create_server(split_address(silent.address), backlog=0)
    waiting = [socket.socket() for _ in range(3)]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex(split_address(silent.address))
    proxy = pawl([silent.address, good], limits={"connect_timeout": "1s"})
    started = time.monotonic()
    assert name_of_backend(proxy) == "good"
    assert time.monotonic() - started > 0.9
    started = time.monotonic()
    for _ in range(5):
        assert name_of_backend(proxy) == "good"
    assert time.monotonic() - started < 0.9
    for sock in (full, *waiting):
        sock.close()


def test_the_address_with_the_fewest_sessions_is_next(pawl, serve):
    first, second = serve(echo), serve(echo)
    proxy = pawl([first, second], backend_keys={"balance": "least-connections"})

    def connected():
        client = proxy.connect()
        client.send(b"x")
        client.recv_exactly(1)
        return client

    kept = [connected() for _ in range(6)]
    assert first.accepted == second.accepted == 3
    for client in kept[0::2]:  # all of one address
        client.close()
    wait_until(lambda: len(proxy.log.find("session closed")) == 3, "the sessions to end")
    emptied = first if not first._open else second
    before = emptied.accepted
    kept += [connected() for _ in range(3)]
    assert emptied.accepted == before + 3


def test_restarting_one_of_two_addresses_under_load_fails_no_request(pawl, serve, folder):
    first = serve(http, f"unix:{folder}/first.sock", name="first")
    second = serve(http, f"unix:{folder}/second.sock", name="second")
    proxy = pawl([first, second], workers=2,
                 backend_keys={"wait": "0s", "check": "connect", "check_interval": "100ms",
                               "fall": "1", "rise": "1"})
    proxy.allow_log("backend address down")
    with Load(proxy.listen[0], kept=0, fresh=4) as load:
        for backend in (first, second):
            backend.retire()
            load.wait_progress()
            backend.start()
            before = backend.accepted
            wait_until(lambda: backend.accepted > before + 20, "the backend to be used again")
    assert not load.failures


def test_when_all_addresses_fail_the_log_names_the_last(pawl):
    addresses = [free_address(), free_address()]
    proxy = pawl(addresses, backend_keys={"wait": "0ms"})
    proxy.expect_log("reason=backend_unreachable")
    client = proxy.connect()
    assert client.recv() == b""
    detail = proxy.session_line(client)["detail"]
    assert any(address in detail for address in addresses)


def test_listeners_may_have_different_backends(pawl, serve):
    first, second = serve(http, name="first"), serve(http, name="second")
    other = free_address()
    proxy = pawl(first, extra={"listener web": {"backend": "app"},
                               "listener other": {"address": other, "backend": "more"},
                               "backend more": {"address": second.address}})
    assert name_of_backend(proxy) == "first"
    with proxy.connect(address=other) as client:
        assert HttpClient(client).request().headers["x-backend"] == "second"
    assert proxy.log.wait_for("session closed", listener="other")["backend"] == second.address


# --- Time.


def test_an_idle_session_is_ended_cleanly(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend, limits={"idle_timeout": "500ms"})
    client = proxy.connect()
    client.send(b"x")
    client.recv_exactly(1)
    assert client.recv() == b""
    client.close()
    assert proxy.log.wait_for("session closed")["reason"] == "idle_timeout"
    backend.wait_idle()


def test_a_session_that_is_used_is_not_idle(pawl, serve):
    proxy = pawl(serve(echo), limits={"idle_timeout": "500ms"})
    client = proxy.connect()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        client.send(b"x")
        assert client.recv_exactly(1) == b"x"
        time.sleep(0.05)  # a client's own pace


def test_a_client_that_ended_does_not_keep_the_session_for_ever(pawl, serve):
    backend = serve(stall)
    proxy = pawl(backend, limits={"half_close_timeout": "500ms", "idle_timeout": "60s"})
    client = proxy.connect()
    client.send(b"all I have")
    client.close_notify()
    assert client.recv() == b""
    assert proxy.session_line(client)["reason"] == "half_close_timeout"


def test_a_backend_that_ended_does_not_keep_the_session_for_ever(pawl, serve):
    backend = serve(source(10))
    proxy = pawl(backend, limits={"half_close_timeout": "500ms", "idle_timeout": "60s",
                                  "linger_timeout": "500ms"})
    client = proxy.connect()
    assert len(client.recv_all()) == 10
    line = proxy.session_line(client.local_address())
    assert line["reason"] == "half_close_timeout"


def test_a_client_that_does_not_take_the_end_is_cut(pawl, serve):
    proxy = pawl(serve(recorder), limits={"idle_timeout": "300ms", "linger_timeout": "300ms"})
    client = proxy.connect()
    client.send(b"x")
    assert client.recv_exactly(2) == b"ok"
    # Neither reads nor closes from here on.
    assert int(proxy.session_line(client.local_address())["duration_ms"]) < 5000
