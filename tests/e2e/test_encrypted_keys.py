"""Private keys with a passphrase, which comes from a file or a command."""

import os
import secrets
import shutil
import signal
import subprocess

import pytest
from harness.backends import http
from harness.certs import Certificate, private_numbers
from harness.http import HttpClient
from harness.load import Load
from harness.memory import found_in, skip_unless_readable
from harness.pawl import command
from harness.wait import wait_until

FAULT = r'error master: .*certificate "main": '


def encrypt(source, target, passphrase, *options):
    """Writes the key of `source` to `target`, encrypted as openssl does with `options`."""
    options = options or ("-v2", "aes256")
    subprocess.run(["openssl", "pkcs8", "-topk8", "-in", source, "-out", target, *options,
                    "-passout", f"pass:{passphrase}"], check=True, capture_output=True)


class Locked:
    """A certificate in the test's folder whose key has a passphrase of its own."""

    def __init__(self, folder, source, name="main"):
        self.source = source
        self.passphrase = f"pass phrase {secrets.token_hex(16)}"
        self.cert = Certificate(name, folder / f"{name}.pem", folder / f"{name}.key")
        self.file = folder / f"{name}.pass"
        self.script = folder / f"{name}.sh"
        self.runs = folder / f"{name}.runs"
        shutil.copy(source.chain, self.cert.chain)
        encrypt(source.key, self.cert.key, self.passphrase)
        self.file.write_text(f"{self.passphrase}\n")
        self.file.chmod(0o600)
        self.write_script(f"echo x >> {self.runs}; cat {self.file}")

    def write_script(self, text):
        self.script.write_text(f"#!/bin/sh\n{text}\n")
        self.script.chmod(0o700)

    def by_file(self):
        return {f"certificate {self.cert.name}": {"passphrase_file": self.file}}

    def by_command(self):
        return {f"certificate {self.cert.name}": {"passphrase_command": self.script}}

    def traces(self):
        """What only somebody who has passphrase or key can have: name -> bytes."""
        key = private_numbers(self.source.key)["d"]
        return {"key": key, "key reversed": key[::-1],
                "passphrase": self.passphrase.encode()}


@pytest.fixture
def locked(folder, app_cert):
    return Locked(folder, app_cert)


def request(proxy):
    assert HttpClient(proxy.connect()).request().status == 200


def problem(proxy_or_file):
    """What `pawl check` finds."""
    checked = command("check", proxy_or_file)
    assert checked.returncode == 1
    return checked.stderr


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa", "ed25519"])
@pytest.mark.parametrize("way", ["by_file", "by_command"])
def test_every_kind_of_key_is_served(pawl, serve, folder, authority, kind, way):
    locked = Locked(folder, authority.leaf(f"locked-{kind}", ["app.example"], kind))
    proxy = pawl(serve(http), certificates=[locked.cert], workers=2,
                 extra=getattr(locked, way)())
    for _ in range(4):
        request(proxy)
    assert command("check", proxy.config_file).returncode == 0
    assert not proxy.log.find(locked.passphrase)


@pytest.mark.parametrize("options", [
    ("-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"),
    ("-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA384", "-iter", "10000"),
    ("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512", "-iter", "100000"),
])
def test_ciphers_and_derivations(pawl, serve, locked, options):
    encrypt(locked.source.key, locked.cert.key, locked.passphrase, *options)
    request(pawl(serve(http), certificates=[locked.cert], extra=locked.by_file()))


@pytest.mark.parametrize("way", ["by_file", "by_command"])
def test_passphrase_and_key_are_where_they_belong(pawl, serve, locked, way):
    proxy = pawl(serve(http), workers=2, certificates=[locked.cert],
                 extra=getattr(locked, way)())
    skip_unless_readable(proxy)
    with Load(proxy.listen[0], kept=1, fresh=2) as load:
        load.wait_progress()
    proxy.reload()
    request(proxy)
    wanted = locked.traces()
    for title, pid in {"master": proxy.pid, **proxy.roles("worker")}.items():
        assert not found_in(pid, wanted), title
    for title, pid in proxy.roles("keyholder").items():
        found = found_in(pid, wanted)
        assert "passphrase" not in found, title
        assert found & {"key", "key reversed"}, f"{title}: the search itself does not work"


def test_a_keyholder_that_is_replaced_opens_the_key_again(pawl, serve, locked):
    proxy = pawl(serve(http), certificates=[locked.cert],
                 extra={"proxy": {"watch": "no"}, **locked.by_command()})
    proxy.allow_log("killed|a new one is started")
    locked.file.unlink()  # the passphrase is as it was when it was taken
    mark = proxy.log.mark()
    os.kill(proxy.role("keyholder 0"), signal.SIGKILL)
    proxy.log.wait_for("keyholder 0 serves again", after=mark)
    request(proxy)
    assert len(locked.runs.read_text().split()) == 1


