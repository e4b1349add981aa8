"""The commands: what they print, where, and their exit codes."""

import re

import pytest
from harness import settings
from harness.certs import Certificate
from harness.pawl import command
from harness.ports import free_address

COMMANDS = ["run", "check", "dev", "demo", "prove", "keys", "version", "help"]


@pytest.fixture
def check(folder, app_cert):
    """Runs `pawl check` on the usual sections, changed: check({...}) -> (done, lines)."""
    def run(changes=None, text=None):
        sections = settings.basic(free_address(), [app_cert], "127.0.0.1:3000")
        for title, keys in (changes or {}).items():
            sections.setdefault(title, {}).update(keys)
        file = folder / "proxy.ini"
        file.write_text(settings.ini(sections) if text is None else text)
        done = command("check", file)
        return done, file.read_text().splitlines()

    return run


def line_of(lines, word):
    return 1 + next(number for number, line in enumerate(lines) if word in line)


# --- pawl check


def test_check_is_content_with_a_good_file(check):
    done, _ = check()
    assert done.returncode == 0 and not done.stderr


def test_check_reports_every_error_with_its_line(check):
    done, lines = check({
        "proxy": {"wrokers": "2"},
        "limits": {"idle_timeout": "10", "drain_timeout": "1000000d"},
        "listener web": {"address": "8443"},
        "backend far": {"address": "192.0.2.1:80"},
        "log": {"format": "xml"},
        "certificate more": {"chain": "/none/cert.pem", "key": "/none/key.pem"},
        "strange": {"a": "b"},
    })
    assert done.returncode == 1
    for word in ("wrokers", "idle_timeout", "drain_timeout", "address = 8443", "192.0.2.1",
                 "xml", "/none/cert.pem", "/none/key.pem", "[strange]"):
        where = f"proxy.ini:{line_of(lines, word)}: "
        assert where in done.stderr, (word, done.stderr)
    for line in done.stderr.splitlines()[:-1]:
        assert re.match(r"(warning: )?\S+/proxy\.ini:\d+: [a-z\[\"]", line), line


def test_check_suggests_what_was_meant(check):
    done, _ = check({"proxy": {"wrokers": "2"}, "limtis": {"idle_timeout": "1s"}})
    assert '"workers"' in done.stderr and "limits" in done.stderr


@pytest.mark.parametrize("changes, word, reason", [
    ({"limits": {"idle_timeout": "90"}}, "idle_timeout", "unit"),
    ({"limits": {"idle_timeout": "1ms"}}, "idle_timeout", "100ms"),
    ({"proxy": {"workers": "0"}}, "workers", "1"),
    ({"proxy": {"workers": "many"}}, "workers", "auto"),
    ({"backend app": {"send_proxy": "v3"}}, "send_proxy", "v2-tls"),
    ({"backend app": {"address": "no such host:80"}}, "no such host", "IP address"),
    ({"backend app": {"address": "203.0.113.5:80"}}, "203.0.113.5",
     "allow_remote_plaintext"),
    ({"listener web": {"backend": "nowhere"}}, "nowhere", "not defined"),
    ({"listener web": {"address": "localhost"}}, "address = localhost", "port"),
    ({"certificate main": {"default": "perhaps"}}, "perhaps", "yes"),
])
def test_check_explains_a_wrong_value(check, changes, word, reason):
    done, lines = check(changes)
    assert done.returncode == 1
    text = next(line for line in done.stderr.splitlines()
                if f"proxy.ini:{line_of(lines, word)}: " in line)
    assert reason in text, text


@pytest.mark.parametrize("section", ["listener web", "certificate main", "backend app"])
def test_check_misses_what_is_required(check, app_cert, section):
    sections = settings.basic(free_address(), [app_cert], "127.0.0.1:3000")
    del sections[section]
    done, _ = check(text=settings.ini(sections))
    assert done.returncode == 1 and section.split()[0] in done.stderr


