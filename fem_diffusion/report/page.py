"""The page: what was solved, the fields, the curves, and where it all comes from."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shlex
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from ..picture.numbers import prefixed
from ..picture.page import COLORS as COLOR_MAP
from ..picture.shape import Shape
from ..results import Results
from . import curves, fields, model
from .text import number, table

NAME = "report.html"
STEADY = "reached the steady state"
_CELLS = {3: "intervals", 5: "triangles", 9: "quadrilaterals", 10: "tetrahedra", 12: "hexahedra"}
_HERE = Path(__file__).parent
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write(folder: Path) -> Path:
    """Write report.html into the folder of a run that has ended, failed or still goes on; returns its path. Serial.

    Raises InputError if the folder is not that of a run.
    """
    page = _page(Results(folder))
    path = folder / NAME
    partial = folder / f".{NAME}.{os.getpid()}"
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def _page(results: Results) -> str:
    data: dict[str, Any] = {}
    molar = "mol" in next((results.unit(name) for name in results.species if name in results.point_names), "")
    units = curves.Units(results.dimensional, molar, _volume_dimension(results))
    shape = fields.geometry(results)
    sections = {
        "problem": ("What was solved", model.section(results, molar)),
        "fields": ("Fields over time", _fields(results, shape, units, data)),
        "curves": ("Curves", _curves(results, units, data)),
        "summary": ("Summary", _summary(results)),
        "mesh": ("Mesh", _mesh(results, shape, data)),
        "certificate": ("Certificate", _certificate(results)),
        "provenance": ("Provenance", _provenance(results)),
        "reproduce": ("Reproduce", _reproduce(results)),
    }
    there = {key: section for key, section in sections.items() if section[1]}
    links = "".join(f'<a href="#{key}">{title}</a>' for key, (title, _) in there.items())
    body = "\n".join(f'<section id="{key}"><h2>{title}</h2>\n{html}\n</section>' for key, (title, html) in there.items())
    title = escape(results.problem["title"] or results.folder.resolve().name)
    numbers = json.dumps(data).replace("<", "\\u003c")  # or a name could end the script
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{(_HERE / "style.css").read_text()}</style>
</head>
<body>
<header><h1>{title}</h1>{_outcome(results)}</header>
<nav>{links}</nav>
<main>
{body}
</main>
<script type="application/json" id="data">{numbers}</script>
<script type="text/plain" id="plotly">{_plotly()}</script>
<script>{(_HERE / "page.js").read_text()}</script>
</body>
</html>
"""


