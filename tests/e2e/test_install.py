"""`make install` and what it installs: pages, unit, completion, the example of a configuration."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from harness.client_ca import ClientAuthority
from harness.env import BINARY
from harness.pawl import command

ROOT = Path(__file__).resolve().parents[2]

PROGRAM, FILE = 0o755, 0o644
PLACES = {
    "usr/bin/pawl": PROGRAM,
    "usr/share/man/man1/pawl.1": FILE,
    "usr/share/man/man5/proxy.ini.5": FILE,
    "usr/lib/systemd/system/pawl.service": FILE,
    "usr/share/bash-completion/completions/pawl": FILE,
    "usr/share/zsh/site-functions/_pawl": FILE,
    "usr/share/fish/vendor_completions.d/pawl.fish": FILE,
    "usr/share/doc/pawl/README.md": FILE,
    "usr/share/doc/pawl/LICENSE": FILE,
    "etc/pawl/proxy.ini.example": FILE,
}


def make(*arguments):
    """A make of its own on what is built, which must need no further building."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        ["make", "-C", ROOT, f"BUILD={BINARY.parent}", f"PAWL={BINARY}", *arguments],
        env=environment, text=True, capture_output=True, timeout=60, check=True)


def contents(image):
    return {str(path.relative_to(image)): stat.S_IMODE(path.stat().st_mode)
            for path in image.rglob("*") if not path.is_dir()}


@pytest.fixture
def image(folder):
    """An image of a system with Pawl in it."""
    done = make("install", f"DESTDIR={folder}/image", "prefix=/usr")
    assert "CC " not in done.stdout and "LINK " not in done.stdout, done.stdout
    return folder / "image"


def test_all_is_installed_below_destdir_and_runs(image):
    assert contents(image) == PLACES
    done = subprocess.run([image / "usr/bin/pawl", "version"], text=True, capture_output=True,
                          check=True)
    assert done.stdout.startswith("pawl ")


def test_the_unit_names_the_places_of_this_installation(image, folder):
    unit = (image / "usr/lib/systemd/system/pawl.service").read_text()
    assert "\nExecStart=/usr/bin/pawl run -c /etc/pawl/proxy.ini\n" in unit
    make("install", f"DESTDIR={folder}/other", "prefix=/opt/pawl", "sysconfdir=/opt/etc")
    unit = (folder / "other/opt/pawl/lib/systemd/system/pawl.service").read_text()
    assert "\nExecStart=/opt/pawl/bin/pawl run -c /opt/etc/pawl/proxy.ini\n" in unit
    assert "/usr/local" not in unit


def test_a_configuration_survives_a_new_installation_and_the_end(image, folder):
    own = image / "etc/pawl/proxy.ini"
    own.write_text("mine")
    make("install", f"DESTDIR={folder}/image", "prefix=/usr")
    assert own.read_text() == "mine"
    make("uninstall", f"DESTDIR={folder}/image", "prefix=/usr")
    assert list(contents(image)) == ["etc/pawl/proxy.ini"] and own.read_text() == "mine"


def test_the_example_lacks_nothing_but_the_files_it_names():
    done = command("check", ROOT / "proxy.ini.example")
    *problems, summary = [line for line in done.stderr.splitlines()
                          if not line.startswith("warning: ")]
    assert done.returncode == 1 and re.search(r"\d+ errors?$", summary)
    assert problems
    for line in problems:
        assert re.search(r'cannot (open|read) .*: No such file or directory', line), line


def test_the_example_is_fine_where_its_files_are(folder, app_cert):
    text = (ROOT / "proxy.ini.example").read_text()
    clients = ClientAuthority(folder / "clients")
    files = {"chain": app_cert.chain, "key": app_cert.key, "ca": clients.ca,
             "crl": clients.crl()}
    for key, path in files.items():
        text, count = re.subn(rf"^{key} = .*$", f"{key} = {path}", text, flags=re.MULTILINE)
        assert count == 1, key
    file = folder / "proxy.ini"
    file.write_text(text)
    done = command("check", file)
    assert done.returncode == 0, done.stderr


def test_every_key_and_command_has_its_place_in_the_pages(image):
    page = (image / "usr/share/man/man1/pawl.1").read_text()
    for name in re.findall(r"^  pawl ([a-z]+) ", command("help").stdout, re.MULTILINE):
        assert f'.It Ic "pawl {name}' in page
    page = (image / "usr/share/man/man5/proxy.ini.5").read_text()
    keys = re.findall(r"^  ([a-z0-9_]+) = ", command("keys").stdout, re.MULTILINE)
    assert len(keys) > 40
    for key in keys:
        assert f"\n.It Sy {key} No " in page


COMPLETE = """
complete() { :; }
compopt() { :; }
. "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_pawl "$1" "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("words, wanted", [
    (["c"], {"check"}),
    (["help", "de"], {"demo", "dev"}),
    (["prove", "--s"], {"--sni"}),
    (["version", "-"], {"-v"}),
    (["log", "w"], {"warning"}),
    (["check", "proxy.ini.ex"], {"proxy.ini.example"}),
    (["run", "-c", "LICE"], {"LICENSE"}),
])
def test_bash_completes_what_pawl_says_it_has(image, words, wanted):
    script = image / "usr/share/bash-completion/completions/pawl"
    done = subprocess.run(["bash", "-c", COMPLETE, "bash", script, BINARY, *words], cwd=ROOT,
                          text=True, capture_output=True, timeout=30, check=True)
    assert set(done.stdout.split()) == wanted and not done.stderr


def test_the_unit_gives_what_the_program_asks_for(image):
    """What is not testable without the service manager: names that must not drift apart."""
    unit = settings_of((image / "usr/lib/systemd/system/pawl.service").read_text())
    assert unit["RuntimeDirectory"] == ["pawl"]
    assert "AF_UNIX" in unit["RestrictAddressFamilies"][0].split()
    filters = " ".join(unit["SystemCallFilter"])
    for call in ("seccomp", "landlock_restrict_self", "memfd_create"):
        assert call in filters.split()


def settings_of(text):
    found = {}
    for name, value in re.findall(r"^([A-Za-z]+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found
