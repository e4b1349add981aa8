"""The log: one line for each thing, for people or for programs."""

import json
import signal
import subprocess

import pytest
from harness import hello, settings
from harness.backends import echo
from harness.env import BINARY
from harness.ports import accepts, free_address, free_port
from harness.tls import TlsClient, client_context
from harness.wait import wait_until


def session(proxy, **keys):
    client = proxy.connect(**keys)
    client.send(b"hello")
    client.recv_exactly(5)
    return proxy.session_line(client)


def test_a_json_log_is_json_line_by_line(pawl, serve):
    proxy = pawl(serve(echo), extra={"log": {"format": "json"}})
    session(proxy)
    hello.answer(proxy.listen[0], b"GET / HTTP/1.1\r\n\r\n")
    proxy.log.wait_for("handshake failed")
    for line in proxy.log.lines:
        record = json.loads(line.raw)
        assert {"time", "level", "role", "message"} <= set(record)


def test_a_json_session_has_numbers_and_words(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend, extra={"log": {"format": "json"}})
    record = json.loads(session(proxy).raw)
    assert record["message"] == "session closed" and record["role"] == "worker 0"
    assert record["bytes_in"] == 5 and record["bytes_out"] == 5
    assert isinstance(record["duration_ms"], int)
    wanted = {"listener": "web", "sni": "app.example", "version": "TLSv1.3",
              "group": "X25519", "certificate": "main", "backend": backend.address,
              "state": "relay", "reason": "finished"}
    assert {key: record[key] for key in wanted} == wanted


def test_errors_of_the_configuration_are_json_too(pawl, serve):
    proxy = pawl(serve(echo), extra={"log": {"format": "json"}})
    proxy.expect_log('"level":"error"')
    proxy.sections["limits"]["idle_timeout"] = '1"2'
    proxy.write_config()
    mark = proxy.log.mark()
    proxy.signal(signal.SIGHUP)
    proxy.log.wait_for("reload refused", after=mark)
    for line in proxy.log.lines:
        json.loads(line.raw)


def test_a_session_without_sni_has_none(pawl, serve):
    proxy = pawl(serve(echo))
    assert session(proxy, sni=None)["sni"] is None


def test_level_warning_leaves_sessions_out(pawl, serve):
    proxy = pawl(serve(echo), extra={"log": {"level": "warning"}}, ready=False)
    wait_until(lambda: accepts(proxy.listen[0]), "the port to open")
    with proxy.connect() as client:
        client.send(b"x")
        client.recv_exactly(1)
    proxy.interrupt()
    assert proxy.wait_exit() == 0
    assert not proxy.log.lines


def test_each_session_has_one_line(pawl, serve):
    proxy = pawl(serve(echo))
    for _ in range(20):
        session(proxy)
    assert len(proxy.log.find("session closed")) == 20


