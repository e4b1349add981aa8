"""Active health checks of backends."""

import pytest
from harness.backends import banner, echo, http, recorder
from harness.http import HttpClient
from harness.ports import free_address
from harness.wait import wait_until

FAST = {"check_interval": "100ms", "rise": "2", "fall": "2", "check_timeout": "1s"}


def pong(connection, backend):
    """Answers PING with what the test has put in `answer`; echoes everything else."""
    while data := connection.recv(4096):
        if data.startswith(b"PING\r\n"):
            backend.pings = getattr(backend, "pings", 0) + 1
            data = getattr(backend, "answer", b"+PONG\r\n")
        connection.sendall(data)


def ask(proxy, words=b"hello"):
    with proxy.connect() as client:
        client.send(words)
        return client.recv_exactly(len(words))


def test_a_backend_that_stops_is_called_down_and_up_again_when_it_is_back(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend, workers=2, backend_keys={"check": "connect", **FAST})
    proxy.expect_log("worker 0: backend address down backend=app")
    assert ask(proxy) == b"hello"
    backend.refuse()
    line = proxy.log.wait_for("backend address down", role="worker 0")
    assert line.level == "warning" and line["address"] == backend.address
    assert line["checks"] == "2" and "Connection refused" in line["detail"]
    backend.start()
    line = proxy.log.wait_for("backend address up again", role="worker 0")
    assert line.level == "info" and line["address"] == backend.address
    assert ask(proxy) == b"hello"
    # One worker's word is enough, and it is said once.
    assert len(proxy.log.find("backend address")) == 2


def test_a_backend_that_answers_wrong_gets_no_clients(pawl, serve):
    good, bad = serve(pong), serve(pong)
    proxy = pawl([good, bad], backend_keys={"check": "send", "check_send": r"PING\r\n",
                                            "check_expect": "+PONG", **FAST})
    proxy.expect_log("backend address down .*its answer does not begin with check_expect")
    bad.answer = b"-LOADING\r\n"
    proxy.log.wait_for("backend address down", address=bad.address)
    before = bad.accepted
    for _ in range(6):
        assert ask(proxy) == b"hello"
    sessions = proxy.log.wait_for("session closed", backend=good.address)
    assert sessions and not proxy.log.find(f"session closed.*backend={bad.address}")
    bad.answer = b"+PONG\r\n"
    proxy.log.wait_for("backend address up again", address=bad.address)
    assert bad.accepted > before  # by its checks
    for _ in range(2):
        assert ask(proxy) == b"hello"
    proxy.log.wait_for("session closed", backend=bad.address)


def test_clients_wait_while_every_answer_is_wrong(pawl, serve):
    backend = serve(pong)
    backend.answer = b"-LOADING\r\n"
    proxy = pawl(backend, backend_keys={"check": "send", "check_send": r"PING\r\n", "wait": "10s",
                                        "check_expect": "+PONG", **FAST, "rise": "1"})
    proxy.expect_log("backend address down")
    proxy.log.wait_for("backend address down")
    client = proxy.connect()
    client.send(b"hello")
    pings = backend.pings
    wait_until(lambda: backend.pings > pings + 2, "further checks")
    assert not proxy.log.find("session closed")
    backend.answer = b"+PONG\r\n"
    assert client.recv_exactly(5) == b"hello"


def test_clients_that_waited_in_vain_are_told_why(pawl, serve):
    backend = serve(pong)
    backend.answer = b"-LOADING\r\n"
    proxy = pawl(backend, backend_keys={"check": "send", "check_send": r"PING\r\n", "wait": "200ms",
                                        "check_expect": "+PONG", **FAST})
    proxy.guarded = True
    proxy.expect_log("backend address down")
    proxy.expect_log("reason=backend_unreachable")
    proxy.log.wait_for("backend address down")
    client = proxy.connect()
    assert client.recv() == b""
    assert proxy.session_line(client)["detail"] == "checks call every address down"


def test_a_backend_that_speaks_first_needs_no_words(pawl, serve):
    backend = serve(banner)
    proxy = pawl(backend, backend_keys={"check": "send", "check_expect": r"220\s", **FAST})
    wait_until(lambda: backend.accepted > 3, "some checks")
    client = proxy.connect()
    assert client.recv_exactly(11) == b"220 ready\r\n"
    assert not proxy.log.find("backend address down")


def test_a_check_of_http(pawl, serve):
    backend = serve(http)
    proxy = pawl(backend, backend_keys={
        "check": "send", "check_send": r"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n",
        "check_expect": "HTTP/1.1 200", **FAST})
    wait_until(lambda: backend.accepted > 3, "some checks")
    with proxy.connect() as client:
        assert HttpClient(client).request().status == 200
    assert not proxy.log.find("backend address down")


@pytest.mark.parametrize("kind, header", [
    ("v1", b"PROXY UNKNOWN\r\n"),
    ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")])
def test_a_check_introduces_itself_where_clients_do(pawl, serve, kind, header):
    backend = serve(recorder)
    proxy = pawl(backend, backend_keys={"check": "connect", "send_proxy": kind, **FAST})
    wait_until(lambda: backend.notes and backend.notes[0] == header, "a check's header")
    assert not proxy.log.find("backend address down")


def test_one_address_that_is_down_costs_the_others_clients_nothing(pawl, serve):
    good = serve(echo)
    gone = free_address()
    proxy = pawl([gone, good], backend_keys={"check": "connect", "rest_after_failure": "0s", **FAST})
    proxy.expect_log("backend address down")
    proxy.log.wait_for("backend address down", address=gone)
    for _ in range(4):
        assert ask(proxy) == b"hello"


def test_a_reload_keeps_the_health_and_changes_the_check(pawl, serve):
    good = serve(echo)
    gone = free_address()
    proxy = pawl([gone, good], backend_keys={"check": "connect", **FAST})
    proxy.expect_log("backend address down")
    proxy.log.wait_for("backend address down", address=gone)
    proxy.sections["limits"]["idle_timeout"] = "9m"
    proxy.reload()
    accepted = good.accepted
    wait_until(lambda: good.accepted > accepted + 6, "several rounds of checks")
    assert len(proxy.log.find("backend address down")) == 1  # it did not go down anew
    proxy.sections["backend app"]["check"] = "off"
    proxy.reload()
    for _ in range(4):
        assert ask(proxy) == b"hello"