def test_check_finds_doubled_keys_and_sections(check, app_cert):
    sections = settings.basic(free_address(), [app_cert], "127.0.0.1:3000")
    text = settings.ini(sections)
    done, lines = check(text=text + "[limits]\nidle_timeout = 1s\nidle_timeout = 2s\n")
    assert done.returncode == 1
    assert f"proxy.ini:{len(lines)}: " in done.stderr


@pytest.mark.parametrize("text, number, word", [
    ("[listener web\n", 1, "]"),
    ("address = 127.0.0.1:1\n", 1, "section"),
    ("[proxy]\nworkers\n", 2, "="),
    ("[proxy]\n  workers = 1\n\tuser = x\n", None, "proxy.ini"),
    ("[proxy]\nuser = " + "x" * 100_000 + "\n", 2, "long"),
    ("[proxy]\nuser = a\0b\n", 2, "NUL"),
])
def test_check_survives_bad_syntax(check, text, number, word):
    done, _ = check(text=text)
    assert done.returncode == 1
    assert number is None or f"proxy.ini:{number}: " in done.stderr
    assert word in done.stderr


def test_check_finds_one_address_in_two_listeners(check):
    address = free_address()
    done, lines = check({"listener web": {"address": address},
                         "listener again": {"address": address}})
    assert done.returncode == 1 and address in done.stderr
    assert f"proxy.ini:{line_of(lines[6:], address) + 6}: " in done.stderr


def test_check_of_a_missing_file_says_so(folder):
    done = command("check", folder / "none.ini")
    assert done.returncode == 1
    assert "none.ini" in done.stderr and "No such file or directory" in done.stderr


def test_an_empty_file_lacks_everything(check):
    done, _ = check(text="")
    assert done.returncode == 1
    assert all(word in done.stderr for word in ("listener", "certificate", "backend"))


# --- pawl check on certificates


def with_cert(certificate):
    return {"certificate main": {"chain": certificate.chain, "key": certificate.key}}


def test_check_finds_a_key_of_another_certificate(check, authority, app_cert):
    other = authority.leaf("another", ["app.example"])
    done, lines = check(with_cert(Certificate("main", app_cert.chain, other.key)))
    assert done.returncode == 1
    assert f"proxy.ini:{line_of(lines, 'key = ')}: " in done.stderr
    assert str(other.key) in done.stderr


def test_check_finds_a_chain_in_the_wrong_order(check, authority, app_cert):
    turned = authority.write("turned.pem", authority.intermediate, authority.bare("main"))
    done, lines = check(with_cert(Certificate("main", turned, app_cert.key)))
    assert done.returncode == 1
    assert f"proxy.ini:{line_of(lines, 'chain = ')}: " in done.stderr


def test_check_finds_a_certificate_that_did_not_sign_the_one_before(check, authority,
                                                                    app_cert):
    stranger = authority.self_signed("stranger", ["stranger.example"])
    wrong = authority.write("wrong.pem", authority.bare("main"), stranger.chain)
    done, lines = check(with_cert(Certificate("main", wrong, app_cert.key)))
    assert done.returncode == 1
    assert f"proxy.ini:{line_of(lines, 'chain = ')}: " in done.stderr


def test_check_warns_of_a_missing_intermediate(check, authority, app_cert):
    done, _ = check(with_cert(Certificate("main", authority.bare("main"), app_cert.key)))
    assert done.returncode == 0 and "intermediate" in done.stderr


@pytest.mark.parametrize("start, end, word", [
    ("20200101000000Z", "20210101000000Z", "expired"),
    ("20990101000000Z", "21000101000000Z", "not valid yet"),
])
def test_check_tells_of_a_certificate_out_of_its_time(check, authority, start, end, word):
    cert = authority.dated_leaf(f"dated-{start}", ["app.example"], start, end)
    done, _ = check(with_cert(cert))
    assert word in done.stderr


@pytest.mark.parametrize("kind, word", [("rsa1024", "1024 bits"), ("p521", "P-256")])
def test_check_refuses_weak_and_unknown_keys(check, authority, kind, word):
    done, lines = check(with_cert(authority.leaf(f"bad-{kind}", ["app.example"], kind)))
    assert done.returncode == 1 and word in done.stderr
    assert f"proxy.ini:{line_of(lines, 'chain = ')}: " in done.stderr