def test_lines_of_several_workers_do_not_mix(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    context = client_context()
    for _ in range(5):
        clients = [proxy.connect(context=context) for _ in range(50)]
        for client in clients:
            client.close()
    proxy.log.wait_for("session closed", count=250)
    assert all(line.parsed for line in proxy.log.lines)


def test_a_log_that_nobody_reads_stops_nobody(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.expect_log("lines were lost")
    with proxy.log.unread():
        for _ in range(100):
            with proxy.connect() as client:
                client.send(b"x")
                assert client.recv_exactly(1) == b"x"
    proxy.log.wait_for("session closed")
    assert session(proxy)
    lost = sum(int(line["lost"]) for line in proxy.log.find("lines were lost"))
    assert lost + len(proxy.log.find("session closed")) == 101


@pytest.mark.parametrize("offer, reason, detail", [
    ({"suites": (0x1302,), "groups": (hello.P256,), "shares": (hello.P256,)}, "group",
     "client offers secp256r1 with TLS 1.3, none that groups allows: X25519"),
    ({"suites": (hello.AES128_GCM,)}, "suite",
     "client offers AES-128-GCM with TLS 1.3, none that suites allows: AES-256-GCM"),
    ({"versions": (), "suites": (hello.ECDHE_ECDSA_AES128_GCM,)}, "suite",
     "client offers AES-128-GCM with TLS 1.2, none that suites allows: AES-256-GCM"),
    ({"suites": (0x1302,), "signatures": (hello.RSA_PSS_SHA256,)}, "no_certificate",
     "client accepts signatures of RSA keys with TLS 1.3, and no certificate for this name "
     "has such a key"),
])
def test_a_failed_handshake_says_what_was_offered_and_what_was_missing(
        pawl, serve, offer, reason, detail):
    proxy = pawl(serve(echo), extra={"tls": {"groups": "X25519", "suites": "AES-256-GCM"}})
    proxy.guarded = True
    hello.answer(proxy.listen[0], hello.Hello(**offer).record())
    line = proxy.log.wait_for("handshake failed")
    assert (line["reason"], line["detail"]) == (reason, detail)


def test_the_client_is_named_as_ipv6_is_written(pawl, serve):
    proxy = pawl(serve(echo), listen=free_address("::1"))
    assert session(proxy)["client"].startswith("[::1]:")


def test_a_dual_stack_listener_names_ipv4_clients_plainly(pawl, serve):
    port = free_port()
    proxy = pawl(serve(echo), listen=f"*:{port}")
    for host in ("127.0.0.1", "[::1]"):
        client = proxy.connect(address=f"{host}:{port}")
        assert proxy.session_line(client)["client"].startswith(f"{host}:")
    proxy.listen = [f"127.0.0.1:{port}"]


def fail_handshakes(proxy, count):
    """So many in a row, all for the same reason."""
    for _ in range(count):
        hello.answer(proxy.listen[0], b"\x00 is no TLS")


def failures(proxy):
    lines = proxy.log.find("handshake failed", reason="not_tls")
    return ([line for line in lines if line["suppressed"] is None],
            [line for line in lines if line["suppressed"] is not None])


def test_a_flood_of_equal_lines_is_counted_and_told(pawl, serve):
    proxy = pawl(serve(echo), extra={"log": {"repeat_limit": 5}})
    fail_handshakes(proxy, 200)
    wait_until(lambda: len(failures(proxy)[0]) + sum(
        int(line["suppressed"]) for line in failures(proxy)[1]) == 200,
        "every failure to be written or told, without another line")
    written, told = failures(proxy)
    assert told and all(line["client"] is None and line.level == "info" for line in told)
    assert 5 <= len(written) <= 5 * (len(told) + 1)
    assert all(int(line["window_ms"]) >= 1000 for line in told)


def test_a_flood_hides_no_other_line_and_no_session(pawl, serve):
    proxy = pawl(serve(echo), extra={"log": {"repeat_limit": 1}})
    fail_handshakes(proxy, 50)
    hello.answer(proxy.listen[0], b"GET / HTTP/1.1\r\n\r\n")
    for _ in range(10):
        session(proxy)
    assert len(proxy.log.find("handshake failed", reason="plain_http")) == 1
    assert len(proxy.log.find("session closed")) == 10


def test_without_a_limit_every_line_is_written(pawl, serve):
    proxy = pawl(serve(echo), extra={"log": {"repeat_limit": 0}})
    fail_handshakes(proxy, 100)
    proxy.log.wait_for("handshake failed", count=100)
    assert not failures(proxy)[1]


def test_what_was_held_back_is_told_at_the_end(pawl, serve):
    proxy = pawl(serve(echo), extra={"log": {"repeat_limit": 1, "format": "json"}})
    fail_handshakes(proxy, 20)
    proxy.interrupt()
    assert proxy.wait_exit() == 0
    written, told = failures(proxy)
    assert len(written) + sum(int(line["suppressed"]) for line in told) == 20


@pytest.mark.parametrize("end", ["2>/dev/full", "2>&-", "<&- >&- 2>&-"])
def test_a_log_that_takes_nothing_stops_nobody(folder, serve, app_cert, end):
    """A full disk, and descriptors that whoever started Pawl has closed."""
    listen = free_address()
    file = folder / "proxy.ini"
    file.write_text(settings.ini(settings.basic(listen, [app_cert], [serve(echo).address])))
    with subprocess.Popen(["sh", "-c", f'exec "$0" run -c "$1" {end}', BINARY, file]) as proxy:
        try:
            wait_until(lambda: accepts(listen), "the port to open")
            for _ in range(50):
                with TlsClient(listen, client_context()).handshake() as client:
                    assert client.exchange(b"hello", 5) == b"hello"
        finally:
            proxy.terminate()
        assert proxy.wait(15) == 0


def test_a_reload_changes_the_level_of_every_process(pawl, serve):
    proxy = pawl(serve(echo))
    session(proxy)
    proxy.sections["log"] = {"level": "error"}
    proxy.write_config()
    mark = proxy.log.mark()
    proxy.signal(signal.SIGHUP)
    wait_until(lambda: settled_without_line(proxy), "sessions to be logged no more")
    proxy.sections["log"] = {"level": "debug"}
    proxy.reload()
    proxy.log.wait_for("serving configuration 3", after=mark, role="worker 0")
    assert session(proxy)


def settled_without_line(proxy):
    mark = proxy.log.mark()
    with proxy.connect() as client:
        client.send(b"hello")
        client.recv_exactly(5)
    with proxy.connect() as client:  # by now the first has ended
        client.send(b"hello")
        client.recv_exactly(5)
    return not proxy.log.find("session closed", after=mark)
