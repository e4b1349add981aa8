"""The forward-secrecy window: how long a ticket resumes, a key lives, a flood lasts."""

import contextlib
import os
import signal
import subprocess
import threading
import time

import pytest
from harness import pattern
from harness.backends import echo, http, source, stall
from harness.env import PATIENCE, SOCKET_SECONDS
from harness.http import HttpClient
from harness.live import SClient, ticket_of
from harness.pawl import command
from harness.ports import split_address
from harness.programs import s_client
from harness.tls import TLS12, TLS13, client_context
from harness.wait import wait_until

MIB = 1024 * 1024


def short(window, **keys):
    """The section [tls] with a window that only tests may have."""
    return {"tls": {"window": window, "unsafe_short_window": "yes", **keys}}


class Resumer:
    """Connections one after the other, each with the ticket of the one before."""

    def __init__(self, proxy, version=TLS13):
        self.proxy, self.session = proxy, None
        self._context = client_context(version=version)

    def connect(self, sni="app.example"):
        """One connection to the end; returns whether it was a resumption."""
        with self.proxy.connect(sni, self._context, session=self.session) as client:
            client.send(b"x")
            assert client.recv_exactly(1) == b"x"
            self.session = client.session
            return client.resumed


# --- Tickets.


def test_a_ticket_resumes_on_every_worker(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    resumer = Resumer(proxy)
    resumer.connect()
    ticket = resumer.session
    issuer = proxy.log.wait_for("session closed").role

    def another():  # which worker a connection gets is the kernel's choice
        resumer.session = ticket
        assert resumer.connect()
        return [line for line in proxy.log.find("session closed") if line.role != issuer]

    assert wait_until(another, "a connection on the other worker")[0]["resumed"] == "yes"


def test_a_resumed_session_has_a_key_exchange_of_its_own(pawl, serve, folder):
    proxy = pawl(serve(echo))
    _, path = ticket_of(proxy.listen[0], folder)
    shown = s_client(proxy.listen[0], "-tls1_3", "-sess_in", path)
    assert shown.has("^Reused, TLSv1.3") and shown.has("^Server Temp Key: X25519")
    line = proxy.log.wait_for("session closed", resumed="yes")
    assert line["group"] == "X25519"


def test_tickets_outlive_a_reload_and_the_loss_of_a_worker(pawl, serve):
    proxy = pawl(serve(echo))
    resumer = Resumer(proxy)
    assert not resumer.connect()
    proxy.sections["limits"]["idle_timeout"] = "5m"
    proxy.reload()
    assert resumer.connect()
    proxy.expect_log("worker 0.* was killed by signal 9")
    worker = proxy.role("worker 0")
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: proxy.roles().get("worker 0", worker) != worker, "a new worker")
    assert resumer.connect()


def test_tickets_end_with_the_process(pawl, running, serve):
    proxy = pawl(serve(echo))
    resumer = Resumer(proxy)
    resumer.connect()
    proxy.drain()
    proxy.wait_exit()
    again = running(type(proxy).from_sections(proxy.folder, proxy.sections)).wait_ready()
    resumer.proxy = again
    assert not resumer.connect()
    assert resumer.connect()


def test_a_ticket_ends_with_half_the_window(pawl, serve, folder):
    proxy = pawl(serve(echo), extra=short("4s"))
    resumer = Resumer(proxy)
    assert not resumer.connect()
    issued, ticket = time.monotonic(), resumer.session
    assert ticket.ticket_lifetime_hint == 2
    assert resumer.connect()
    wait_until(lambda: time.monotonic() - issued > 3.1, "the ticket to end")
    resumer.session = ticket
    assert not resumer.connect()


def test_tickets_off_gives_none(pawl, serve):
    proxy = pawl(serve(echo), extra={"tls": {"tickets": "off"}})
    resumer = Resumer(proxy)
    assert not resumer.connect()
    assert not resumer.session.has_ticket
    assert not resumer.connect()


def test_tickets_switched_off_by_a_reload_resume_nothing(pawl, serve):
    proxy = pawl(serve(echo))
    resumer = Resumer(proxy)
    resumer.connect()
    assert resumer.connect()
    proxy.sections["tls"] = {"tickets": "off"}
    proxy.reload()
    assert not resumer.connect()


def test_tls12_never_resumes(pawl, serve):
    resumer = Resumer(pawl(serve(echo)), TLS12)
    assert not resumer.connect()
    assert not resumer.session.has_ticket
    assert not resumer.connect()


