"""Whoever takes the memory of every Pawl process finds no key to what is over.

A client tells the secrets of its connection; then all memory of the master, the workers
and the keyholders is searched for them and for the keys made of them.  (The certificates'
private keys have their test in test_isolation.py.)
"""

import hashlib
import os
import signal
import subprocess
import time

import pytest
from harness.backends import echo, stall
from harness.env import SANITIZED
from harness.live import SClient, SecretsClient, ticket_of
from harness.memory import found_in, skip_unless_readable, writable_memory_of
from harness.tls import TLS13, client_context
from harness.wait import wait_until

pytestmark = pytest.mark.skipif(SANITIZED, reason="the sanitizers keep freed memory")

CIPHERS = [
    ("TLS_AES_128_GCM_SHA256", ["-tls1_3", "-groups", "X25519"]),
    ("TLS_AES_256_GCM_SHA384", ["-tls1_3", "-groups", "P-256"]),
    ("TLS_CHACHA20_POLY1305_SHA256", ["-tls1_3"]),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", ["-tls1_2"]),
    ("ECDHE-RSA-AES256-GCM-SHA384", ["-tls1_2"]),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", ["-tls1_2"]),
]
# What a connection needs to go on; all else must be gone as soon as it is established.
CURRENT = ("CLIENT_TRAFFIC", "SERVER_TRAFFIC", "CLIENT key", "SERVER key", "MASTER")


@pytest.fixture
def watched(pawl, serve, app_cert, app_rsa_cert):
    """Starts a Pawl in front of an echo whose memory this user can read."""
    def start(window=None, handler=echo, workers=2, **keys):
        tls = {"window": window, "unsafe_short_window": "yes" if window else None}
        proxy = pawl(serve(handler), workers=workers, certificates=[app_cert, app_rsa_cert],
                     extra={"tls": tls}, **keys)
        skip_unless_readable(proxy)
        return proxy

    return start


@pytest.fixture
def find_key(tool):
    """Runs key_finder over what a process can write to: find_key(pid, kind, *known)."""
    def find(pid, *arguments):
        return find_in(tool("key_finder"), b"".join(writable_memory_of(pid)), *arguments)

    return find


def find_in(path, memory, kind, *known):
    done = subprocess.run([path, kind, *(value.hex() for value in known)], input=memory,
                          check=True, stdout=subprocess.PIPE, timeout=60)
    return {bytes.fromhex(line) for line in done.stdout.decode().split()}


def everywhere(proxy, wanted):
    """The names of what is found in any process, with the process's pid."""
    return {(pid, name) for pid in proxy.processes() for name in found_in(pid, wanted)}


def in_workers(proxy, wanted):
    return {name for pid in proxy.roles("worker").values() for name in found_in(pid, wanted)}


def suite_options(cipher):
    return ["-ciphersuites" if cipher.startswith("TLS_") else "-cipher", cipher]


def split(traces):
    """The traces of what the live connection uses, and all others."""
    current = {name: value for name, value in traces.items() if name.startswith(CURRENT)}
    # The key of a Finished message is for its MAC alone: it opens nothing, and the
    # library keeps it to the end.
    past = {name: value for name, value in traces.items()
            if name not in current and "finished" not in name}
    return current, past


@pytest.mark.parametrize("cipher, options", CIPHERS, ids=[name for name, _ in CIPHERS])
def test_a_session_leaves_no_secret(watched, folder, cipher, options):
    proxy = watched()
    with SClient(proxy.listen[0], folder, *suite_options(cipher), *options) as client:
        client.say()
        traces = client.traces(cipher)
        current, past = split(traces)
        assert not everywhere(proxy, past)
        # What is in use is in the one worker that uses it: so the search works.
        found = in_workers(proxy, current)
        assert {name for name in current if name.endswith("key")} <= found
        assert len(found) >= len(current) - 2  # not the keys of Finished messages
        assert len(everywhere(proxy, current)) == len(found)
        client.close()
    assert proxy.log.wait_for("session closed")["cipher"]
    assert not everywhere(proxy, traces)


