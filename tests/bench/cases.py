"""What is measured, and how each figure comes about.

A measurement is a dict: `value` in the case's unit, `errors` (what failed meanwhile),
and whatever else is worth keeping.  Before anything is counted the load client has made
sure that the proxy negotiates what the case says.
"""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field

import lab as labs
import machine
from proxies import NginxStream, Settings

IDLE = 5000


@dataclass
class Case:
    name: str
    title: str
    unit: str
    measure: object  # (case, run, proxy class) -> measurement
    settings: dict = field(default_factory=dict)
    arguments: dict = field(default_factory=dict)
    needs: str = None  # attribute of the proxy classes that can take part
    chart: bool = False


@dataclass
class Run:
    """One run of the driver."""

    lab: labs.Lab
    client: str  # path of load_client
    seconds: int

    def settings(self, case, **more):
        keys = {"kind": "ecdsa", "backend": self.lab.backend_socket, **case.settings, **more}
        if keys.get("alpn"):
            keys["backend"] = self.lab.backend_socket_h2
        return Settings(certificate=self.lab.certificates[keys["kind"]], **keys)


class Client:
    """load_client: started and warm, then `go`."""

    def __init__(self, run, proxy, mode, *options, expect_ready=None):
        s = proxy.settings
        command = [run.client, proxy.host, str(proxy.port), mode, "--version", s.version,
                   "--group", s.group, "--cipher", _wolfssl_name(s.cipher),
                   *map(str, options)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=machine.on_core(labs.LOAD_CORE))
        self.ready = self._process.stdout.readline().strip()
        if not self.ready.startswith("ready"):
            raise RuntimeError("the load client gave up")
        if expect_ready is not None and self.ready != f"ready {expect_ready}":
            self.go()
            raise RuntimeError(f"{self.ready}, not {expect_ready} connections")

    def go(self):
        output, _ = self._process.communicate("\n", timeout=600)
        return json.loads(output)


def probe(run, proxy):
    """Refuses to measure what negotiates something else."""
    result = Client(run, proxy, "handshake" if proxy.settings.alpn else "request",
                    "--count", 1, "--parallel", 1).go()
    if result["errors"] or result["operations"] != 1:
        raise RuntimeError(f"{proxy.title} does not do what the case says: {result}")
    return result


# --- Load by our own client: operations are connections.

def connections(case, run, kind):
    """Microseconds of CPU time for a connection."""
    options = list(case.arguments.get("options", ()))
    with kind(run.lab.folder, run.settings(case)) as proxy:
        probe(run, proxy)
        client = Client(run, proxy, case.arguments["mode"], *options, "--seconds", run.seconds,
                        "--warm", 20, "--parallel", 8)
        before = machine.settled_cpu(proxy.process.pid)
        result = client.go()
        spent = machine.settled_cpu(proxy.process.pid) - before
    errors = result["errors"]
    if "--resume" in options and result["resumed"] < 0.99 * result["operations"]:
        errors += result["operations"] - result["resumed"]
    return {"value": spent / max(result["operations"], 1) * 1e6, "errors": errors,
            "operations": result["operations"], "negotiated": _negotiated(result),
            "resumed": result["resumed"], "first_error": result["first_error"]}


def transfer(case, run, kind):
    """Nanoseconds of CPU time for a byte."""
    size = labs.SIZES["100m"]
    count = 4 * run.seconds
    with kind(run.lab.folder, run.settings(case)) as proxy:
        probe(run, proxy)
        client = Client(run, proxy, "request", "--count", count, "--parallel", 1,
                        *case.arguments["options"])
        before = machine.settled_cpu(proxy.process.pid)
        result = client.go()
        spent = machine.settled_cpu(proxy.process.pid) - before
    return {"value": spent / max(result["operations"] * size, 1) * 1e9,
            "errors": result["errors"] + (result["operations"] != count),
            "operations": result["operations"], "negotiated": _negotiated(result),
            "first_error": result["first_error"]}


# --- Load by wrk and h2load: operations are requests, counted at the backend, in the
# --- middle of the run, so that the handshakes at its beginning do not count.

