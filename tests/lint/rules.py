#!/usr/bin/env python3
"""The house rules that a program can check. Prints every violation as file:line: text.

Works on text, not on a parse tree: the formatting check guarantees that a function's
braces, and no others, stand alone in the first column.
"""

import pathlib
import re
import sys

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 80
OURS = ("proxy", "certs", "config")

# What each directory may include. error and log stand below all others.
COMMON = {"proxy/error.h", "proxy/log.h"}
LOG_PARTS = ("log", "log_escape", "log_flood", "log_sink")
MAY_INCLUDE = {
    "proxy": ("proxy", "certs", "config"),
    "certs": ("certs", "config"),
    "config": ("config",),
}

PRIVATE_KEY = re.compile(
    r"\b(?:wc_\w*private_?key\w*|wc_\w*_sign(?:_\w+)?|wc_\w+Sign\w*|wc_SignatureGenerate\w*"
    r"|wc_\w*KeyPemToDer\w*|wc_\w*make_key\w*|\w*use_PrivateKey\w*)\b",
    re.IGNORECASE,
)
STREAM_CALL = re.compile(
    r"\bwolfSSL_(?:read|write|accept|shutdown|recv|send|peek)(?:_\w+|v)?\s*\("
)
# The server's bytes, and those of the client that `pawl prove` is.
STREAM_FILES = ("proxy/stream.c", "proxy/prove_session.c")
BANNED = re.compile(r"\b(?:strcpy|strcat|sprintf|vsprintf|alloca|gets)\s*\(")
TYPEDEF = re.compile(r"\btypedef\s+(?:struct|union|enum)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
CONDITIONAL = re.compile(r"^\s*#\s*if")
OPEN_TASK = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
ISSUE = re.compile(r"#[0-9]+")

# One alternative per thing whose inside is not code.
NOT_CODE = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)

violations = []


def report(path, line, text):
    violations.append((str(path), line, text))


def blank(match):
    """Replaces a comment or literal with blanks, keeping the line structure."""
    return re.sub(r"[^\n]", " ", match.group())


def check_include(path, line, target):
    folder = path.parts[0]
    if target.split("/")[0] not in OURS + ("tests",) or "/" not in target:
        report(path, line, f'include "{target}" by its path from the root')
        return
    if folder not in OURS:
        return
    if path.stem in ("error", *LOG_PARTS) and folder == "proxy":
        parts = {f"proxy/{part}.h" for part in LOG_PARTS} if path.stem != "error" else set()
        if target not in COMMON | parts:
            report(path, line, f"{path.stem} includes nothing of ours, but {target}")
        return
    if target not in COMMON and target.split("/")[0] not in MAY_INCLUDE[folder]:
        report(path, line, f"{folder}/ must not depend on {target}")


def check_line(path, number, code):
    """Rules about one line of code, its comments and literals blanked."""
    if match := BANNED.search(code):
        report(path, number, f"{match.group().rstrip('( ')} is banned")
    if TYPEDEF.search(code):
        report(path, number, "no typedef of a struct, union or enum")
    if path.parts[0] not in OURS:
        return
    if path.parts[0] != "certs" and (match := PRIVATE_KEY.search(code)):
        report(path, number, f"only certs/ names private keys: {match.group()}")
    if str(path) not in STREAM_FILES and (match := STREAM_CALL.search(code)):
        report(path, number, f"only proxy/stream.c calls {match.group().rstrip('( ')}")


def check_functions(path, lines):
    start = None
    for number, code in enumerate(lines, 1):
        if code.rstrip() == "{":
            start = number
        elif start and CONDITIONAL.match(code):
            report(path, number, "no #if inside a function")
        elif start and code.startswith("}"):
            length = number - start + 1
            if length > FUNCTION_LINES_MAX:
                report(path, start, f"function of {length} lines, at most {FUNCTION_LINES_MAX}")
            start = None


def check_c(path, text):
    raw = text.splitlines()
    lines = NOT_CODE.sub(blank, text).splitlines()
    if len(raw) > FILE_LINES_MAX:
        report(path, len(raw), f"file of {len(raw)} lines, at most {FILE_LINES_MAX}")
    for number, (line, code) in enumerate(zip(raw, lines), 1):
        if match := INCLUDE.match(line):
            check_include(path, number, match.group(1))
        check_line(path, number, code)
    check_functions(path, lines)


def check_tasks(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if OPEN_TASK.search(line) and not ISSUE.search(line):
            report(path, number, "open task without an issue number")


def sources():
    here = pathlib.Path(__file__).name
    for folder in OURS + ("tests", "deps", ".ci"):
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_file() and path.name != here and "__pycache__" not in path.parts:
                yield path
    yield pathlib.Path("Makefile")


def main():
    for path in sources():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # test data
        check_tasks(path, text)
        if path.suffix in (".c", ".h"):
            check_c(path, text)
    for path, line, text in sorted(violations):
        print(f"{path}:{line}: {text}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
