"""The chart: bars for each case, as multiples of Pawl."""

from html import escape

import report

WIDTH, LEFT, RIGHT, TOP = 900, 280, 70, 96
BAR, GAP, GROUP = 11, 2, 16
MOST = 6.0  # longer bars are cut, and say so

_STYLE = """\
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f }
.title { font-size: 17px; font-weight: 600 }
.small { font-size: 11px; fill: #57606a }
.value { font-size: 10.5px; fill: #57606a; paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
.ours { font-weight: 600; fill: #24292f }
.grid { stroke: #d0d7de; stroke-width: 1 }
.one { stroke: #57606a; stroke-width: 1; stroke-dasharray: 3 3 }
.pawl { fill: #0969da } .haproxy { fill: #8c959f } .hitch { fill: #b08800 }
.nginx-stream { fill: #2da44e } .nginx-http { fill: #8ddb8c } .stunnel { fill: #bf8fd8 }
.back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small, .value { fill: #9198a1 } .ours { fill: #e6edf3 }
  .value { stroke: #0d1117 } .grid { stroke: #30363d } .one { stroke: #9198a1 } .back { fill: #0d1117 }
  .pawl { fill: #4493f8 } .haproxy { fill: #6e7681 } .hitch { fill: #d29922 }
  .nginx-stream { fill: #3fb950 } .nginx-http { fill: #1f6f33 } .stunnel { fill: #a371f7 }
}"""


def draw(cases, kinds, summaries, facts):
    """An SVG of all cases of which there is a figure of ours and of a peer."""
    groups = [(case, multiples(case, kinds, summaries)) for case in cases]
    groups = [(case, bars) for case, bars in groups if len(bars) > 1]
    shown = [kind for kind in kinds
             if any(kind.key == key for _, bars in groups for key, *_ in bars)]
    body, y = [], TOP
    most = scale_end(groups)
    for case, bars in groups:
        body += _group(case, bars, y, most)
        y += len(bars) * (BAR + GAP) + GROUP
    height = y + 34
    lines = [_line(value, y, most) for value in range(0, int(most) + 1)]
    about = f"{facts['cpu']}, Linux {facts['kernel']}, {facts['date']}; medians; less is better"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="Cost of Pawl and its '
        f'peers">', f"<style>\n{_STYLE}\n</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>',
        '<text class="title" x="24" y="34">What TLS termination costs, as a multiple of '
        'Pawl</text>', *_legend(shown), *lines, *body,
        f'<text class="small" x="24" y="{height - 14}">{escape(about)}</text>', "</svg>", ""])


def multiples(case, kinds, summaries):
    """(key, multiple of ours, figure as text) of those that have a clean figure."""
    figures = summaries.get(case.name, {}).get("figures", {})
    if not report.is_clean(figures.get("pawl")):
        return []
    ours = figures["pawl"]["value"]
    return [(kind.key, figures[kind.key]["value"] / ours,
             _with_unit(figures[kind.key]["value"], case.unit))
            for kind in kinds if report.is_clean(figures.get(kind.key))]


def scale_end(groups):
    longest = max((by for _, bars in groups for _, by, _ in bars), default=1.0)
    return min(MOST, int(longest) + 1)


def _with_unit(value, unit):
    text = report.show(value, unit)
    return text if unit == "bytes" else f"{text} {unit.replace('us', 'µs')}"


def _x(value, most):
    return LEFT + (WIDTH - LEFT - RIGHT - 60) * min(value, most) / most


def _group(case, bars, y, most):
    middle = y + len(bars) * (BAR + GAP) / 2 + 3
    found = [f'<text x="{LEFT - 12}" y="{middle:.0f}" text-anchor="end">'
             f"{escape(case.title)}</text>"]
    for key, by, text in bars:
        end = _x(by, most)
        cut = " …" if by > most else ""
        ours = " ours" if key == "pawl" else ""
        found.append(f'<rect class="{key}" x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" '
                     f'height="{BAR}" rx="2"/>')
        found.append(f'<text class="value{ours}" x="{end + 6:.1f}" y="{y + BAR - 1.5}">'
                     f"{by:.2f}{cut} ({text})</text>")
        y += BAR + GAP
    return found


def _line(value, bottom, most):
    kind = "one" if value == 1 else "grid"
    x = _x(value, most)
    return (f'<line class="{kind}" x1="{x:.1f}" y1="{TOP - 12}" x2="{x:.1f}" '
            f'y2="{bottom - 6}"/><text class="small" x="{x:.1f}" y="{TOP - 18}" '
            f'text-anchor="middle">{value}</text>')


def _legend(kinds):
    found, x = [], 24
    for kind in kinds:
        found.append(f'<rect class="{kind.key}" x="{x}" y="47" width="11" height="11" rx="2"/>'
                     f'<text x="{x + 17}" y="57">{escape(kind.title)}</text>')
        x += 40 + 7.5 * len(kind.title)
    return found