def requests(case, run, kind):
    """Microseconds of CPU time for a request."""
    concurrent = case.arguments["concurrent"]
    if case.settings.get("version") == "1.2":
        _check_tls12_load(case, run)
    with kind(run.lab.folder, run.settings(case)) as proxy:
        negotiated = _negotiated(probe(run, proxy))
        load = _start_load(case, run, proxy, run.seconds + 10)
        try:
            start = run.lab.requests()
            labs.wait_for(lambda: run.lab.requests() - start > 3 * concurrent,
                          "the load to begin", pause=0.2)
            time.sleep(0.3)
            before, first = machine.cpu_seconds(proxy.process.pid), run.lab.requests()
            time.sleep(run.seconds)
            spent = machine.cpu_seconds(proxy.process.pid) - before
            done = run.lab.requests() - first
            if load.poll() is not None or done < concurrent:
                raise RuntimeError(f"only {done} requests in {run.seconds} s")
            if not case.settings.get("alpn"):
                load.send_signal(signal.SIGINT)  # wrk ends then as if its time were over
            output = load.communicate(timeout=60)[0]
        finally:
            load.kill()
            load.wait()
    return {"value": spent / done * 1e6, "errors": load_errors(output), "operations": done,
            "negotiated": negotiated}


def _start_load(case, run, proxy, seconds):
    url = f"https://{proxy.host}:{proxy.port}{case.arguments['path']}"
    connections = f"-c{case.arguments['concurrent']}"
    if case.settings.get("alpn"):
        # It cannot be ended early, and is quick to begin.
        command = [labs.program("h2load"), "-t1", connections, "-m10", f"-D{seconds - 7}", url]
    else:
        command = [labs.program("wrk"), "-t1", connections, f"-d{seconds}s", "--timeout",
                   "10s", url]
    environment = dict(os.environ)
    if case.settings.get("version") == "1.2":
        # wrk has no such option, but its library reads one.
        environment["OPENSSL_CONF"] = str(run.lab.openssl_tls12)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env=environment,
                            preexec_fn=machine.on_core(labs.LOAD_CORE))


def _check_tls12_load(case, run):
    """That wrk offers no TLS 1.3 then: a proxy that speaks nothing else gets no request."""
    settings = run.settings(case)
    settings.version = "1.3"
    with NginxStream(run.lab.folder, settings) as proxy:
        before = run.lab.requests()
        _start_load(case, run, proxy, 1).communicate(timeout=60)
        if run.lab.requests() != before:
            raise RuntimeError("wrk offers TLS 1.3 though it was told not to")


def load_errors(output):
    """The failed requests that wrk or h2load speaks of; both are silent about none."""
    errors = sum(int(count) for count in re.findall(
        r"(?:connect|read|write|timeout) (\d+)", output))
    found = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors += int(found[1]) if found else 0
    found = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", output)
    errors += sum(map(int, found.groups())) if found else 0
    if not re.search(r"Requests/sec:\s+[1-9]|requests: \d+ total, .* [1-9]\d* succeeded",
                     output):
        errors += 1
    return errors


# --- Memory and time.

def idle(case, run, kind):
    """Bytes in user space for a connection that has had one request and waits."""
    with kind(run.lab.folder, run.settings(case)) as proxy:
        Client(run, proxy, "request", "--count", 200).go()
        machine.settled_cpu(proxy.process.pid)
        before, kernel = machine.pss_bytes(proxy.process.pid), machine.kernel_bytes()
        client = Client(run, proxy, "hold", "--parallel", IDLE, expect_ready=IDLE)
        machine.settled_cpu(proxy.process.pid)
        used = machine.pss_bytes(proxy.process.pid) - before
        kernel = machine.kernel_bytes() - kernel
        result = client.go()
    return {"value": used / IDLE, "errors": result["errors"], "operations": IDLE,
            "kernel_bytes_of_both_ends": kernel / IDLE, "before": before,
            "negotiated": _negotiated(result)}


