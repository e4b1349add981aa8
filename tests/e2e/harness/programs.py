"""The programs that people point at a TLS server: curl and openssl s_client."""

import re
import subprocess
from dataclasses import dataclass

from .env import PATIENCE, SOCKET_SECONDS
from .ports import split_address


def curl(address, *options, ca=None, name="app.example", path="/", check=True):
    """Runs curl on https://NAME with the connection made to `address`."""
    host, port = split_address(address)
    trust = ["--cacert", ca] if ca else ["--insecure"]
    command = ["curl", "--silent", "--show-error", "--http1.1", "--noproxy", "*", *trust,
               "--header", "Expect:",
               "--max-time", SOCKET_SECONDS, "--resolve", f"{name}:{port}:{host}", *options,
               f"https://{name}:{port}{path}"]
    return subprocess.run([str(word) for word in command], check=check, capture_output=True,
                          timeout=SOCKET_SECONDS * 2)


@dataclass
class Shown:
    """What s_client printed."""

    code: int
    text: str

    def has(self, pattern):
        return re.search(pattern, self.text, re.M) is not None

    @property
    def cipher(self):
        found = re.findall(r"Cipher is (\S+)", self.text)
        return found[-1] if found else None


def s_client(address, *options, sni="app.example", talk=()):
    """Runs openssl s_client; `talk` is pairs of a line to type and what it must print."""
    command = ["openssl", "s_client", "-connect", address, "-servername", sni, *options]
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with process:
        try:
            printed = b"".join(_type(process, *pair) for pair in talk)
            rest, _ = process.communicate(timeout=20 * PATIENCE)
        finally:
            process.kill()
    return Shown(process.returncode, (printed + rest).decode(errors="replace"))


def _type(process, line, wanted):
    """Types one line and returns what is printed up to the line that has `wanted`."""
    process.stdin.write(line)
    process.stdin.flush()
    printed = b""
    while wanted not in printed:
        answer = process.stdout.readline()
        if not answer:
            break
        printed += answer
    return printed


def run_tool(path, address, *options):
    """Runs a client of tests/tools and returns its key=value lines and what followed."""
    host, port = split_address(address)
    done = subprocess.run([str(path), host, str(port), *map(str, options)],
                          capture_output=True, timeout=SOCKET_SECONDS * 2)
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.split(b"\n")
    facts = dict(line.decode().split("=", 1) for line in lines[:4])
    return facts, b"\n".join(lines[4:])
