"""The log: one line for each thing, for people or for programs."""

import json
import signal

from harness import hello
from harness.backends import echo
from harness.ports import accepts, free_address, free_port
from harness.tls import client_context
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