def test_check_refuses_a_chain_file_with_a_key_in_it(check, authority, app_cert):
    both = authority.write("both.pem", app_cert.chain, app_cert.key)
    done, lines = check(with_cert(Certificate("main", both, app_cert.key)))
    assert done.returncode == 1 and "private key" in done.stderr
    assert f"proxy.ini:{line_of(lines, 'chain = ')}: " in done.stderr


def test_check_finds_files_that_hold_something_else(check, folder):
    (folder / "cert.pem").write_text("not a certificate\n")
    (folder / "key.pem").write_text("not a key\n")
    (folder / "key.pem").chmod(0o600)
    done, lines = check({"certificate main": {"chain": folder / "cert.pem",
                                              "key": folder / "key.pem"}})
    assert done.returncode == 1
    for word in ("cert.pem", "key.pem"):
        assert f"proxy.ini:{line_of(lines, word)}: " in done.stderr


def test_check_warns_of_a_key_that_everybody_may_read(check, folder, app_cert):
    key = folder / "key.pem"
    key.write_bytes(app_cert.key.read_bytes())
    key.chmod(0o644)
    done, _ = check(with_cert(Certificate("main", app_cert.chain, key)))
    assert done.returncode == 0 and str(key) in done.stderr


# --- The other commands


def test_without_a_command_the_overview_is_shown():
    done = command()
    assert done.returncode == 2 and not done.stdout
    assert all(f"pawl {name}" in done.stderr for name in COMMANDS)


@pytest.mark.parametrize("arguments", [
    ["serve"], ["run", "-x"], ["run", "-c"], ["run", "file"], ["check", "a", "b"],
    ["check", "-v"], ["dev"], ["dev", "3000", "4000"], ["dev", "3000", "--listen"],
    ["demo", "3000"], ["demo", "--quiet"], ["keys", "--yaml"], ["version", "--all"],
    ["help", "nothing"],
])
def test_wrong_usage_ends_with_2_and_a_hint(arguments):
    done = command(*arguments)
    assert done.returncode == 2 and not done.stdout
    assert "pawl help" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_each_command(name):
    for arguments in (["help", name], [name, "--help"]):
        done = command(*arguments)
        assert done.returncode == 0 and not done.stderr
        assert done.stdout.startswith(f"usage: pawl {name}")


def test_help_lists_the_commands():
    done = command("help")
    assert done.returncode == 0
    assert all(f"pawl {name}" in done.stdout for name in COMMANDS)


def test_version_names_the_libraries():
    done = command("version")
    assert done.returncode == 0
    assert re.match(r"pawl \d+\.\d+\.\d+ \(wolfSSL 5\.9\.2, libevent 2\..*\)\n$", done.stdout)


def test_version_v_proves_what_tls_can_do():
    done = command("version", "-v")
    assert done.returncode == 0
    lines = done.stdout.splitlines()[1:]
    assert len(lines) > 10 and all(line.startswith("ok ") for line in lines)
    assert "X25519MLKEM768" in done.stdout


def test_keys_lists_sections_keys_and_defaults():
    done = command("keys")
    assert done.returncode == 0
    for word in ("[listener NAME]", "handshake_timeout", "send_proxy", "default 10s"):
        assert word in done.stdout


def test_keys_as_markdown_is_a_table():
    lines = command("keys", "--markdown").stdout.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) > 15 and len({row.count("|") for row in rows}) == 1


def test_keys_as_ini_is_a_file_that_check_can_read(folder):
    file = folder / "example.ini"
    file.write_text(command("keys", "--ini").stdout)
    done = command("check", file)
    assert "unknown" not in done.stderr  # only the example's files are missing
    for line in done.stderr.splitlines():
        assert "No such file" in line or "error" in line, line


def test_run_without_its_file_fails_in_words(folder):
    done = command("run", "-c", folder / "none.ini")
    assert done.returncode == 1
    assert "none.ini" in done.stderr and "No such file or directory" in done.stderr