def test_a_renewed_key_opens_nothing_older(watched, folder):
    cipher = "TLS_AES_128_GCM_SHA256"
    proxy = watched("10s")
    with SClient(proxy.listen[0], folder, "-tls1_3", "-ciphersuites", cipher) as client:
        client.say()
        generations = [client.traces_of_generation(number, cipher) for number in range(4)]
        for number in (1, 2):
            wait_until(lambda number=number: client.key_updates("<<<") >= number,
                       "a KeyUpdate")
            client.say()  # brings the answer to it, whichever way s_client sends that
            present = in_workers(proxy, generations[number])
            assert {f"{side}_{number} key" for side in ("CLIENT", "SERVER")} <= present
            assert not everywhere(proxy, generations[number - 1])
            assert not everywhere(proxy, generations[number + 1])
        assert not everywhere(proxy, split(client.traces(cipher))[1])
        client.close()
    proxy.log.wait_for("session closed", reason="finished")
    for traces in generations:
        assert not everywhere(proxy, traces)


# --- The key exchange, of which a key log tells nothing.


GROUPS = pytest.mark.parametrize("group, options", [
    ("X25519MLKEM768", ["--version", "1.3"]), ("X25519", ["--version", "1.3"]),
    ("P-256", ["--version", "1.3"]), ("P-256", ["--version", "1.2"])])


def exchange_secrets(client):
    names = {"shared", "handshake", "master", "c_hs_traffic", "s_hs_traffic"}
    if "extended master secret" in client.secrets or "handshake" not in client.secrets:
        names = {"shared"}
    return client.traces(*(names & set(client.secrets)))


def ephemeral_keys(proxy, client, find_key):
    """What is found of the server's private halves of the key exchange."""
    found = set()
    for kind, public in client.publics.items():
        known = [public] + ([client.secrets["shared"][:32]] if kind == "mlkem" else [])
        found |= {(pid, kind, key) for pid in proxy.processes()
                  for key in find_key(pid, kind, *known)}
    return found


@GROUPS
def test_a_key_exchange_leaves_nothing(watched, tool, find_key, group, options):
    proxy = watched()
    with SecretsClient(tool("secrets_client"), proxy.listen[0], "--group", group,
                       *options) as client:
        client.wait_ready().say()
        assert client.publics, "the tool did not see the key exchange"
        wanted = exchange_secrets(client)
        assert "shared" in wanted
        assert not everywhere(proxy, wanted)
        assert not ephemeral_keys(proxy, client, find_key)
        client.close()
    proxy.log.wait_for("session closed")
    assert not everywhere(proxy, wanted)
    assert not ephemeral_keys(proxy, client, find_key)


@pytest.mark.parametrize("ending", ["completed", "abandoned"])
def test_a_handshake_that_waits_has_secrets_which_go_with_it(watched, tool, ending):
    proxy = watched(workers=1)
    keyholder = proxy.role("keyholder 0")
    os.kill(keyholder, signal.SIGSTOP)
    with SecretsClient(tool("secrets_client"), proxy.listen[0], "--group",
                       "X25519") as client:
        client.wait_secret("s_hs_traffic")
        wanted = exchange_secrets(client)
        wait_until(lambda: {"handshake", "c_hs_traffic"} <= in_workers(proxy, wanted),
                   "the handshake's secrets in the worker: the search itself")
        if ending == "abandoned":
            client.kill()
        os.kill(keyholder, signal.SIGCONT)
        if ending == "completed":
            client.wait_ready().say()
            assert not everywhere(proxy, wanted)
            client.close()
    proxy.log.wait_for("session closed|handshake failed")
    assert not everywhere(proxy, wanted)


