"""Client certificates of an authority of their own, good and bad ones."""

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
crlnumber = {folder}/crlnumber
default_md = sha256
default_crl_days = 30
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = optional
"""

CLIENT_USE = "extendedKeyUsage=clientAuth"
SERVER_USE = "extendedKeyUsage=serverAuth"


@dataclass(frozen=True)
class ClientCertificate:
    chain: Path
    key: Path

    def load_into(self, context):
        context.load_cert_chain(self.chain, self.key)
        return context

    def curl_options(self):
        return ["--cert", self.chain, "--key", self.key]


class ClientAuthority:
    """A root with the openssl command behind it."""

    def __init__(self, folder, name="clients"):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        (self.folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder))
        (self.folder / "index.txt").touch()
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "crlnumber").write_text("01\n")
        self.name = name
        self._new_authority("root", [])
        self.ca = self.folder / "root.pem"

    def client(self, name, san=None, use=CLIENT_USE, subject=None, issuer="root", dates=None,
               kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """A certificate with the common name `name`; `dates` is two like 20200101000000Z."""
        stem = name.replace("/", "_").replace(" ", "_")
        request = self.folder / f"{stem}.csr"
        extensions = ["-addext", "basicConstraints=critical,CA:FALSE"]
        for extension in (use, f"subjectAltName={san}" if san else None):
            extensions += ["-addext", extension] if extension else []
        self._run("req", "-new", "-newkey", *kind, "-nodes", "-keyout",
                  self.folder / f"{stem}.key", "-out", request, "-subj",
                  subject if subject is not None else f"/CN={name}", *extensions)
        start, end = dates or (None, None)
        when = ["-startdate", start, "-enddate", end] if dates else ["-days", "30"]
        self._run("ca", "-batch", "-notext", "-in", request, "-out",
                  self.folder / f"{stem}.pem", "-cert", self.folder / f"{issuer}.pem",
                  "-keyfile", self.folder / f"{issuer}.key", *when)
        chain = self.folder / f"{stem}.chain.pem"
        parts = [f"{stem}.pem"] + ([f"{issuer}.pem"] if issuer != "root" else [])
        chain.write_text("".join((self.folder / part).read_text() for part in parts))
        return ClientCertificate(chain, self.folder / f"{stem}.key")

    def intermediate(self, name):
        self._new_authority(name, ["-CA", self.folder / "root.pem", "-CAkey",
                                   self.folder / "root.key"])
        return name

    def revoke(self, *names):
        for name in names:
            self._run("ca", "-revoke", self.folder / f"{name}.pem", "-cert", self.ca,
                      "-keyfile", self.folder / "root.key")

    def crl(self, name="crl.pem", der=False, dates=()):
        path = self.folder / name
        self._run("ca", "-gencrl", "-cert", self.ca, "-keyfile", self.folder / "root.key",
                  "-out", path, *dates)
        if der:
            self._run("crl", "-in", path, "-outform", "DER", "-out", path, config=False)
        return path

    def _new_authority(self, name, signing):
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-nodes", "-days", "90", "-keyout", self.folder / f"{name}.key", "-out",
                  self.folder / f"{name}.pem", "-subj", f"/CN={self.name} {name}", *signing,
                  "-addext", "basicConstraints=critical,CA:TRUE",
                  "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _run(self, command, *arguments, config=True):
        extra = ["-config", self.folder / "openssl.cnf"] if config else []
        subprocess.run(["openssl", command, *extra, *arguments], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