def test_eight_hundred_resumptions_in_a_row_succeed(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    resumer = Resumer(proxy)
    resumed = sum(resumer.connect() for _ in range(800))
    # The library's counter of resumptions ends at 255; a full handshake starts it anew.
    assert 790 <= resumed < 800


def test_a_ticket_is_for_its_certificate_alone(pawl, serve, authority, app_cert):
    other = authority.leaf("other", ["other.example"])
    proxy = pawl(serve(echo), certificates=[app_cert, other])
    resumer = Resumer(proxy)
    resumer.connect()
    ticket = resumer.session
    assert resumer.connect()
    resumer.session = ticket
    assert not resumer.connect("other.example")


def test_a_ticket_is_for_its_certificate_alone_of_two_with_one_name(
        pawl, serve, folder, app_cert, app_rsa_cert):
    proxy = pawl(serve(echo), certificates=[app_cert, app_rsa_cert])
    _, path = ticket_of(proxy.listen[0], folder)  # the ECDSA one, by Pawl's choice
    for signature, resumed in (("RSA-PSS+SHA256", False), ("ECDSA+SHA256", True)):
        shown = s_client(proxy.listen[0], "-tls1_3", "-sess_in", path, "-sigalgs", signature)
        assert shown.has("^Reused, TLSv1.3") == resumed
        assert shown.has("^New, TLSv1.3") != resumed


# --- Renewing the keys of live connections.


def test_keys_are_renewed_both_ways_under_load_without_a_lost_byte(pawl, serve):
    proxy = pawl(serve(echo), workers=2, extra=short("2s"))
    body = pattern.whole(4 * MIB)
    results, deadline = [], time.monotonic() + 5

    def run():
        client = proxy.connect(context=client_context(version=TLS13))
        good = True
        while good and time.monotonic() < deadline:
            good = client.exchange(body, len(body)) == body
        results.append((good, proxy.session_line(client)))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOCKET_SECONDS + 10)
    assert len(results) == 3
    for good, line in results:
        # The window is 2 s: without renewed keys none had lasted for 5.
        assert good and line["reason"] == "finished" and int(line["duration_ms"]) > 4500
        assert line["bytes_in"] == line["bytes_out"]


def test_a_download_goes_on_while_keys_are_renewed(pawl, serve, folder):
    size = 128 * MIB
    proxy = pawl(serve(source(size)), extra=short("2s"))
    with SClient(proxy.listen[0], folder, "-tls1_3") as client:
        def slowly():
            piece = client.process.stdout.read(MIB)
            if client.process.poll() is None:
                # OpenSSL answers a KeyUpdate with the next thing it has to send.
                with contextlib.suppress(BrokenPipeError):
                    client.type_line("x")
            time.sleep(4.0 * len(piece) / size)
            return piece

        assert pattern.digest_of(slowly) == (pattern.digest(size), size)
        assert client.key_updates("<<<") >= 3
        assert client.key_updates(">>>") >= 3


def test_a_quiet_connection_is_renewed_whenever_it_speaks(pawl, serve, folder):
    proxy = pawl(serve(echo), extra=short("2s"))
    with SClient(proxy.listen[0], folder, "-tls1_3") as client:
        for number in range(1, 4):
            wait_until(lambda number=number: client.key_updates("<<<") >= number,
                       "a KeyUpdate")
            client.say()
            assert client.key_updates(">>>") == number
        client.close()
    assert proxy.log.wait_for("session closed")["reason"] == "finished"


def test_a_client_that_does_not_answer_is_closed_when_the_window_is_over(pawl, serve):
    proxy = pawl(serve(stall), extra=short("2s"),
                 limits={"drain_timeout": "100ms", "linger_timeout": "500ms"})
    proxy.allow_log("drain_timeout is over")
    client = proxy.connect(context=client_context(version=TLS13))
    started = time.monotonic()
    # It reads nothing meanwhile, so it answers nothing.
    line = proxy.session_line(client.local_address())
    assert line["reason"] == "window" and "renew" in line["detail"]
    assert 1.5 < time.monotonic() - started < 3.5 * PATIENCE
    assert client.recv() == b""  # close_notify


def test_a_tls12_connection_ends_at_its_age_limit(pawl, serve):
    proxy = pawl(serve(echo), extra=short("1h", tls12_max_lifetime="1s"))
    client = proxy.connect(context=client_context(version=TLS12))
    client.send(b"x")
    assert client.recv_exactly(1) == b"x"
    assert client.recv() == b""  # close_notify
    assert proxy.session_line(client)["reason"] == "window"


def test_a_tls12_connection_ends_with_the_window(pawl, serve):
    proxy = pawl(serve(echo), extra=short("1s"))
    client = proxy.connect(context=client_context(version=TLS12))
    assert client.recv() == b""
    line = proxy.session_line(client)
    assert line["reason"] == "window" and 900 <= int(line["duration_ms"]) < 3000 * PATIENCE


