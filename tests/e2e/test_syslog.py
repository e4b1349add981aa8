"""The log by way of a syslog daemon: its form, and what becomes of it without the daemon."""

import json
import os
import signal
import socket
import struct

import pytest
from harness import hello
from harness.backends import echo
from harness.pawl import command
from harness.syslog import Syslog, parse_local
from harness.wait import wait_until

ALPN = 16


@pytest.fixture
def daemon(folder):
    daemon = Syslog(folder / "log").start()
    yield daemon
    daemon.stop()


def logging(daemon, **keys):
    return {"log": {"target": "syslog", "syslog_socket": daemon.path, **keys}}


def session(proxy):
    with proxy.connect() as client:
        client.send(b"hello")
        client.recv_exactly(5)


def lost(daemon, **fields):
    return sum(int(message.line["lost"])
               for message in daemon.find("lines were lost", **fields))


def test_a_session_is_a_message_of_rfc_5424(pawl, serve, daemon):
    proxy = pawl(serve(echo), extra=logging(daemon))
    session(proxy)
    message = daemon.wait_for("session closed")
    assert (message.facility, message.level, message.app) == ("daemon", "info", "pawl")
    assert message.host == socket.gethostname()
    assert message.pid == proxy.role("worker 0")
    assert message.id == "session_closed"
    assert message.text.startswith("worker 0: session closed client=127.0.0.1:")
    assert message.line["sni"] == "app.example" and message.line["reason"] == "finished"


def test_each_level_has_its_severity_and_the_facility_is_chosen(pawl, serve, daemon):
    proxy = pawl(serve(echo), extra=logging(daemon, syslog_facility="local3", level="debug"))
    session(proxy)
    os.kill(proxy.role("worker 0"), signal.SIGKILL)
    warning = daemon.wait_for("worker 0 was killed")
    daemon.wait_for("worker 0 serves again")
    proxy.sections["limits"]["idle_timeout"] = "never"
    proxy.write_config()
    proxy.signal(signal.SIGHUP)
    error = daemon.wait_for("reload refused")
    debug = daemon.wait_for("serving configuration")
    assert [warning.level, error.level, debug.level] == ["warning", "error", "debug"]
    assert {message.facility for message in daemon.messages} == {"local3"}
    assert warning.id == "-", "a sentence has no name"


def test_a_json_message_is_one_object(pawl, serve, daemon):
    proxy = pawl(serve(echo), extra=logging(daemon, format="json"))
    session(proxy)
    record = json.loads(daemon.wait_for("session closed").text)
    assert record["role"] == "worker 0" and record["bytes_in"] == 5 and record["time"]


def test_the_local_form_is_for_daemons_of_the_machine(pawl, serve, folder):
    daemon = Syslog(folder / "log", parse_local).start()
    proxy = pawl(serve(echo), extra=logging(daemon, target="syslog-local"))
    session(proxy)
    message = daemon.wait_for("session closed")
    assert (message.facility, message.level) == ("daemon", "info")
    assert message.pid == proxy.role("worker 0")
    assert message.text.startswith("worker 0: session closed client=127.0.0.1:")
    proxy.interrupt()
    assert proxy.wait_exit() == 0
    daemon.wait_for("stopped")
    daemon.stop()


def test_bytes_of_peers_end_no_message_and_forge_no_field(pawl, serve, daemon):
    proxy = pawl(serve(echo), extra={**logging(daemon),
                                     "listener web": {"alpn": "h2"}})
    proxy.guarded = True
    name = b'a\nb"c d=e\x1b'
    offer = struct.pack("!HB", len(name) + 1, len(name)) + name
    hello.answer(proxy.listen[0], hello.Hello(more=[(ALPN, offer)]).record())
    message = daemon.wait_for("handshake failed")
    assert "\n" not in message.text and "\x1b" not in message.text
    assert message.line["reason"] == "no_protocol" and message.line["d"] is None
    assert r"a\x0ab\x22c d=e\x1b" in message.text


def test_standard_error_hears_what_happens_until_all_serves(pawl, serve, daemon):
    proxy = pawl(serve(echo), extra=logging(daemon))
    proxy.log.wait_for(r"\bready\b")
    daemon.wait_for(r"\bready\b")
    session(proxy)
    daemon.wait_for("session closed")
    proxy.interrupt()
    assert proxy.wait_exit() == 0
    daemon.wait_for("stopped")
    assert [line.message for line in proxy.log.lines] == ["ready"]


def test_a_start_that_fails_says_why_to_both(pawl, serve, daemon, running):
    proxy = pawl(None, extra={**logging(daemon), "proxy": {"user": "no-such-user-here",
                                                           "strict": "yes"},
                              "certificate main": {"key": "/nowhere.key"}}, ready=False)
    proxy.expect_log("nowhere.key")
    proxy.expect_log("not started")
    proxy.allow_log("there is no user")
    assert proxy.wait_exit() == 1
    daemon.wait_for("nowhere.key")
    daemon.wait_for("not started")


