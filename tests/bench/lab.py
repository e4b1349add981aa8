"""What all proxies share in a run: certificates, the backend, the folder."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

from machine import on_core

PROXY_CORE, LOAD_CORE = 0, 1
NAME = "bench.example"
SIZES = {"16k": 16 << 10, "1m": 1 << 20, "100m": 100 << 20}
MANY = 1000  # certificates in the directory that is reloaded

# The body of /small is 64 bytes.  /upload answers only when it has the whole body.
_BACKEND = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {folder}/backend.pid;
error_log {folder}/backend.error;
events {{ worker_connections 30000; }}
http {{
    access_log off;
    sendfile on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_buffer_size 110m;
    client_body_temp_path {folder}/backend.body;
    proxy_temp_path {folder}/backend.proxy;
    fastcgi_temp_path {folder}/backend.fastcgi;
    uwsgi_temp_path {folder}/backend.uwsgi;
    scgi_temp_path {folder}/backend.scgi;
    server {{
        listen unix:{folder}/backend.sock backlog=8192;
        root {folder}/files;
        location = /small {{ return 200 "{small}"; }}
        location = /upload {{ proxy_pass http://unix:{folder}/sink.sock; }}
    }}
    server {{
        listen unix:{folder}/backend2.sock http2 backlog=8192;
        location = /small {{ return 200 "{small}"; }}
    }}
    server {{
        listen unix:{folder}/sink.sock;
        return 200 "taken";
    }}
    server {{
        listen 127.0.0.1:{status_port};
        stub_status;
    }}
}}
"""


_TLS12 = """\
openssl_conf = all
[all]
ssl_conf = modules
[modules]
system_default = most
[most]
MaxProtocol = TLSv1.2
"""


class Lab:
    """The folder with its certificates, and the backend while it runs."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.chmod(0o755)
        self.backend_socket = self.folder / "backend.sock"
        self.backend_socket_h2 = self.folder / "backend2.sock"
        self._status_port = free_port()
        self._asked = 0
        self._backend = None
        files = self.folder / "files"
        files.mkdir()
        for name, size in SIZES.items():
            with (files / name).open("wb") as file:
                file.truncate(size)
        self.openssl_tls12 = self.folder / "tls12.cnf"
        self.openssl_tls12.write_text(_TLS12)
        self.certificates = {kind: Certificate(self.folder, kind) for kind in ("ecdsa", "rsa")}

    def start(self):
        config = self.folder / "backend.conf"
        config.write_text(_BACKEND.format(folder=self.folder, small="x" * 64,
                                          status_port=self._status_port))
        self._backend = subprocess.Popen([program("nginx"), "-c", config, "-p", self.folder],
                                         preexec_fn=on_core(LOAD_CORE))
        wait_for(lambda: connects("127.0.0.1", self._status_port), "the backend to listen")

    def stop(self):
        self._backend.terminate()
        self._backend.wait(10)

    def requests(self):
        """How many requests the backend has had, without those of this question."""
        with socket.create_connection(("127.0.0.1", self._status_port), timeout=10) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            text = b""
            while part := sock.recv(4096):
                text += part
        self._asked += 1
        return int(text.split(b"requests")[1].split()[2]) - self._asked

    def many_certificates(self):
        """Folders of certificates for names of their own: each in one file, and in two."""
        together, apart = self.folder / "together", self.folder / "apart"
        if not together.exists():
            together.mkdir()
            apart.mkdir()
            for number in range(MANY):
                self.renew(number)
        return together, apart

    def renew(self, number):
        """Puts a new certificate for the name of that number in both folders."""
        made = Certificate(self.folder, "ecdsa", many_name(number), "renewed")
        # In one write each: it may be served.
        for source, place in ((made.pem, f"together/{number}.pem"),
                              (made.chain, f"apart/{number}.crt"),
                              (made.key, f"apart/{number}.key")):
            (self.folder / place).write_text(source.read_text())
        return made.chain


def many_name(number):
    return f"site{number}.example"


class Certificate:
    """A self-signed certificate with its key: apart, and in one file."""

    def __init__(self, folder, kind, name=NAME, stem=None):
        self.chain, self.key, self.pem = (folder / f"{stem or kind}.{end}"
                                          for end in ("crt", "key", "pem"))
        key = (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ecdsa"
               else ["-newkey", "rsa:2048"])
        subprocess.run(["openssl", "req", "-x509", *key, "-nodes", "-days", "90", "-subj",
                        f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout",
                        self.key, "-out", self.chain], check=True, capture_output=True)
        self.pem.write_text(self.key.read_text() + self.chain.read_text())


def program(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if path is None:
        raise SystemExit(f"bench: {name} is not installed (deps/install.sh peers bench)")
    return path


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def connects(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
        return True
    except OSError:
        return False


def wait_for(condition, what, seconds=20, pause=0.005):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s in vain for {what}")
        time.sleep(pause)
