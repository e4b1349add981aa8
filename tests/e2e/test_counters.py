"""Every figure is what the test did: no more, no less, and it never goes back."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest
from harness.admin import Admin, total
from harness.backends import echo, http
from harness.pawl import command
from harness.ports import free_address, split_address
from harness.tls import TLS12, TLS13, client_context
from harness.wait import wait_until

DIED = r"(worker|keyholder|admin) \d.* was killed by signal"


@pytest.fixture
def counted(pawl):
    """Starts a Pawl with an admin process: (proxy, admin)."""
    def start(backend, **keys):
        address = free_address()
        extra = {**keys.pop("extra", {}), "admin": {"address": address}}
        return pawl(backend, extra=extra, **keys), Admin(address)

    return start


def settled(admin, name, count, **labels):
    """Waits until a figure is what it must become, and that it stays."""
    wait_until(lambda: total(admin.metrics(), name, **labels) >= count, f"{count} {name}")
    metrics = admin.metrics()
    assert total(metrics, name, **labels) == count
    return metrics


def talk(proxy, **keys):
    with proxy.connect(**keys) as client:
        client.send(b"x")
        assert client.recv_exactly(1) == b"x"
        session = client.tls.session
        client.close_notify()
        assert client.recv_all() == b""
    return session


def test_handshakes_are_counted_by_what_was_negotiated(counted, serve):
    proxy, admin = counted(serve(echo))
    for _ in range(3):
        talk(proxy, context=client_context(version=TLS13))
    for _ in range(2):
        talk(proxy, context=client_context(version=TLS12, ciphers="ECDHE+AES256"))
    metrics = settled(admin, "handshakes_total", 5)
    assert total(metrics, "handshakes_total", version="TLSv1.3", resumed="no") == 3
    assert total(metrics, "handshakes_total", version="TLSv1.2", cipher="AES-256-GCM",
                 resumed="no") == 2
    assert total(metrics, "connections_accepted_total") == 5
    assert total(metrics, "handshake_duration_seconds_count") == 5
    assert total(metrics, "signatures_total") == 5
    assert total(metrics, "signature_duration_seconds_count") == 5
    assert total(metrics, "signatures_waiting") == 0
    assert total(metrics, "backend_connects_total", backend="app") == 5
    assert total(metrics, "backend_connect_duration_seconds_count") == 5


def test_the_group_is_the_one_that_the_client_offered(counted, serve):
    proxy, admin = counted(serve(echo))
    context = client_context()
    context.set_ecdh_curve("prime256v1")
    talk(proxy, context=context)
    metrics = settled(admin, "handshakes_total", 1)
    assert total(metrics, "handshakes_total", group="secp256r1") == 1


def test_resumptions_and_tickets_are_counted(counted, serve):
    proxy, admin = counted(serve(echo))
    context = client_context(version=TLS13)
    session = talk(proxy, context=context)
    for _ in range(4):
        session = talk(proxy, context=context, session=session)
    metrics = settled(admin, "handshakes_total", 5)
    assert total(metrics, "handshakes_total", resumed="yes") == 4
    assert total(metrics, "handshakes_total", resumed="no") == 1
    assert total(metrics, "tickets_issued_total") == 5
    assert total(metrics, "tickets_accepted_total") == 4
    assert total(metrics, "signatures_total") == 1


def test_a_ticket_of_another_pawl_is_rejected(counted, serve, folder):
    proxy, admin = counted(serve(echo))
    context = client_context(version=TLS13)
    session = talk(proxy, context=context)
    proxy.expect_log(DIED)
    # Keys of another window: what was issued is good for nothing.
    proxy.sections.setdefault("tls", {})["window"] = "30m"
    proxy.reload()
    os.kill(proxy.role("worker 0"), signal.SIGKILL)
    talk(proxy, context=context, session=session)
    metrics = settled(admin, "handshakes_total", 2)
    assert total(metrics, "tickets_rejected_total") == 1
    assert total(metrics, "tickets_accepted_total") == 0


def test_failures_are_counted_by_reason(counted, serve):
    proxy, admin = counted(serve(echo), extra={"listener web": {"unknown_sni": "refuse"}})
    for _ in range(3):  # plain HTTP
        with socket.create_connection(split_address(proxy.listen[0])) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while sock.recv(1000):
                pass
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            proxy.connect(sni="unknown.example")
    with pytest.raises(ssl.SSLError):
        proxy.connect(context=client_context(ca=ssl.get_default_verify_paths().cafile))
    metrics = settled(admin, "handshakes_failed_total", 6)
    assert total(metrics, "handshakes_failed_total", reason="hello_refused") == 3
    assert total(metrics, "hellos_refused_total", reason="plain_http") == 3
    assert total(metrics, "hellos_refused_total") == 3
    assert total(metrics, "handshakes_failed_total", reason="unknown_sni") == 2
    assert total(metrics, "handshakes_failed_total", reason="tls_alert") == 1
    assert total(metrics, "handshakes_total") == 0
    assert total(metrics, "connections_accepted_total") == 6


def test_bytes_are_exact_and_count_while_the_session_lives(counted, serve):
    proxy, admin = counted(serve(echo))
    data = bytes(range(256)) * 4096
    client = proxy.connect()
    assert client.exchange(data, len(data)) == data
    metrics = admin.metrics()
    assert total(metrics, "received_bytes_total") == len(data)
    assert total(metrics, "sent_bytes_total") == len(data)
    assert total(metrics, "sessions", state="relay") == 1
    assert total(metrics, "worker_sessions", worker="0") == 1
    assert total(metrics, "sessions_ended_total") == 0
    client.close_notify()
    assert client.recv_all() == b""
    metrics = settled(admin, "sessions_ended_total", 1, reason="finished")
    assert total(metrics, "session_duration_seconds_count") == 1
    assert total(metrics, "sessions") == 0


def test_a_backend_that_refuses_is_counted_with_its_retries(counted):
    proxy, admin = counted(None, backend_keys={"wait": "200ms"})
    proxy.expect_log("backend_unreachable")
    with proxy.connect() as client:
        assert client.recv_all() == b""
    metrics = settled(admin, "sessions_ended_total", 1, reason="backend_unreachable")
    failed = total(metrics, "backend_connect_failures_total", backend="app")
    retries = total(metrics, "backend_retries_total", backend="app")
    assert retries >= 2 and failed == retries + 1
    assert total(metrics, "backend_connects_total") == 0


def test_reloads_are_counted_with_what_was_wrong(counted, serve):
    proxy, admin = counted(serve(echo))
    proxy.sections["limits"]["idle_timeout"] = "1m"
    proxy.reload()
    status = admin.status()["configuration"]
    assert (status["generation"], status["last_result"]) == (2, "accepted")
    assert status["last_error"] is None
    proxy.reload_refused("nonsense\n")
    metrics = settled(admin, "config_reloads_total", 1, result="refused")
    assert total(metrics, "config_reloads_total", result="accepted") == 2
    assert total(metrics, "config_generation") == 2
    status = admin.status()["configuration"]
    assert status["last_result"] == "refused"
    assert "proxy.ini:1" in status["last_error"]


def test_counters_survive_the_death_of_their_worker(counted, serve):
    proxy, admin = counted(serve(echo))
    proxy.expect_log(DIED)
    for _ in range(4):
        talk(proxy)
    before = settled(admin, "handshakes_total", 4)
    held = proxy.connect()
    assert total(admin.metrics(), "worker_sessions") == 1
    old = proxy.role("worker 0")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: proxy.roles().get("worker 0", old) != old, "a new worker")
    held.close()
    talk(proxy)
    after = settled(admin, "handshakes_total", 6)
    assert total(after, "process_restarts_total", process="worker 0") == 1
    assert total(after, "process_restarts_total") == 1
    wait_until(lambda: total(admin.metrics(), "sessions") == 0, "no session")
    for (name, labels), value in before.items():
        if name.endswith(("_total", "_count", "_bucket")):
            assert after[name, labels] >= value, (name, labels)


def test_certificates_say_when_they_end(counted, serve, app_cert, app_rsa_cert):
    _, admin = counted(serve(echo), certificates=[app_cert, app_rsa_cert])
    found = {one["name"]: one for one in admin.status()["certificates"]}
    for cert in (app_cert, app_rsa_cert):
        text = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", cert.chain],
                              check=True, capture_output=True, text=True).stdout
        end = ssl.cert_time_to_seconds(text.strip().removeprefix("notAfter="))
        key = ("certificate_not_after_timestamp_seconds", (("certificate", cert.name),))
        assert admin.metrics()[key] == end
        assert found[cert.name]["not_after"] == end and found[cert.name]["served"]
        assert "app.example" in found[cert.name]["names"]


def test_the_window_shows_the_age_of_its_keys(counted, serve):
    extra = {"tls": {"window": "4s", "unsafe_short_window": "yes"}}
    proxy, admin = counted(serve(echo), extra=extra)
    proxy.allow_log("unsafe_short_window|window")
    seen = wait_until(lambda: (w := admin.status()["window"])["keys"][1:] and w, "two keys")
    assert [key["encrypts"] for key in seen["keys"]] == [True, False]
    for key in seen["keys"]:
        assert 0 <= key["age_seconds"] <= 4
        assert abs(key["age_seconds"] + key["ends_in_seconds"] - 4) < 0.01
    assert seen["keys"][1]["age_seconds"] - seen["keys"][0]["age_seconds"] >= 1.9


def test_every_figure_is_explained(counted, serve):
    _, admin = counted(serve(echo))
    done = command("metrics")
    assert done.returncode == 0
    explained = set(re.findall(r"^(pawl_\w+) \(", done.stdout, re.MULTILINE))
    assert explained == set(re.findall(r"^# TYPE (\w+) ", admin.text("/metrics"), re.MULTILINE))
    assert command("metrics", "--nonsense").returncode == 2


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")
def test_prometheus_takes_the_metrics_without_complaint(counted, serve):
    proxy, admin = counted(serve(http), workers=2)
    talkers = [proxy.connect() for _ in range(3)]
    text = admin.text("/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                          capture_output=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert text.count("# HELP") == text.count("# TYPE") > 30
    for client in talkers:
        client.close()
