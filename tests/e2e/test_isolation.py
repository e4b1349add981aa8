"""Private keys are in the keyholders and nowhere else; roles have few rights."""

import os
import pwd
import shutil
from pathlib import Path

import pytest
from harness import procfs
from harness.backends import http
from harness.certs import Certificate, key_der, private_numbers
from harness.env import SANITIZED
from harness.http import HttpClient
from harness.load import Load
from harness.memory import found_in, skip_unless_readable
from harness.wait import wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def traces(key):
    """Byte strings that only somebody who has the private key can have: name -> bytes."""
    found = {}
    for name, number in private_numbers(key).items():
        found[f"{name} big-endian"] = number
        found[f"{name} little-endian"] = number[::-1]
        if len(number) > 64:  # a part is enough to be found, and survives a moved start
            found[f"part of {name} big-endian"] = number[16:64]
            found[f"part of {name} little-endian"] = number[::-1][16:64]
    der = key_der(key)
    lines = Path(key).read_text().splitlines()
    is_rsa = len(der) > 200  # its first half is public
    found["DER"] = der[len(der) * 3 // 4:][:64] if is_rsa else der
    found["PEM"] = lines[-3 if is_rsa else 1].encode()
    return found


@pytest.fixture
def own_certs(folder, app_cert, app_rsa_cert):
    """Copies with their own key files, so that this test may replace them."""
    copies = []
    for cert in (app_cert, app_rsa_cert):
        copy = Certificate(cert.name, folder / f"{cert.name}.pem", folder / f"{cert.name}.key")
        shutil.copy(cert.chain, copy.chain)
        shutil.copy(cert.key, copy.key)
        copies.append(copy)
    return copies


def test_the_private_keys_are_in_the_keyholders_alone(pawl, serve, own_certs):
    proxy = pawl(serve(http), workers=2, certificates=own_certs)
    skip_unless_readable(proxy)
    with Load(proxy.listen[0], kept=1, fresh=2) as load:
        load.wait_progress()
    wanted = {f"{cert.name}: {name}": value for cert in own_certs
              for name, value in traces(cert.key).items()}
    for title, pid in {"master": proxy.pid, **proxy.roles("worker")}.items():
        assert not found_in(pid, wanted), title
    for title, pid in proxy.roles("keyholder").items():
        found = {name.partition(":")[0] for name in found_in(pid, wanted)}
        assert found == {"main", "main-rsa"}, f"{title}: the search itself does not work"


def test_a_reload_brings_no_key_elsewhere_and_old_keys_go(pawl, serve, own_certs, authority):
    proxy = pawl(serve(http), certificates=own_certs, limits={"handshake_timeout": "200ms"})
    keyholder = proxy.role("keyholder 0")
    skip_unless_readable(proxy)
    old = traces(own_certs[0].key)
    HttpClient(proxy.connect()).request()
    assert found_in(keyholder, old)
    renewed = authority.leaf("renewed", ["app.example"])
    shutil.copy(renewed.chain, own_certs[0].chain)
    shutil.copy(renewed.key, own_certs[0].key)
    proxy.reload()
    HttpClient(proxy.connect()).request()
    assert found_in(keyholder, traces(renewed.key))
    wait_for_nothing(keyholder, old)
    for pid in (proxy.pid, proxy.role("worker 0")):
        assert not found_in(pid, {**old, **traces(renewed.key)})


def wait_for_nothing(pid, wanted):
    wait_until(lambda: not found_in(pid, wanted), "the key to be wiped")


def test_a_refused_reload_leaves_no_key_behind(pawl, serve, own_certs, authority):
    """The keyholder had the new key ready when the master found the port taken."""
    taken = serve(http)
    proxy = pawl(serve(http), certificates=own_certs)
    skip_unless_readable(proxy)
    other = authority.leaf("refused", ["refused.example"])
    proxy.sections["certificate refused"] = other.keys()
    proxy.sections["listener refused"] = {"address": taken.address}
    proxy.reload_refused()
    for pid in proxy.processes():
        wait_for_nothing(pid, traces(other.key))


@AS_ROOT
def test_roles_run_as_nobody(pawl, serve):
    proxy = pawl(serve(http))
    nobody = pwd.getpwnam("nobody")
    for pid in proxy.roles().values():
        status = procfs.status_of(pid)
        assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
        assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
        assert status["Groups"] == ""
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[kind], 16) == 0


@AS_ROOT
def test_roles_run_as_the_configured_user(pawl, serve):
    proxy = pawl(serve(http), extra={"proxy": {"user": "daemon"}})
    uid = str(pwd.getpwnam("daemon").pw_uid)
    for pid in proxy.roles().values():
        assert procfs.status_of(pid)["Uid"].split()[0] == uid


@AS_ROOT
@pytest.mark.parametrize("user", ["root", "nobody-of-this-name"])
def test_a_user_that_will_not_do_is_an_error(pawl, serve, user):
    proxy = pawl(serve(http), ready=False, extra={"proxy": {"user": user}})
    proxy.listen = []
    proxy.expect_log(rf"proxy\.ini:4: .*{user}")
    proxy.allow_log("not started")
    assert proxy.wait_exit() == 1


def test_roles_can_gain_no_privileges(pawl, serve):
    proxy = pawl(serve(http))
    for pid in proxy.roles().values():
        assert procfs.status_of(pid)["NoNewPrivs"] == "1"


@pytest.mark.skipif(SANITIZED, reason="the sanitizers need to trace their process")
def test_no_process_leaves_a_core(pawl, serve):
    proxy = pawl(serve(http))
    for pid in proxy.processes():
        assert procfs.soft_limit(pid, "Max core file size") == "0"
        assert os.stat(f"/proc/{pid}/maps").st_uid == 0  # not dumpable: root's, not nobody's


def test_roles_inherit_nothing(pawl, serve):
    """No descriptor, no environment of whoever started Pawl."""
    os.environ["PAWL_TEST_SECRET"] = "inherited"
    leaked = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        proxy = pawl(serve(http))
    finally:
        os.close(leaked)
        del os.environ["PAWL_TEST_SECRET"]
    proxy.skip_unless_inspectable()
    HttpClient(proxy.connect()).request()
    for pid in proxy.roles().values():
        assert "/etc/hostname" not in procfs.open_files(pid).values()
        if not SANITIZED:
            assert b"inherited" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_keyholders_have_no_network_and_no_files(pawl, serve):
    proxy = pawl(serve(http), workers=2)
    proxy.skip_unless_inspectable()
    HttpClient(proxy.connect()).request()
    inodes = {line.split()[9] for kind in ("tcp", "tcp6")
              for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]}
    for pid in proxy.roles("keyholder").values():
        for fd, target in procfs.open_files(pid).items():
            if target.startswith("socket:["):
                assert target[8:-1] not in inodes, f"descriptor {fd} is a TCP socket"
            elif fd > 2:
                assert target.startswith(("anon_inode:", "/memfd:", "pipe:")), target


def test_workers_hold_no_key_file(pawl, serve, own_certs):
    proxy = pawl(serve(http), certificates=own_certs)
    proxy.skip_unless_inspectable()
    for pid in (proxy.pid, proxy.role("worker 0")):
        targets = procfs.open_files(pid).values()
        assert not any(target.endswith(".key") for target in targets)