# --- What can be wrong: at the start, and in the same words by `pawl check`.


def no_passphrase(locked):
    return {}, "it is encrypted; set passphrase_file or passphrase_command"


def wrong_passphrase(locked):
    locked.file.write_text("wrong\n")
    return locked.by_file(), "the passphrase does not open it"


def empty_passphrase(locked):
    locked.file.write_text("\n")
    return locked.by_file(), "the passphrase is empty"


def two_lines(locked):
    locked.file.write_text(f"{locked.passphrase}\nmore\n")
    return locked.by_file(), "more than one line"


def no_file(locked):
    locked.file.unlink()
    return locked.by_file(), "no passphrase for its key: .*No such file or directory"


def long_file(locked):
    locked.file.write_text("x" * 1025)
    return locked.by_file(), "over the 1024 bytes allowed"


def failing_command(locked):
    locked.write_script(f"cat {locked.file}; exit 3")
    return locked.by_command(), "ended with code 3"


def long_output(locked):
    locked.write_script("head -c 5000 /dev/zero")
    return locked.by_command(), "printed more than the 1024 bytes allowed"


def silent_command(locked):
    locked.write_script("true")
    return locked.by_command(), "printed nothing"


def endless_command(locked):
    locked.write_script("sleep 100")
    return locked.by_command(), "did not end within 10 seconds and was killed"


def old_pem(locked):
    subprocess.run(["openssl", "ec", "-in", locked.source.key, "-aes256", "-out",
                    locked.cert.key, "-passout", "pass:x"], check=True, capture_output=True)
    return locked.by_file(), "old way of PEM.*openssl pkcs8 -topk8 -v2 aes256"


def scrypt(locked):
    encrypt(locked.source.key, locked.cert.key, locked.passphrase, "-scrypt")
    return locked.by_file(), "encrypted with scrypt.*openssl pkcs8 -topk8 -v2 aes256"


def triple_des(locked):
    encrypt(locked.source.key, locked.cert.key, locked.passphrase, "-v2", "des3")
    return locked.by_file(), "encrypted with triple DES.*openssl pkcs8 -topk8 -v2 aes256"


@pytest.mark.parametrize("fault", [
    no_passphrase, wrong_passphrase, empty_passphrase, two_lines, no_file, long_file,
    failing_command, long_output, silent_command, endless_command, old_pem, scrypt,
    triple_des])
def test_what_is_wrong_is_said(pawl, serve, locked, fault):
    extra, words = fault(locked)
    proxy = pawl(serve(http), certificates=[locked.cert], extra=extra, ready=False)
    proxy.allow_log("error master: ")
    assert proxy.wait_exit(seconds=20) == 1
    proxy.log.wait_for("not started")
    assert proxy.log.find(rf'proxy\.ini:\d+: certificate "main": .*{words}')
    assert not proxy.log.find(locked.passphrase)
    found = problem(proxy.config_file)
    lines = [line.message for line in proxy.log.find('certificate "main"')]
    assert len(lines) == 1 and lines[0].partition("proxy.ini:")[2] in found


def test_others_are_served_when_one_key_cannot_be_opened(pawl, serve, locked, authority):
    other = authority.leaf("other", ["other.example"])
    locked.file.write_text("wrong")
    proxy = pawl(serve(http), certificates=[locked.cert, other], extra=locked.by_file(),
                 ready=False)
    proxy.expect_log(FAULT + "cannot use the key in .* the passphrase does not open it")
    proxy.wait_ready()
    assert proxy.connect("app.example").certificate == other.der


def test_a_passphrase_for_nothing_is_warned_of(pawl, serve, locked):
    shutil.copy(locked.source.key, locked.cert.key)
    proxy = pawl(serve(http), certificates=[locked.cert], extra=locked.by_file(),
                 ready=False)
    proxy.allow_log("warning master: .*passphrase is for nothing.* is not encrypted")
    proxy.wait_ready()
    assert proxy.log.find("the passphrase is for nothing")
    request(proxy)


def test_a_file_and_a_command_are_one_too_many(locked):
    ini = locked.file.parent / "proxy.ini"
    ini.write_text("[listener web]\naddress = 127.0.0.1:8443\n[certificate main]\n"
                   f"chain = {locked.cert.chain}\nkey = {locked.cert.key}\n"
                   f"passphrase_file = {locked.file}\npassphrase_command = {locked.script}\n"
                   "[backend app]\naddress = 127.0.0.1:3000\n")
    assert "proxy.ini:7: certificate \"main\": passphrase_command stands instead" in problem(ini)


# --- Changes.


def renew(locked, source, passphrase):
    """Key, certificate and passphrase are new, one after the other."""
    encrypt(source.key, locked.cert.key, passphrase)
    shutil.copy(source.chain, locked.cert.chain)
    locked.file.write_text(passphrase)