def start(case, run, kind):
    """Milliseconds from exec to the end of the first answer."""
    times = []
    for _ in range(5):
        proxy = kind(run.lab.folder, run.settings(case))
        context = _any_context()
        began = time.monotonic()
        proxy.spawn()
        try:
            labs.wait_for(lambda: _answers(proxy, context), f"{kind.title} to answer",
                          pause=0.001)
            times.append((time.monotonic() - began) * 1000)
            probe(run, proxy)
        finally:
            proxy.stop()
    return {"value": sorted(times)[len(times) // 2], "errors": 0, "operations": len(times)}


def reload(case, run, kind):
    """Milliseconds from the signal until a renewed certificate, one of a thousand, serves."""
    together, apart = run.lab.many_certificates()
    directory = together if kind.directory == "together" else apart
    number = labs.MANY // 2

    def is_current():
        return _served(proxy, labs.many_name(number)) == _leaf(apart / f"{number}.crt")

    with kind(run.lab.folder, run.settings(case, directory=directory)) as proxy:
        labs.wait_for(is_current, "all certificates to be served", seconds=60, pause=0.1)
        before = machine.settled_cpu(proxy.process.pid)
        run.lab.renew(number)
        began = time.monotonic()
        proxy.reload()
        labs.wait_for(is_current, "the renewed certificate", seconds=60, pause=0.002)
        took = (time.monotonic() - began) * 1000
        spent = machine.settled_cpu(proxy.process.pid) - before
    return {"value": took, "errors": 0, "operations": 1, "cpu_ms": spent * 1000}


def _any_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _answers(proxy, context):
    try:
        with socket.create_connection((proxy.host, proxy.port), timeout=5) as plain, \
                context.wrap_socket(plain, server_hostname=labs.NAME) as sock:
            sock.sendall(b"GET /small HTTP/1.1\r\nHost: bench.example\r\n\r\n")
            return sock.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _served(proxy, name):
    """The leaf that a client of that name gets; None: none."""
    try:
        with socket.create_connection((proxy.host, proxy.port), timeout=5) as plain, \
                _any_context().wrap_socket(plain, server_hostname=name) as sock:
            return sock.getpeercert(binary_form=True)
    except OSError:
        return None


def _leaf(pem):
    return ssl.PEM_cert_to_DER_cert(pem.read_text())


def _negotiated(result):
    return f"{result['version']} {result['cipher']} {result['group']}"


def _wolfssl_name(cipher):
    """The suites of TLS 1.3 have names of their own in wolfSSL."""
    return {"TLS_AES_128_GCM_SHA256": "TLS13-AES128-GCM-SHA256"}.get(cipher, cipher)


# --- The list.  Handshakes first: they are what a TLS proxy is for.

REQUEST, HANDSHAKE = {"mode": "request"}, {"mode": "handshake"}

ALL = [
    Case("full", "full handshake, one request, close", "us", connections,
         arguments=REQUEST, chart=True),
    Case("full-rsa", "full handshake, RSA-2048", "us", connections, {"kind": "rsa"}, REQUEST),
    Case("full-tls12", "full handshake, TLS 1.2", "us", connections, {"version": "1.2"}, REQUEST),
    Case("full-tls12-rsa", "full handshake, TLS 1.2 and RSA-2048", "us", connections,
         {"version": "1.2", "kind": "rsa"}, REQUEST),
    Case("hybrid", "full handshake, X25519MLKEM768", "us", connections,
         {"group": "X25519MLKEM768"}, REQUEST, needs="hybrid"),
    Case("handshake", "handshake alone", "us", connections, arguments=HANDSHAKE, chart=True),
    Case("resumed", "resumed handshake, one request, close", "us", connections,
         arguments={**REQUEST, "options": ("--resume",)}, chart=True),
    Case("small", "small keep-alive request", "us", requests,
         arguments={"path": "/small", "concurrent": 32}, chart=True),
    Case("small-tls12", "small keep-alive request, TLS 1.2", "us", requests, {"version": "1.2"},
         {"path": "/small", "concurrent": 32}),
    Case("h2", "small request, HTTP/2", "us", requests, {"alpn": "h2"},
         {"path": "/small", "concurrent": 16}, needs="h2"),
    Case("concurrent", "small request, 1,000 connections", "us", requests,
         arguments={"path": "/small", "concurrent": 1000}, chart=True),
    Case("16k", "16 KiB response", "us", requests,
         arguments={"path": "/16k", "concurrent": 32}, chart=True),
    Case("1m", "1 MiB response", "us", requests,
         arguments={"path": "/1m", "concurrent": 8}, chart=True),
    Case("download", "100 MB download", "ns/byte", transfer,
         arguments={"options": ("--path", "/100m")}, chart=True),
    Case("upload", "100 MB upload", "ns/byte", transfer,
         arguments={"options": ("--path", "/upload", "--upload", labs.SIZES["100m"])},
         chart=True),
    Case("idle", "memory of an idle connection", "bytes", idle, chart=True),
    Case("start", "start to first answer", "ms", start),
    Case("reload", "reload with 1,000 certificates", "ms", reload, needs="directory"),
]
