"""A small certificate authority made of the openssl command, once for a whole run."""

import re
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """\
[req]
distinguished_name = subject
[subject]
[ca]
default_ca = authority
[authority]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""

_KEYS = {
    "p256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "ed25519": ["ed25519"],
    "rsa": ["rsa:2048"],
    "rsa1024": ["rsa:1024"],
}


@dataclass(frozen=True)
class Certificate:
    """A leaf with its chain, as a [certificate NAME] section wants it."""

    name: str
    chain: Path
    key: Path
    is_default: bool = False

    def keys(self):
        default = "yes" if self.is_default else None
        return {"chain": self.chain, "key": self.key, "default": default}

    def renamed(self, name, is_default=False):
        return Certificate(name, self.chain, self.key, is_default)

    @property
    def der(self):
        """The leaf as a TLS peer sees it."""
        return pem_to_der(self.chain.read_text())[0]


class Authority:
    """A root, an intermediate that signs the leaves, and the leaves."""

    def __init__(self, folder):
        self.folder = Path(folder)
        (self.folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder))
        (self.folder / "index.txt").touch()
        (self.folder / "serial").write_text("1000\n")
        self.root = self._authority("root")
        self.intermediate = self._authority("intermediate", signer="root")

    def leaf(self, name, hosts, kind="p256"):
        """A certificate for `hosts` that is good for 90 days."""
        self._request(name, kind, ["-CA", self._pem("intermediate"), "-CAkey",
                                   self._key("intermediate"), *_leaf_extensions(hosts)])
        return self._with_chain(name)

    def dated_leaf(self, name, hosts, start, end):
        """A certificate valid from `start` to `end`, each like 20200101000000Z."""
        request = self.folder / f"{name}.csr"
        self._openssl("req", "-new", "-newkey", *_KEYS["p256"], "-nodes", "-keyout",
                      self._key(name), "-out", request, "-subj", f"/CN={hosts[0]}",
                      *_leaf_extensions(hosts))
        self._openssl("ca", "-batch", "-notext", "-in", request, "-out", self._pem(name),
                      "-cert", self._pem("intermediate"), "-keyfile",
                      self._key("intermediate"), "-startdate", start, "-enddate", end)
        return self._with_chain(name)

    def self_signed(self, name, hosts):
        self._request(name, "p256", _leaf_extensions(hosts))
        return Certificate(name, self._pem(name), self._key(name))

    def write(self, name, *parts):
        """A PEM file of several others, in the given order."""
        path = self.folder / name
        path.write_text("".join(Path(part).read_text() for part in parts))
        return path

    def bare(self, name):
        """The certificate of `name` without its chain."""
        return self._pem(name)

    def _authority(self, name, signer=None):
        signing = ["-CA", self._pem(signer), "-CAkey", self._key(signer)] if signer else []
        self._request(name, "p256", [*signing, "-addext", "basicConstraints=critical,CA:TRUE",
                                     "-addext", "keyUsage=critical,keyCertSign,cRLSign"])
        return self._pem(name)

    def _request(self, name, kind, extra):
        self._openssl("req", "-x509", "-newkey", *_KEYS[kind], "-nodes", "-days", "90",
                      "-keyout", self._key(name), "-out", self._pem(name),
                      "-subj", f"/CN={name}", *extra)

    def _with_chain(self, name):
        chain = self.write(f"{name}.chain.pem", self._pem(name), self._pem("intermediate"))
        return Certificate(name, chain, self._key(name))

    def _pem(self, name):
        return self.folder / f"{name}.pem"

    def _key(self, name):
        return self.folder / f"{name}.key"

    def _openssl(self, command, *arguments):
        config = ["-config", self.folder / "openssl.cnf"]
        subprocess.run(["openssl", command, *config, *arguments], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


def _leaf_extensions(hosts):
    names = ",".join(host if ":" in host else f"DNS:{host}" for host in hosts)
    return ["-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", f"subjectAltName={names}"]


def pem_to_der(text):
    """All certificates of a PEM text, in order."""
    blocks = re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)
    return [ssl.PEM_cert_to_DER_cert(block) for block in blocks]


def private_numbers(key):
    """The secret numbers of a key file as openssl prints them: name -> bytes, big-endian."""
    text = subprocess.run(["openssl", "pkey", "-in", key, "-noout", "-text"], check=True,
                          capture_output=True, text=True, timeout=60).stdout
    wanted = {"priv": "d", "privateExponent": "d", "prime1": "p", "prime2": "q"}
    found = {}
    for label, digits in re.findall(r"^(\w+):\n((?: +[0-9a-f:]+\n)+)", text, re.M):
        if label in wanted:
            found[wanted[label]] = bytes.fromhex(re.sub(r"[\s:]", "", digits)).lstrip(b"\0")
    return found


def key_der(key):
    """The private key's DER (PKCS #8)."""
    return subprocess.run(["openssl", "pkey", "-in", key, "-outform", "DER"], check=True,
                          capture_output=True, timeout=60).stdout
