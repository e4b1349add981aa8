"""The arithmetic of `make bench`, which itself takes too long to be a test."""

import os
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import cases  # noqa: E402  pylint: disable=wrong-import-position
import chart  # noqa: E402  pylint: disable=wrong-import-position
import machine  # noqa: E402  pylint: disable=wrong-import-position
import proxies  # noqa: E402  pylint: disable=wrong-import-position
import report  # noqa: E402  pylint: disable=wrong-import-position

FACTS = {"cpu": "<cpu>", "kernel": "6.1", "date": "2026-01-01"}


def rounds(*values, errors=0):
    return [{"value": value, "errors": errors} for value in values]


def test_a_figure_is_the_median_of_its_rounds():
    figure = report.summary(rounds(30.0, 10.0, 11.0))
    assert (figure["value"], figure["least"], figure["most"]) == (11.0, 10.0, 30.0)
    assert report.is_clean(figure)


def test_a_figure_with_an_error_in_any_round_is_not_clean():
    figure = report.summary(rounds(10.0, 11.0) + rounds(12.0, errors=1))
    assert figure["value"] == 11.0
    assert not report.is_clean(figure)


def test_a_round_that_failed_leaves_a_figure_that_is_not_clean():
    figure = report.summary(rounds(10.0) + [{"value": None, "errors": 0, "failure": "x"}])
    assert figure["value"] == 10.0 and figure["failures"] == ["x"]
    assert not report.is_clean(figure)
    assert not report.is_clean(report.summary([{"value": None, "failure": "x"}]))


def test_the_ratio_is_to_the_best_clean_peer():
    summaries = report.summarize({"full": {
        "pawl": rounds(50.0), "hitch": rounds(200.0), "haproxy": rounds(100.0),
        "stunnel": rounds(10.0, errors=3)}})
    assert summaries["full"]["ratio"] == 0.5
    assert summaries["full"]["best"] == "haproxy"


def test_there_is_no_ratio_without_a_clean_figure_of_ours():
    for ours in (rounds(50.0, errors=1), [{"value": None, "failure": "x"}]):
        found = report.summarize({"full": {"pawl": ours, "hitch": rounds(200.0)}})["full"]
        assert found["ratio"] is None
    assert report.summarize({"hybrid": {"pawl": rounds(1.0)}})["hybrid"]["ratio"] is None


def test_the_table_marks_what_is_not_clean():
    summaries = report.summarize({
        "full": {"pawl": rounds(123.456), "hitch": rounds(1234.5, errors=2)},
        "download": {"pawl": rounds(0.484), "hitch": rounds(1.0)},
        "idle": {"pawl": rounds(6144.0), "hitch": rounds(40960.0)}})
    kinds = [proxies.Pawl, proxies.Hitch, proxies.Stunnel]
    lines = report.table(cases.ALL, kinds, summaries).splitlines()
    assert lines[0] == "| case | Pawl | hitch | stunnel | Pawl / best peer |"
    assert lines[2:] == [
        "| full handshake, one request, close (us) | 123 | 1,234 ! | - | - |",
        "| 100 MB download (ns/byte) | 0.48 | 1.00 | - | **0.48** |",
        "| memory of an idle connection | 6.0 KiB | 40.0 KiB | - | **0.15** |"]
    assert report.complaints(cases.ALL, kinds, summaries) == [
        "full handshake, one request, close, hitch: 2 errors"]


def test_kernel_memory_is_told_apart():
    measured = {"value": 1.0, "errors": 0, "kernel_bytes_of_both_ends": 10240.0}
    assert report.kernel_note([proxies.Pawl], {"idle": {"pawl": [measured]}}).endswith(
        "sockets: Pawl 10.0 KiB.")
    assert report.kernel_note([proxies.Pawl], {"idle": {"pawl": rounds(1.0)}}) == ""
    assert report.kernel_note([proxies.Pawl], {}) == ""


@pytest.mark.parametrize("output, errors", [
    ("  Socket errors: connect 1, read 2, write 3, timeout 4\nRequests/sec:  9.1\n", 10),
    ("  Non-2xx or 3xx responses: 7\nRequests/sec:  99.1\n", 7),
    ("Requests/sec:  99.1\nTransfer/sec: 1MB\n", 0),
    ("Requests/sec:      0.00\n", 1), ("", 1),
    ("requests: 9 total, 9 started, 9 done, 5 succeeded, 2 failed, 1 errored, 1 timeout", 4),
    ("requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout", 0),
    ("requests: 9 total, 9 started, 9 done, 0 succeeded, 9 failed, 0 errored, 0 timeout", 10),
])
def test_failed_requests_are_found_in_what_the_load_generators_print(output, errors):
    assert cases.load_errors(output) == errors


def test_the_chart_is_well_formed_and_has_a_bar_for_each_clean_figure():
    shown = [case for case in cases.ALL if case.chart]
    summaries = report.summarize({case.name: {
        "pawl": rounds(10.0), "haproxy": rounds(20.0), "hitch": rounds(5.0, errors=1),
        "stunnel": rounds(1000.0)} for case in shown})
    text = chart.draw(shown, proxies.ALL, summaries, FACTS)
    root = xml.etree.ElementTree.fromstring(text)
    classes = [bar.get("class") for bar in root.iter("{http://www.w3.org/2000/svg}rect")]
    # One more for the legend.
    assert classes.count("pawl") == classes.count("haproxy") == len(shown) + 1
    assert classes.count("hitch") == 0
    width = float(root.get("width"))
    assert all(float(bar.get("x", 0)) + float(bar.get("width")) <= width
               for bar in root.iter("{http://www.w3.org/2000/svg}rect"))


def test_a_chart_without_figures_is_still_one():
    xml.etree.ElementTree.fromstring(chart.draw(cases.ALL, proxies.ALL, {}, FACTS))


def test_the_time_of_a_tree_includes_children_that_run_and_have_run():
    spin = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys\n{spin}"
         f"subprocess.run([sys.executable, '-c', {spin!r}])\n"
         f"child = subprocess.Popen([sys.executable, '-c', {spin!r} + 'input()'],"
         " stdin=subprocess.PIPE)\nprint(child.pid, flush=True)\ninput()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        child = int(parent.stdout.readline())
        assert set(machine.tree(parent.pid)) == {parent.pid, child}
        spent = machine.settled_cpu(parent.pid, still=0.5)
        assert 0.85 <= spent < 1.5
        assert machine.pss_bytes(os.getpid()) > 1 << 20
    finally:
        parent.kill()
        parent.wait()
        parent.stdin.close()
        parent.stdout.close()