@pytest.mark.parametrize("way", ["by_file", "by_command"])
def test_a_reload_takes_new_key_and_passphrase(pawl, serve, locked, authority, way):
    proxy = pawl(serve(http), certificates=[locked.cert], workers=2,
                 extra={"proxy": {"watch": "no"}, **getattr(locked, way)()})
    renewed = authority.leaf("renewed", ["app.example"])
    with Load(proxy.listen[0], kept=1, fresh=2) as load:
        renew(locked, renewed, "a new one")
        proxy.reload()
        load.wait_progress()
    assert not load.failures
    assert proxy.connect().certificate == renewed.der


def test_a_reload_with_a_wrong_passphrase_changes_nothing(pawl, serve, locked):
    proxy = pawl(serve(http), certificates=[locked.cert],
                 extra={"proxy": {"watch": "no"}, **locked.by_file()})
    locked.file.write_text("wrong")
    assert any("does not open it" in reason for reason in proxy.reload_refused())
    request(proxy)
    locked.file.write_text(locked.passphrase)
    proxy.reload()
    request(proxy)


def test_a_key_that_cannot_be_opened_any_more_stays_with_its_old_passphrase(
        pawl, serve, locked, authority):
    other = authority.leaf("other", ["other.example"])
    served = locked.cert.der
    proxy = pawl(serve(http), certificates=[locked.cert, other],
                 extra={"proxy": {"watch": "no"}, **locked.by_file()})
    locked.file.write_text("wrong")
    proxy.expect_log(FAULT + "cannot use the key in .* the passphrase does not open it")
    proxy.allow_log("killed|a new one is started")
    proxy.reload()
    assert proxy.log.find("reloaded", certificates=2, certificates_kept=1)
    assert proxy.connect().certificate == served
    mark = proxy.log.mark()
    os.kill(proxy.role("keyholder 0"), signal.SIGKILL)
    proxy.log.wait_for("keyholder 0 serves again", after=mark)
    request(proxy)


def test_a_passphrase_that_comes_late_is_noticed(pawl, serve, locked, authority):
    """The new key is there, its passphrase is not yet; nobody sends a signal."""
    served = locked.cert.der
    proxy = pawl(serve(http), certificates=[locked.cert], extra=locked.by_file())
    proxy.expect_log(FAULT + ".*the passphrase does not open it.*stays until it is right")
    proxy.allow_log(FAULT)
    renewed = authority.leaf("late", ["app.example"])
    shutil.copy(renewed.chain, locked.cert.chain)
    encrypt(renewed.key, locked.cert.key, "the new passphrase")
    proxy.log.wait_for("the passphrase does not open it")
    assert proxy.connect().certificate == served
    locked.file.write_text("the new passphrase\n")
    wait_until(lambda: proxy.connect().certificate == renewed.der, "the renewed one")


def test_a_directory_has_one_passphrase(pawl, serve, folder, authority):
    live = folder / "live"
    live.mkdir()
    leaves = {name: authority.leaf(name, [f"{name}.example"]) for name in ("one", "two", "open")}
    for name, leaf in leaves.items():
        shutil.copy(leaf.chain, live / f"{name}.pem")
        if name == "open":
            shutil.copy(leaf.key, live / f"{name}.key")
        else:
            encrypt(leaf.key, live / f"{name}.key", "shared")
    script, runs = folder / "print.sh", folder / "runs"
    script.write_text(f"#!/bin/sh\necho x >> {runs}\necho shared\n")
    script.chmod(0o700)
    proxy = pawl(serve(http), ready=False, extra={"certificate main": {
        "chain": None, "key": None, "directory": live, "passphrase_command": script}})
    proxy.wait_ready()
    for name, leaf in leaves.items():
        assert proxy.connect(f"{name}.example").certificate == leaf.der
    assert runs.read_text() == "x\n"
    assert not proxy.log.find("warning")


def test_a_command_runs_as_who_started_pawl_and_sees_nothing(pawl, serve, locked, folder):
    seen = folder / "seen"
    locked.write_script(f"(id -u; env; ls /proc/$$/fd; tty) > {seen}; cat {locked.file}")
    os.environ["PAWL_TEST_SECRET"] = "inherited"
    try:
        proxy = pawl(serve(http), certificates=[locked.cert], extra=locked.by_command())
    finally:
        del os.environ["PAWL_TEST_SECRET"]
    request(proxy)
    lines = seen.read_text().splitlines()
    assert lines[0] == str(os.geteuid())
    assert not any("inherited" in line for line in lines)
    assert {int(line) for line in lines if line.isdigit()} <= {os.geteuid(), 0, 1, 2, 3, 10}
    assert lines[-1] == "not a tty"