def test_key_finder_finds_keys(tool, folder):
    """The searches above must be able to succeed."""
    path, noise = tool("key_finder"), os.urandom(4096)
    for kind, options in (("x25519", ["x25519"]),
                          ("p256", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])):
        command = ["openssl", "genpkey", "-algorithm", *options, "-out", folder / "key"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        private, public = _raw_pair(folder / "key", kind)
        assert find_in(path, noise + private + noise, kind, public) == {private}
        assert not find_in(path, noise, kind, public)
    message, public = os.urandom(32), os.urandom(1184)
    shared = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()[:32]
    assert find_in(path, noise + message + noise, "mlkem", public, shared) == {message}


def _raw_pair(path, kind):
    def der(*options):
        return subprocess.run(["openssl", "pkey", "-in", path, "-outform", "DER", *options],
                              check=True, capture_output=True, timeout=60).stdout

    size = 32 if kind == "x25519" else 65
    private = der()
    start = private.index(b"\x04\x20") + 2  # an OCTET STRING of 32 bytes
    return private[start:start + 32], der("-pubout")[-size:]


# --- Ticket keys.


def holders(proxy, find_key, ticket):
    return {pid for pid in proxy.processes() if find_key(pid, "ticket", ticket)}


def test_a_ticket_key_is_gone_at_its_end(watched, folder, find_key):
    proxy = watched("4s")
    started = time.monotonic()
    ticket, _ = ticket_of(proxy.listen[0], folder)
    workers = set(proxy.roles("worker").values())
    # The master makes it and the workers use it; keyholders have no business with it.
    assert holders(proxy, find_key, ticket) == {proxy.pid} | workers
    key = find_key(proxy.pid, "ticket", ticket)
    assert find_key(proxy.role("worker 1"), "ticket", ticket) == key
    wait_until(lambda: not holders(proxy, find_key, ticket), "the ticket key's end")
    assert 1 < time.monotonic() - started < 6
    secret = {"ticket key": key.pop()}
    assert not everywhere(proxy, secret)


def test_a_worker_needs_nobody_to_wipe_a_ticket_key_at_its_end(watched, folder, find_key):
    proxy = watched("2s", workers=1)
    ticket, _ = ticket_of(proxy.listen[0], folder)
    worker = proxy.role("worker 0")
    assert find_key(worker, "ticket", ticket)
    os.kill(proxy.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: not find_key(worker, "ticket", ticket), "the ticket key's end")
        assert find_key(proxy.pid, "ticket", ticket), "the master did not sleep"
    finally:
        os.kill(proxy.pid, signal.SIGCONT)
    wait_until(lambda: not holders(proxy, find_key, ticket), "the master to wake up")


def test_switching_tickets_off_wipes_their_keys(watched, folder, find_key):
    proxy = watched()
    ticket, _ = ticket_of(proxy.listen[0], folder)
    assert holders(proxy, find_key, ticket)
    proxy.sections["tls"]["tickets"] = "off"
    proxy.reload()
    wait_until(lambda: not holders(proxy, find_key, ticket), "the ticket key to be wiped")


# --- What was said.


MARKER = b"a sentence that nobody but the two of them is to know"


def test_what_was_said_is_gone_at_the_windows_end(watched):
    proxy = watched("4s")
    client = proxy.connect(context=client_context(version=TLS13))
    client.send(MARKER)
    assert client.recv_exactly(len(MARKER)) == MARKER
    client.close()
    proxy.log.wait_for("session closed")
    ended = time.monotonic()
    wanted = {"marker": MARKER}
    assert everywhere(proxy, wanted), "the search itself does not work"
    wait_until(lambda: not everywhere(proxy, wanted), "the last words to be wiped")
    assert time.monotonic() - ended < 4


def test_what_a_backend_did_not_take_is_gone_at_the_windows_end(watched):
    proxy = watched("4s", handler=stall, limits={"drain_timeout": "100ms"})
    proxy.allow_log("drain_timeout is over")
    client = proxy.connect(context=client_context(version=TLS13))
    client.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(10000):
            client.send(MARKER * 1000)
    wanted = {"marker": MARKER}
    assert everywhere(proxy, wanted), "the search itself does not work"
    client.reset()
    proxy.log.wait_for("session closed")
    ended = time.monotonic()
    wait_until(lambda: not everywhere(proxy, wanted), "the last words to be wiped")
    assert time.monotonic() - ended < 4
