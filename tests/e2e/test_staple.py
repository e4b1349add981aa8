"""OCSP responses from a file: sent to who asks, replaced with the file, never too late."""

import re
import shutil
import subprocess
import time

import pytest
from harness.backends import echo
from harness.certs import Certificate
from harness.client_ca import ClientAuthority
from harness.programs import s_client
from harness.wait import wait_until

SENT = "OCSP Response Status: successful"
NOT_SENT = "OCSP response: no response sent"


def openssl(*words):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True,
                          text=True, timeout=60).stdout


def respond(authority, cert, target, status="V"):
    """Writes the intermediate's answer about `cert`, good for a day."""
    serial = openssl("x509", "-in", cert.chain, "-noout", "-serial").strip().split("=")[1]
    index = target.with_suffix(".index")
    revoked = "261122000000Z" if status == "R" else ""
    index.write_text(f"{status}\t361122000000Z\t{revoked}\t{serial}\tunknown\t/CN=x\n")
    made = target.with_suffix(".made")
    signer, key = authority.folder / "intermediate.pem", authority.folder / "intermediate.key"
    openssl("ocsp", "-index", index, "-CA", signer, "-rsigner", signer, "-rkey", key,
            "-issuer", signer, "-cert", authority.bare(cert.name), "-respout", made,
            "-ndays", "1", "-noverify")
    made.rename(target)


def expire(path, seconds):
    """Sets nextUpdate to some seconds from now, whatever becomes of the signature."""
    data = bytearray(path.read_bytes())
    place = [found.start() for found in re.finditer(rb"\x18\x0f\d{14}Z", data)][-1] + 2
    when = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))
    data[place:place + 15] = when.encode()
    copy = path.with_suffix(".copy")
    copy.write_bytes(data)
    copy.rename(path)


@pytest.fixture
def stapled(pawl, serve, folder, authority, app_cert):
    """A Pawl whose certificate has a response: stapled(change=..., **keys of pawl)."""
    cert = Certificate("main", folder / "cert.pem", folder / "key.pem")
    shutil.copy(app_cert.chain, cert.chain)
    shutil.copy(app_cert.key, cert.key)
    response = folder / "ocsp.der"

    def start(change=None, status="V", warning=None, about=app_cert, extra=None):
        respond(authority, about, response, status)
        if change:
            change(response)
        proxy = pawl(serve(echo), certificates=[cert], ready=False, workers=1,
                     extra={"certificate main": {"staple": response}, **(extra or {})})
        if warning:
            proxy.expect_log(warning)
        return proxy.wait_ready()

    start.response = response
    return start


def shown(proxy, *options):
    return s_client(proxy.listen[0], "-status", *options)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_response_is_sent_and_verifies(stapled, authority, version):
    proxy = stapled()
    seen = shown(proxy, version, "-CAfile", authority.root, "-verify_return_error")
    assert seen.has(SENT) and seen.has("Cert Status: good")
    assert seen.has("Verification: OK|Verify return code: 0")


def test_clients_under_a_policy_get_it_too(stapled, run_folder):
    ca = ClientAuthority(run_folder / "stapled")
    alice = ca.client("alice")
    proxy = stapled(extra={"listener web": {"clients": "staff"},
                           "clients staff": {"ca": ca.ca}})
    proxy.guarded = True
    seen = shown(proxy, "-cert", alice.chain, "-key", alice.key)
    assert seen.has(SENT) and seen.has("Cert Status: good")


def test_who_does_not_ask_gets_none(stapled):
    seen = s_client(stapled().listen[0])
    assert not seen.has("OCSP")


def test_without_a_file_none_is_sent(pawl, serve):
    assert shown(pawl(serve(echo))).has(NOT_SENT)


def test_a_revoked_certificate_says_so(stapled):
    assert shown(stapled(status="R")).has("Cert Status: revoked")


def test_a_new_file_is_taken_by_itself(stapled, authority, app_cert):
    proxy = stapled()
    assert shown(proxy).has("Cert Status: good")
    respond(authority, app_cert, stapled.response, "R")
    wait_until(lambda: shown(proxy).has("Cert Status: revoked"), "the new response")


@pytest.mark.parametrize("change, warning", [
    (lambda path: expire(path, -10), "not sent: its time .* is over"),
    (lambda path: path.write_bytes(path.read_bytes()[:-300]), "no OCSP response in DER"),
    (lambda path: path.write_text("nonsense"), "no OCSP response in DER"),
    (lambda path: path.unlink(), "no OCSP response: cannot read"),
], ids=["expired", "cut", "nonsense", "missing"])
def test_what_is_not_fit_is_not_sent_and_said(stapled, change, warning):
    proxy = stapled(change=change, warning=f"warning master: .*proxy.ini:.*{warning}")
    assert shown(proxy).has(NOT_SENT)


def test_a_response_about_another_certificate_is_not_sent(stapled, authority):
    other = authority.leaf("other-staple", ["other.example"])
    proxy = stapled(about=other, warning="not sent: it is about another certificate")
    assert shown(proxy).has(NOT_SENT)


def test_a_response_that_expires_meanwhile_is_not_sent_and_said_once(stapled):
    proxy = stapled(change=lambda path: expire(path, 3))
    proxy.expect_log("the time of its OCSP response is over")
    wait_until(lambda: shown(proxy).has(NOT_SENT), "the response to expire")
    assert shown(proxy).has(NOT_SENT)
    assert len(proxy.log.find("the time of its OCSP response is over")) == 1
