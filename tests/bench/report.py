"""From measurements to figures: medians, ratios, the table and the JSON file."""

import json
from statistics import median

MARK = "!"  # behind a figure during which something failed


def summary(rounds):
    """One figure of the measurements of all rounds; None: there is none."""
    values = [entry["value"] for entry in rounds if entry.get("value") is not None]
    errors = sum(entry.get("errors", 0) for entry in rounds)
    failures = [entry["failure"] for entry in rounds if "failure" in entry]
    if not values:
        return {"value": None, "errors": errors, "failures": failures}
    return {"value": median(values), "least": min(values), "most": max(values),
            "errors": errors, "failures": failures}


def is_clean(figure):
    return figure is not None and figure["value"] is not None and figure["errors"] == 0 \
        and not figure["failures"]


def ratio(figures, ours="pawl"):
    """Ours by the best peer's, and who that is; figures with errors take no part."""
    peers = {key: figure["value"] for key, figure in figures.items()
             if key != ours and is_clean(figure)}
    if not peers or not is_clean(figures.get(ours)):
        return None, None
    best = min(peers, key=peers.get)
    return figures[ours]["value"] / peers[best], best


def summarize(results):
    """case -> {peer -> rounds} becomes case -> {figures, ratio, best}."""
    found = {}
    for case, peers in results.items():
        figures = {key: summary(rounds) for key, rounds in peers.items()}
        by, best = ratio(figures)
        found[case] = {"figures": figures, "ratio": by, "best": best}
    return found


def show(value, unit):
    if value is None:
        return "failed"
    if unit == "ns/byte":
        return f"{value:.2f}"
    if unit == "bytes":
        return f"{value / 1024:.1f} KiB"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def table(cases, kinds, summaries):
    """Markdown: a row for each case that was measured."""
    heads = ["case", *(kind.title for kind in kinds), "Pawl / best peer"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for case in cases:
        if case.name not in summaries:
            continue
        entry = summaries[case.name]
        unit = "" if case.unit == "bytes" else f" ({case.unit})"
        cells = [_cell(entry["figures"].get(kind.key), case.unit) for kind in kinds]
        by = "-" if entry["ratio"] is None else f"**{entry['ratio']:.2f}**"
        lines.append(f"| {case.title}{unit} | " + " | ".join([*cells, by]) + " |")
    return "\n".join(lines)


def _cell(figure, unit):
    if figure is None:
        return "-"
    return show(figure["value"], unit) + ("" if is_clean(figure) else f" {MARK}")


def kernel_note(kinds, results):
    """A sentence about the memory that an idle connection takes in the kernel, or ""."""
    found = []
    for kind in kinds:
        values = [entry["kernel_bytes_of_both_ends"] for entry in
                  results.get("idle", {}).get(kind.key, ())
                  if "kernel_bytes_of_both_ends" in entry]
        if values:
            found.append(f"{kind.title} {show(median(values), 'bytes')}")
    return ("The kernel's memory for an idle connection, with client, backend and all their "
            f"sockets: {', '.join(found)}.") if found else ""


def complaints(cases, kinds, summaries):
    """A sentence for each figure that is not clean."""
    found = []
    for case in cases:
        for kind in kinds:
            figure = summaries.get(case.name, {}).get("figures", {}).get(kind.key)
            if figure is not None and not is_clean(figure):
                words = "; ".join(figure["failures"]) or f"{figure['errors']} errors"
                found.append(f"{case.title}, {kind.title}: {words}")
    return found


def write(path, **content):
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
