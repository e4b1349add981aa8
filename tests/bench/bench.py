#!/usr/bin/env python3
"""CPU time, memory and time of Pawl and its peers: `make bench` runs this.

Proxies run on core 0, load and backend on core 1.  In each round every case is measured
with every proxy, one after the other, each freshly started; figures are the medians of
the rounds.  See cases.py for what is measured and proxies.py for the settings.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cases
import chart
import machine
import proxies
import report
from lab import Lab, program


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pawl", required=True, type=Path)
    parser.add_argument("--client", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, help="a folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of load in a measurement")
    parser.add_argument("--only", default="", help="names of cases and proxies")
    found = parser.parse_args()
    words = set(found.only.replace(",", " ").split())
    known = {case.name for case in cases.ALL} | {kind.key for kind in proxies.ALL}
    if words - known:
        parser.error(f"no such case or proxy: {', '.join(sorted(words - known))}; there are "
                     f"{', '.join(sorted(known))}")
    found.cases = [c for c in cases.ALL if c.name in words] or cases.ALL
    found.kinds = [k for k in proxies.ALL if k.key in words] or list(proxies.ALL)
    return found


def measure(run, case, kind):
    try:
        return case.measure(case, run, kind)
    except Exception as error:  # pylint: disable=broad-except
        return {"value": None, "errors": 0, "failure": f"{type(error).__name__}: {error}"}


def turn(kinds, number):
    """The proxies in another order each round."""
    return kinds[number % len(kinds):] + kinds[:number % len(kinds)]


def main():
    options = arguments()
    if os.cpu_count() < 2:
        sys.exit("bench: proxies and load need a core each")
    for tool in ("openssl", "wrk", "h2load", *(words[0] for words in proxies.VERSIONS.values())):
        program(tool)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {1})
    proxies.Pawl.binary = options.pawl.resolve()
    facts = machine.describe({
        "pawl": [proxies.Pawl.binary, "version"],
        **{name: [program(words[0]), *words[1:]] for name, words in proxies.VERSIONS.items()}})
    folder = Path(tempfile.mkdtemp(prefix="pawl-bench-"))
    results = {}
    try:
        lab = Lab(folder)
        lab.start()
        try:
            rounds(options, cases.Run(lab, str(options.client.resolve()), options.seconds),
                   results)
        finally:
            lab.stop()
    finally:
        finish(options, facts, results)
        shutil.rmtree(folder)


def rounds(options, run, results):
    began = time.monotonic()
    for number in range(options.rounds):
        for case in options.cases:
            for kind in turn(options.kinds, number):
                if case.needs and not getattr(kind, case.needs):
                    continue
                found = measure(run, case, kind)
                results.setdefault(case.name, {}).setdefault(kind.key, []).append(found)
                print(f"{time.monotonic() - began:6.0f} s  round {number + 1}  {case.name:15}"
                      f"{kind.key:13}{report.show(found['value'], case.unit):>10} {case.unit}"
                      f"{'  ' + str(found.get('failure') or found.get('first_error') or '')}",
                      flush=True)


def finish(options, facts, results):
    """Writes down what there is, also after an interruption."""
    if not results:
        return
    options.out.mkdir(parents=True, exist_ok=True)
    summaries = report.summarize(results)
    text = report.table(cases.ALL, options.kinds, summaries)
    note = report.kernel_note(options.kinds, results)
    text += f"\n\n{note}" if note else ""
    about = (f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, {facts['date']}; "
             f"{options.rounds} rounds of {options.seconds} s; "
             + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    report.write(options.out / "bench.json", machine=facts, rounds=options.rounds,
                 seconds=options.seconds, results=results, summaries=summaries)
    (options.out / "bench.md").write_text(f"{text}\n\n{about}.\n")
    (options.out / "bench.svg").write_text(
        chart.draw([case for case in cases.ALL if case.chart], proxies.ALL, summaries, facts))
    print(f"\n{text}\n\n{about}.")
    for complaint in report.complaints(cases.ALL, options.kinds, summaries):
        print(f"{report.MARK} {complaint}")
    print(f"\nbench: wrote bench.json, bench.md and bench.svg to {options.out}")


if __name__ == "__main__":
    main()