@cache
def _plotly() -> str:
    """plotly's script, compressed: as it is it would be larger than all the rest."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), compresslevel=4)).decode()


def _volume_dimension(results: Results) -> int:
    """Of the integrals: an axisymmetric mesh is that of a solid."""
    mesh = results.problem["mesh"]
    if len(results.times):
        return 3 if mesh["axisymmetric"] else results.dimension
    return 3 if mesh["axisymmetric"] or "size" not in mesh else len(mesh["size"])


# --- how it ended


def _outcome(results: Results) -> str:
    provenance, history = results.provenance, results.history
    outcome = str(provenance.get("outcome", "not ended: it still runs, or was killed"))
    word = re.split(r": | after ", outcome)[0]
    message = outcome.removeprefix(word).removeprefix(":").strip()
    kind = "good" if word.startswith("reached") else "bad" if word in ("failed", "crashed") else "caution"
    facts = [f'<li><span class="badge {kind}">{escape(word)}</span></li>']
    if history and outcome != STEADY:
        facts.append(f"<li>until <b>{_clock(float(history['time'][-1]), results)}</b></li>")
    if history:
        rejected = sum(provenance.get("rejected_steps", {}).values())
        steps = len(history["step"]) - 1
        facts.append(f"<li><b>{steps}</b> step{'s' if steps != 1 else ''}{f', {rejected} rejected' if rejected else ''}</li>")
    for key, after in (("unknowns", "unknowns"), ("ranks", "ranks")):
        if key in provenance:
            facts.append(f"<li><b>{number(provenance[key])}</b> {after if provenance[key] != 1 else after[:-1]}</li>")
    if "wall_seconds" in provenance:
        facts.append(f"<li><b>{number(provenance['wall_seconds'], 's')}</b></li>")
    parts = [f'<ul class="facts">{"".join(facts)}</ul>']
    if message:
        rejections = "".join(f"<li>{escape(str(reason))}</li>" for reason in provenance.get("last_rejections", []))
        listed = f"<details><summary>the last rejected steps</summary><ul>{rejections}</ul></details>" if rejections else ""
        parts.append(f'<div class="message {kind}"><p>{escape(message)}</p>{listed}</div>')
    warnings = dict.fromkeys(line.partition("warning: ")[2] for line in results.log if "warning: " in line)
    if warnings:
        parts.append(f'<div class="message caution">{"".join(f"<p>{escape(text)}</p>" for text in warnings)}</div>')
    return "".join(parts)


def _clock(time: float, results: Results) -> str:
    size, unit = prefixed(time, "s" if results.dimensional else "")
    return f"<i>t</i>&nbsp;=&nbsp;{number(time / size, unit)}"


# --- the fields


def _fields(results: Results, shape: Shape | None, units: curves.Units, data: dict[str, Any]) -> str:
    steady = results.provenance.get("outcome") == STEADY
    times = fields.shown_times(results)
    if steady and len(results.history["step"]) == 2:
        times = times[-1:]  # nothing was computed on the way from the initial state
    chosen = fields.fields_of(results, units.of("concentration"), times) if times else []
    if not chosen:
        return ""
    data["times"] = [_clock(t, results) for t, _ in times]
    if steady:
        data["times"][-1] = "steady state"
    last = len(times) - 1
    clock = (
        f'<div class="clock"><button id="play" title="play">▶</button><input type="range" id="frame" min="0" max="{last}" value="{last}" '
        f'aria-label="time"><output id="time">{data["times"][last]}</output></div>'
        if last
        else f"<p><b>{data['times'][0]}</b></p>"
    )
    if shape is None:
        profiles = fields.profiles(results, chosen, times)
        for chart in profiles["charts"]:
            chart["colors"] = [curves.COLORS[k % len(curves.COLORS)] for k in range(len(chart["names"]))]
        profiles["label"] = f"x ({profiles['unit']})" if profiles["unit"] else "x"
        data["profiles"] = profiles
        charts = "".join(_chart(chart["title"], chart["unit"], chart["log"], False) for chart in profiles["charts"])
        return f'{clock}<div class="charts">{charts}</div>'
    drawn = fields.frames(results, shape, chosen, times)
    data["fields"] = [{"pictures": field["pictures"]} for field in drawn["fields"]]
    width, height = drawn["size"]
    figures = []
    for field in drawn["fields"]:
        unit = f" ({field['unit']})" if field["unit"] else ""
        figures.append(
            f'<figure class="field"><figcaption>{escape(field["label"])}{unit}</figcaption>'
            f'<div class="shape" style="max-width:{width * min(1.0, 460 / height):.0f}px"><img class="picture" alt="{escape(field["label"])}" '
            f'width="{width}" height="{height}" src="{field["pictures"][-1]}"><img class="outline" alt="" src="{drawn["outline"]}"></div>'
            f"{_color_bar(*field['range'])}</figure>"
        )
    extents = " × ".join(number(*_length(extent, results)) for extent in np.ptp(results.points, axis=0)[: results.dimension])
    note = f'<p class="note">The domain measures {extents}. {_left_out(results, chosen, len(times))}</p>'
    return f'{clock}<div class="fields">{"".join(figures)}</div>{note}'


def _length(metres: float, results: Results) -> tuple[float, str]:
    size, unit = prefixed(float(metres), "m" if results.dimensional else "")
    return float(metres) / size, unit


def _left_out(results: Results, chosen: list[fields.Field], shown: int) -> str:
    """What fields.vtkhdf has beyond the page."""
    parts = [f"{shown} of {len(results.times)} stored times"] if shown < len(results.times) else []
    missing = [name for name in results.species if name in results.point_names and name not in [field.name for field in chosen]]
    parts += [f"all species but {', '.join(map(escape, missing))}"] if missing else []
    return f"Shown: {'; '.join(parts)}. fields.vtkhdf has them all." if parts else ""


def _color_bar(low: float, high: float) -> str:
    stops = ", ".join("rgb({:.0f} {:.0f} {:.0f})".format(*(255 * c for c in COLOR_MAP(x)[:3])) for x in np.linspace(0, 1, 17))
    least = 1e-6 * (high - low)  # less is drawn as zero
    ticks = "".join(f"<span>{number(float(v) if abs(v) > least else 0, digits=3)}</span>" for v in np.linspace(high, low, 5))
    return f'<div class="bar"><div class="colors" style="background:linear-gradient(to top, {stops})"></div><div>{ticks}</div></div>'


# --- curves


def _curves(results: Results, units: curves.Units, data: dict[str, Any]) -> str:
    history = results.history
    if not history or len(history["step"]) < 2:
        return ""
    clock = curves.Clock.of(history, results.dimensional)
    charts = curves.charts(history, results.species, list(results.problem.get("boundary", {})), units)
    if len(history["step"]) == 2:  # two points make no curve
        rows = [
            [
                f"{chart.title}{f', {escape(label)}' if len(chart.curves) > 1 else ''}",
                number(float(v[0]), chart.unit),
                number(float(v[1]), chart.unit),
            ]
            for chart in charts
            for label, v in chart.curves.items()
        ]
        return table(["", "at the start", "at the end"], rows)
    data["charts"] = [{"figure": curves.figure(chart, clock).to_plotly_json(), "log": chart.log_at_first} for chart in charts]
    for one in data["charts"]:
        del one["figure"]["layout"]["template"]  # plotly's own colours
    button = '<p><button id="log-time" aria-pressed="false">logarithmic time</button></p>' if clock.log else ""
    drawn = "".join(_chart(chart.title, chart.unit, chart.log, chart.log_at_first) for chart in charts)
    return f'{button}<div class="charts">{drawn}</div>'


def _chart(title: str, unit: str, log: bool, pressed: bool) -> str:
    button = f'<button aria-pressed="{str(pressed).lower()}">log</button>' if log else ""
    return f'<figure class="chart"><header>{title}<span>{escape(unit)}</span>{button}</header><div class="drawing"></div></figure>'


# --- the rest


def _summary(results: Results) -> str:
    path = results.folder / "summary.png"
    if not path.is_file():
        return ""
    return f'<img class="paper" alt="summary of the run" src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'


def _mesh(results: Results, shape: Shape | None, data: dict[str, Any]) -> str:
    if not len(results.times):
        return ""
    told = results.provenance.get("mesh", {})
    sizes = {key: number(*_length(told[key], results)) for key in ("h_min", "h_mean", "h_max") if key in told}
    rows = [
        ["cells", f"{number(len(results.cells))} {_CELLS[results.vtk_type]}"],
        ["vertices", number(len(results.points))],
        *([f"cell size, {key[2:]}", text] for key, text in sizes.items()),
    ]
    numbers = table(["", ""], rows)
    if shape is None:
        data["mesh"] = _cell_sizes(results)
        return f'<div class="meshes"><figure class="chart"><header>Size of the cells</header><div class="drawing"></div></figure>{numbers}</div>'
    pictures = fields.mesh_pictures(results, shape)
    figures = [f'<figure><img class="lines" alt="the mesh" src="{pictures[0]}"></figure>']
    figures += [
        f'<figure><img class="lines" alt="a detail of the mesh" src="{p}"><figcaption>around the smallest cell</figcaption></figure>'
        for p in pictures[1:]
    ]
    return f'<div class="meshes">{"".join(figures)}{numbers}</div>'


def _cell_sizes(results: Results) -> dict[str, Any]:
    x = results.points[results.cells][:, :, 0]
    order = np.argsort(x.mean(axis=1))[curves.evenly(len(x), curves.MOST_POINTS)]
    middle, size = x.mean(axis=1)[order], np.abs(np.diff(x, axis=1))[order, 0]
    factor, unit = prefixed(float(np.ptp(results.points[:, 0])), "m" if results.dimensional else "")
    label = f" ({unit})" if unit else ""
    line = {"x": curves.rounded(middle / factor, 6), "y": curves.rounded(size / factor, 6), "line": {"color": curves.COLORS[0]}}
    return {
        "data": [line],
        "layout": {"xaxis": {"title": {"text": f"x{label}"}}, "yaxis": {"title": {"text": f"h{label}"}, "rangemode": "tozero"}},
    }


def _certificate(results: Results) -> str:
    """The laws of certificate.json, and how near each came to its tolerance."""
    certificate = results.json("certificate.json")
    laws: Mapping[str, Mapping[str, Any]] = certificate.get("laws", {})
    if not laws:
        return ""
    passed = certificate["passed"]
    badge = f'<p><span class="badge {"good" if passed else "bad"}">{"every step passed" if passed else "violated"}</span></p>'
    return badge + table(["", "states", "", "of its tolerance", "worst", ""], [_law(name, law, results) for name, law in laws.items()])


def _law(name: str, law: Mapping[str, Any], results: Results) -> list[str]:
    title = f'{escape(name.replace("_", " "))}<br><span class="note">{escape(law["what"])}</span>'
    if law["step"] is None:
        return [title, number(law["checked"]), "", "", "", ""]
    broken, tolerance = max(float(law["value"]), 0.0), float(law["tolerance"])
    used = broken / tolerance if tolerance else float(broken > 0)
    kind = "good" if law["passed"] else "bad"
    meter = f'<div class="meter"><div class="{kind}" style="width:{min(100 * used, 100):.3g}%"></div></div>'
    violations = "" if law["passed"] else f'<span class="bad">{number(law["violations"])} violations</span>'
    place = f", at {escape(law['place'])}" if law["place"] else ""
    worst = f"step {law['step']}, {_clock(law['time'], results)}{place}"
    used_up = f'<span class="{kind}">{number(100 * used, "%", digits=3)}</span>'
    return [title, number(law["checked"]), meter, used_up, worst, violations]


def _provenance(results: Results) -> str:
    rows = []
    for key, given in results.provenance.items():
        if key in ("warnings", "last_rejections", "outcome", "certificate", "command", "mesh") or given in ({}, [], ""):
            continue
        text = ", ".join(f"{escape(str(k))} {_plain(v)}" for k, v in given.items()) if isinstance(given, Mapping) else _plain(given)
        rows.append([escape(key.replace("_", " ")), text])
    if not rows:
        return '<p class="note">provenance.json is written when the run ends.</p>'
    return table(["", ""], rows)


def _plain(given: Any) -> str:
    if isinstance(given, (list, tuple)):
        return "<br>".join(_plain(one) for one in given)
    if isinstance(given, Mapping):
        return ", ".join(f"{escape(str(k))} {_plain(v)}" for k, v in given.items())
    return number(given)


def _reproduce(results: Results) -> str:
    parts = []
    argv, ranks = [str(word) for word in results.provenance.get("command", [])], results.provenance.get("ranks", 1)
    if argv:
        program = ["fem-diffusion"] if Path(argv[0]).stem in ("__main__", "fem-diffusion") else ["python3", argv[0]]
        parallel = ["mpirun", "-n", str(ranks)] if ranks != 1 else []
        parts += ["<p>The command was</p>", _copied(shlex.join([*parallel, *program, *argv[1:]]))]
    parts += ["<p>With this folder alone, the same comes from</p>", _copied("fem-diffusion run problem.resolved.toml -o again")]
    text = (results.folder / "problem.resolved.toml").read_text()
    parts.append(f"<details><summary>problem.resolved.toml, the problem with all defaults</summary>{_copied(text)}</details>")
    return "".join(parts)


def _copied(text: str) -> str:
    return f'<div class="copied"><pre>{escape(text)}</pre><button>copy</button></div>'