@pytest.mark.parametrize("there", ["missing", "unread"])
def test_no_daemon_at_the_start_refuses_it_with_the_line(pawl, folder, there):
    path = folder / "log"
    if there == "unread":  # as a daemon that crashed leaves it
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
            gone.bind(str(path))
    proxy = pawl(None, extra=logging(Syslog(path)), ready=False)
    proxy.expect_log("cannot log to")
    proxy.expect_log("not started")
    assert proxy.wait_exit() == 1
    number = 1 + proxy.config_file.read_text().splitlines().index("target = syslog")
    cause = "nobody reads from it" if there == "unread" else "No such file or directory"
    assert proxy.log.find(
        f'{proxy.config_file}:{number}: cannot log to the syslog socket "{path}": {cause}$')
    checked = command("check", proxy.config_file)
    assert checked.returncode == 1 and f'socket "{path}": {cause}\n' in checked.stderr


def test_a_daemon_that_is_started_again_is_found_by_every_process(pawl, serve, daemon):
    proxy = pawl(serve(echo), workers=2, extra=logging(daemon))
    session(proxy)
    daemon.wait_for("session closed")
    daemon.stop()
    before = len(daemon.messages)
    for _ in range(20):
        session(proxy)
    daemon.start()

    def each_heard():
        session(proxy)
        return {"worker 0", "worker 1"} <= {message.line["role"] for message in
                                            daemon.find("session closed", after=before)}

    wait_until(each_heard, "both workers to log again", seconds=20)
    proxy.signal(signal.SIGHUP)
    daemon.wait_for("reloaded", after=before, role="master")
    daemon.wait_for("lines were lost")


def test_lines_without_a_daemon_are_counted(pawl, serve, daemon):
    proxy = pawl(serve(echo), extra=logging(daemon))
    session(proxy)
    daemon.wait_for("session closed")
    daemon.stop()
    for _ in range(30):
        session(proxy)
    daemon.start()
    daemon.wait_for("lines were lost", role="worker 0")  # without another line
    session(proxy)
    daemon.wait_for("session closed", count=2)
    seen = len(daemon.find("session closed"))
    assert seen + lost(daemon, role="worker 0") == 32


def test_a_daemon_that_does_not_read_stops_nobody(pawl, serve, folder):
    daemon = Syslog(folder / "log").bind()
    proxy = pawl(serve(echo), extra=logging(daemon))
    with open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii") as file:
        count = int(file.read()) + 50
    for _ in range(count):
        session(proxy)
    daemon.start()
    session(proxy)
    daemon.wait_for("lines were lost", role="worker 0")
    wait_until(lambda: len(daemon.find("session closed")) + lost(daemon, role="worker 0")
               == count + 1, "every line to be written or counted")
    assert lost(daemon) > 0
    daemon.stop()
    proxy.interrupt()
    assert proxy.wait_exit() == 0


def test_a_reload_moves_the_log(pawl, serve, daemon):
    proxy = pawl(serve(echo))
    proxy.sections["log"] = {"target": "syslog", "syslog_socket": daemon.path}
    proxy.write_config()
    proxy.signal(signal.SIGHUP)
    daemon.wait_for("reloaded")
    session(proxy)
    daemon.wait_for("session closed", role="worker 0")
    there = len(daemon.messages)
    proxy.sections["log"]["target"] = "stderr"
    proxy.reload()
    session(proxy)
    proxy.log.wait_for("session closed", role="worker 0")
    assert len(daemon.messages) == there


def test_a_reload_to_a_daemon_that_is_not_there_is_refused(pawl, serve, folder):
    proxy = pawl(serve(echo))
    proxy.sections["log"] = {"target": "syslog", "syslog_socket": folder / "nobody"}
    reasons = proxy.reload_refused()
    assert len(reasons) == 1 and 'nobody": No such file or directory' in reasons[0]
    session(proxy)
    proxy.log.wait_for("session closed")


def test_certificates_are_renewed_without_a_daemon(pawl, serve, daemon, authority, folder):
    cert = authority.leaf("renewed", ["app.example"])
    proxy = pawl(serve(echo), certificates=[cert], extra=logging(daemon))
    daemon.stop()
    newer = authority.leaf("newer", ["app.example"])
    newer_der = newer.der
    os.replace(newer.key, cert.key)
    os.replace(newer.chain, cert.chain)

    def served():
        with proxy.connect() as client:
            return client.certificate == newer_der

    wait_until(served, "the new certificate", seconds=20)
    daemon.start()
    daemon.wait_for("certificates reloaded|lines were lost", seconds=20)


def test_a_replaced_worker_logs_where_the_others_do(pawl, serve, daemon):
    proxy = pawl(serve(echo), extra=logging(daemon))
    os.kill(proxy.role("worker 0"), signal.SIGKILL)
    daemon.wait_for("worker 0 serves again")
    mark = len(daemon.messages)
    session(proxy)
    message = daemon.wait_for("session closed", after=mark)
    assert message.pid == proxy.role("worker 0")


def test_every_process_has_a_socket_of_its_own(pawl, serve, daemon):
    proxy = pawl(serve(echo), extra=logging(daemon))
    proxy.skip_unless_inspectable()
    session(proxy)
    daemon.wait_for("session closed")
    held = {}
    for pid in proxy.processes():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            held.setdefault(os.readlink(f"/proc/{pid}/fd/{fd}"), set()).add(pid)
    with open("/proc/net/unix", encoding="ascii") as table:
        datagrams = {f"socket:[{line.split()[6]}]" for line in table.readlines()[1:]
                     if line.split()[4] == "0002"}
    ours = {name: pids for name, pids in held.items() if name in datagrams}
    assert len(ours) == 3 and all(len(pids) == 1 for pids in ours.values())
