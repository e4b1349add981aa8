"""The proxies that are measured, each with the same settings.

Equal for all: one worker (or thread) on one core; exactly one TLS version, one cipher
suite, one group and one certificate, so that nothing else can be negotiated; session
tickets on; no log line per connection; the same backend on a unix socket; idle time-outs
longer than any case; and, where the program relays TCP, nothing but that.
"""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab import PROXY_CORE, Certificate, connects, free_port, many_name, program, wait_for
from machine import on_core

CIPHERS = {("1.3", "ecdsa"): "TLS_AES_128_GCM_SHA256", ("1.3", "rsa"): "TLS_AES_128_GCM_SHA256",
           ("1.2", "ecdsa"): "ECDHE-ECDSA-AES128-GCM-SHA256",
           ("1.2", "rsa"): "ECDHE-RSA-AES128-GCM-SHA256"}


@dataclass
class Settings:
    """What a case asks of the proxy."""

    certificate: Certificate
    kind: str = "ecdsa"
    version: str = "1.3"
    group: str = "X25519"
    backend: Path = None
    alpn: str = None  # "h2": only that is spoken
    directory: Path = None  # of further certificates, as it takes them

    @property
    def cipher(self):
        return CIPHERS[self.version, self.kind]


class Proxy:
    """One program with its configuration; `start`, measure, `stop`."""

    key = title = None  # its name in results, and for people
    h2 = True  # can speak ALPN h2 and pass it on
    hybrid = False  # can do X25519MLKEM768
    directory = "together"  # how it takes a folder of certificates; None: not at all
    terminates_http = False

    def __init__(self, folder, settings):
        self.folder = Path(folder)
        self.settings = settings
        self.host, self.port = "127.0.0.1", free_port()
        self.process = None

    def config(self):
        raise NotImplementedError

    def command(self, path):
        raise NotImplementedError

    def reload(self):
        """Makes it take its files anew."""
        os.kill(self.process.pid, 1)

    def spawn(self):
        path = self.folder / f"{self.key}.conf"
        path.write_text(self.config())
        with (self.folder / f"{self.key}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(path), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=on_core(PROXY_CORE))

    def start(self):
        self.spawn()
        wait_for(self._is_up, f"{self.title} to listen")
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            log = (self.folder / f"{self.key}.log").read_text(errors="replace")
            raise RuntimeError(f"{self.title} has ended:\n{log[-2000:]}")
        return connects(self.host, self.port)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            # Some wait for connections that will not end.
            for pid in (self.process.pid, *_children(self.process.pid)):
                with _gone():
                    os.kill(pid, 9)
            self.process.wait(10)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class Pawl(Proxy):
    key, title, hybrid, directory = "pawl", "Pawl", True, "apart"
    binary = None  # set by the driver

    def config(self):
        s = self.settings
        directory = f"[certificate many]\ndirectory = {s.directory}\n" if s.directory else ""
        alpn = f"alpn = {s.alpn}\n" if s.alpn else ""
        return f"""\
[proxy]
workers = 1
watch = no
[log]
level = warning
[tls]
min_version = {s.version}
suites = AES-128-GCM
groups = {s.group}
[listener web]
address = {self.host}:{self.port}
{alpn}[certificate main]
chain = {s.certificate.chain}
key = {s.certificate.key}
default = yes
{directory}[backend app]
address = unix:{s.backend}
[limits]
idle_timeout = 1h
drain_timeout = 0ms
"""

    def command(self, path):
        return [self.binary, "run", "-c", path]


class Hitch(Proxy):
    key, title = "hitch", "hitch"

    def config(self):
        s = self.settings
        user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
        alpn = f'alpn-protos = "{s.alpn}"\n' if s.alpn else ""
        more = f'pem-dir = "{s.directory}"\npem-dir-glob = "*.pem"\n' if s.directory else ""
        ciphers = (f'ciphersuites = "{s.cipher}"\n' if s.version == "1.3"
                   else f'ciphers = "{s.cipher}"\n')
        # The first pem-file is the default.
        return f"""\
frontend = "[{self.host}]:{self.port}"
backend = "{s.backend}"
pem-file = "{s.certificate.pem}"
{more}tls-protos = TLSv{s.version}
{ciphers}ecdh-curve = "{_curve(s.group)}"
{alpn}workers = 1
backlog = 4096
keepalive = 3600
log-level = 0
{user}"""

    def command(self, path):
        return [program("hitch"), f"--config={path}"]


class Haproxy(Proxy):
    key, title = "haproxy", "HAProxy"

    def config(self):
        s = self.settings
        alpn = f" alpn {s.alpn}" if s.alpn else ""
        more = f" crt {s.directory}" if s.directory else ""
        ciphers = (f"ciphersuites {s.cipher}" if s.version == "1.3" else f"ciphers {s.cipher}")
        return f"""\
global
    nbthread 1
    maxconn 9000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    option dontlognull
frontend web
    bind {self.host}:{self.port} backlog 4096 ssl crt {s.certificate.pem}{more} \
ssl-min-ver TLSv{s.version} ssl-max-ver TLSv{s.version} {ciphers} \
curves {_curve(s.group)}{alpn}
    default_backend app
backend app
    server app unix@{s.backend} maxconn 9000
"""

    def command(self, path):
        # With its master, as Debian's service runs it.
        return [program("haproxy"), "-W", "-db", "-f", path]

    def reload(self):
        os.kill(self.process.pid, 12)  # USR2


class Nginx(Proxy):
    def tls(self):
        s = self.settings
        ciphers = (f"ssl_conf_command Ciphersuites {s.cipher};" if s.version == "1.3"
                   else f"ssl_ciphers {s.cipher};")
        return f"""\
        ssl_certificate {s.certificate.chain};
        ssl_certificate_key {s.certificate.key};
        ssl_protocols TLSv{s.version};
        {ciphers}
        ssl_ecdh_curve {_curve(s.group)};
        ssl_session_cache none;
        ssl_session_tickets on;"""

    def frame(self, modules, body):
        return f"""\
{modules}daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {self.folder}/{self.key}.pid;
error_log {self.folder}/{self.key}.error;
events {{ worker_connections 30000; }}
{body}"""

    def command(self, path):
        return [program("nginx"), "-c", path, "-p", self.folder]


class NginxStream(Nginx):
    key, title = "nginx-stream", "nginx stream"
    directory = None  # one certificate for each server block, and no names in 1.22

    def config(self):
        s = self.settings
        alpn = f"ssl_alpn {s.alpn};" if s.alpn else ""
        return self.frame("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n", f"""\
stream {{
    server {{
        listen {self.host}:{self.port} ssl backlog=4096;
{self.tls()}
        {alpn}
        proxy_timeout 1h;
        proxy_pass unix:{s.backend};
    }}
}}
""")


class NginxHttp(Nginx):
    key, title, terminates_http = "nginx-http", "nginx http", True

    def config(self):
        s = self.settings
        h2 = " http2" if s.alpn else ""
        # HTTP/2 is for clients alone here: its backend speaks HTTP/1.1 always.
        backend = str(s.backend).replace("backend2.sock", "backend.sock")
        more = "".join(f"""
    server {{
        listen {self.host}:{self.port} ssl{h2};
        server_name {many_name(int(pem.stem))};
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        location / {{ proxy_pass http://app; }}
    }}""" for pem in sorted(s.directory.glob("*.pem"))) if s.directory else ""
        temps = "".join(f"    {kind}_temp_path {self.folder}/{self.key}.{kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return self.frame("", f"""\
http {{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    server_names_hash_max_size 8192;
    server_names_hash_bucket_size 128;
{temps}    upstream app {{
        server unix:{backend};
        keepalive 1000;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {self.host}:{self.port} ssl{h2} default_server backlog=4096;
        server_name bench.example;
{self.tls()}
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_max_temp_file_size 0;
            proxy_request_buffering off;
        }}
    }}{more}
}}
""")


class Stunnel(Proxy):
    key, title = "stunnel", "stunnel"
    h2 = False  # knows no ALPN
    directory = None

    def config(self):
        s = self.settings
        ciphers = (f"ciphersuites = {s.cipher}" if s.version == "1.3"
                   else f"ciphers = {s.cipher}")
        # One thread for each connection: it has no other way.
        return f"""\
foreground = yes
debug = err
pid =
socket = l:TCP_NODELAY=1
[web]
accept = {self.host}:{self.port}
connect = {s.backend}
cert = {s.certificate.pem}
sslVersion = TLSv{s.version}
{ciphers}
curves = {_curve(s.group)}
sessionResume = yes
TIMEOUTidle = 3600
TIMEOUTclose = 0
"""

    def command(self, path):
        return [program("stunnel4"), path]


ALL = (Pawl, Haproxy, Hitch, NginxStream, NginxHttp, Stunnel)

# How to ask for the version.
VERSIONS = {"haproxy": ["haproxy", "-v"], "hitch": ["hitch", "--version"],
            "nginx": ["nginx", "-v"], "stunnel": ["stunnel4", "-version"]}


def _curve(group):
    return {"SECP256R1": "prime256v1"}.get(group, group)


def _children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in path.read_text().split()]
    except OSError:
        return []


class _gone:
    """Does not mind that a process has ended."""

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        time.sleep(0)
        return kind is ProcessLookupError