def test_an_unlimited_tls12_connection_goes_on_and_the_log_warns(pawl, serve):
    proxy = pawl(serve(echo), extra=short("1s", tls12_max_lifetime="unlimited"))
    proxy.expect_log("tls12_max_lifetime is longer than the window")
    client = proxy.connect(context=client_context(version=TLS12))
    started = time.monotonic()
    while time.monotonic() - started < 2.5:
        client.send(b"x")
        assert client.recv_exactly(1) == b"x"
        time.sleep(0.1)
    assert proxy.session_line(client)["reason"] == "finished"


# --- Floods.


@pytest.mark.parametrize("kind, version", [("key_update", "1.3"), ("empty", "1.3"),
                                           ("empty", "1.2"), ("alert", "1.3"),
                                           ("alert", "1.2")])
def test_a_flood_is_cut_and_others_go_on(pawl, serve, tool, kind, version):
    proxy = pawl(serve(http), limits={"linger_timeout": "500ms"})
    proxy.expect_log("session closed .*reason=flood")
    other = HttpClient(proxy.connect())
    arguments = [tool("flood_client"), *split_address(proxy.listen[0]), kind, version]
    with subprocess.Popen([str(word) for word in arguments],
                          stdout=subprocess.PIPE) as flooder:
        while flooder.poll() is None:
            assert other.request().status == 200
    assert flooder.returncode == 0, "the flood was never cut"
    line = proxy.log.wait_for("session closed", reason="flood")
    assert line["version"] == "TLSv" + version and line["bytes_in"] == "0"
    assert other.request().status == 200


# --- Narrowing.


@pytest.mark.parametrize("option, refused", [
    (["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], False),
    (["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], True),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], False),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], True),
])
def test_only_the_suites_listed_are_spoken(pawl, serve, option, refused):
    proxy = pawl(serve(echo), extra={"tls": {"suites": "AES-256-GCM"}})
    shown = s_client(proxy.listen[0], *option)
    assert shown.cipher == ("(NONE)" if refused else option[-1])


def test_the_suites_order_is_the_servers(pawl, serve):
    order = "CHACHA20-POLY1305, AES-256-GCM, AES-128-GCM"
    proxy = pawl(serve(echo), extra={"tls": {"suites": order}})
    assert s_client(proxy.listen[0], "-tls1_3").cipher == "TLS_CHACHA20_POLY1305_SHA256"
    assert s_client(proxy.listen[0], "-tls1_2").cipher == "ECDHE-ECDSA-CHACHA20-POLY1305"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("groups, refused", [("P-256", False), ("X25519", True),
                                             ("P-256:X25519", False)])
def test_only_the_groups_listed_are_spoken(pawl, serve, version, groups, refused):
    proxy = pawl(serve(echo), extra={"tls": {"groups": "secp256r1"}})
    shown = s_client(proxy.listen[0], version, "-groups", groups)
    if refused:
        assert shown.cipher == "(NONE)" or shown.has("alert|reset|closed")
        assert not proxy.log.find("session closed", reason="finished")
    else:
        assert shown.has("^Server Temp Key: ECDH, prime256v1")


def test_min_version_13_refuses_tls12(pawl, serve):
    proxy = pawl(serve(echo), extra={"tls": {"min_version": "1.3"}})
    assert s_client(proxy.listen[0], "-tls1_2").has("alert protocol version")
    assert s_client(proxy.listen[0]).cipher.startswith("TLS_")
    line = proxy.log.wait_for("handshake failed")
    assert "min_version" in line["detail"]


@pytest.mark.parametrize("key, value, reason", [
    ("suites", "TLS_RSA_WITH_AES_128_GCM_SHA256", "RSA key exchange is not forward-secret"),
    ("suites", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "CBC mode is not authenticated"),
    ("suites", "TLS_DH_anon_WITH_AES_128_GCM_SHA256", "authenticates nobody"),
    ("groups", "ffdhe2048", "finite-field groups are slow"),
    ("groups", "secp384r1", "costs a server several times X25519"),
    ("min_version", "1.1", "not compiled in"),
    ("window", "2d", "1d"),
    ("window", "1m", "unsafe_short_window"),
])
def test_widening_is_refused_by_name(folder, key, value, reason):
    path = folder / "proxy.ini"
    path.write_text(f"[tls]\n{key} = {value}\n")
    done = command("check", path)
    said = [line for line in (done.stdout + done.stderr).splitlines() if ":2: " in line]
    assert done.returncode != 0 and len(said) == 1
    assert key in said[0] and reason in said[0]
    assert value in said[0] or key == "window"
