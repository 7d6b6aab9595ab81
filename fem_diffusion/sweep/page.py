"""sweep.html: the curves of every column, a picture of each point, and links to their folders, in one file that needs no network."""

from __future__ import annotations

import base64
import html
import io
import itertools
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import plotly.graph_objects as go
from PIL import Image

from .plan import Index, Plan
from .table import Table

PICTURED = 200  # points at most; the table links to all
WIDTH = 320  # pixels of a picture
CURVES = ("current_", "flux_", "charge_", "mass_")  # the first column of these kinds is shown first
COLORS = ("#205a8c", "#d1663a", "#3c9a7f", "#8a5aa8", "#b8912b", "#6b7280")
OPEN = "document.getElementById('{plot_id}').on('plotly_click', clicked => window.open(clicked.points[0].customdata, '_blank'));"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 15px/1.45 "DejaVu Sans", system-ui, sans-serif; color: #22252b; max-width: 1100px; margin: 0 auto; padding: 1rem; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
a {{ color: #205a8c; }} .quiet {{ color: #5f6570; }} .failed {{ color: #b3261e; }}
.points {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 1rem; }}
figure {{ margin: 0; }} figure img {{ width: 100%; border: 1px solid #d9dce1; }} figcaption {{ font-size: 0.85rem; overflow-wrap: anywhere; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.85rem; }}
th, td {{ text-align: left; padding: 0.25rem 0.8rem 0.25rem 0; border-bottom: 1px solid #d9dce1; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="quiet">{solved} of {count} points solved, over {over}. All numbers are in <a href="sweep.csv">sweep.csv</a>, in {units}.</p>
{curves}
<p class="quiet">A click on a point opens its results.</p>
<h2>Points</h2>
<div class="points">
{pictures}
</div>
<h2>Outcomes</h2>
<div class="wide"><table>
<tr>{heads}<th>outcome</th></tr>
{rows}
</table></div>
</body>
</html>
"""


def save_page(path: Path, plan: Plan, table: Table, title: str, units: Mapping[str, str]) -> None:
    """units: by kind of column ("current"), where the problem has units"""
    labels = [one.label for one in plan.in_table_units]
    solved = [index for index in plan.indices if table.solved(index)]
    shown = [solved[len(solved) * k // PICTURED] for k in range(PICTURED)] if len(solved) > PICTURED else solved
    curves = _curves(plan, table, labels, units).to_html(
        full_html=False, include_plotlyjs=True, div_id="curves", post_script=OPEN, config={"displaylogo": False, "responsive": True}
    )
    path.write_text(
        _PAGE.format(
            title=html.escape(title or "Sweep"),
            solved=len(solved),
            count=len(plan.indices),
            over=html.escape(", ".join(labels)),
            units="SI units" if units else "the problem's own units",
            curves=curves,
            pictures="\n".join(_picture(plan, table, index) for index in shown),
            heads="".join(f"<th>{html.escape(label)}</th>" for label in labels),
            rows="\n".join(_row(plan, table, index) for index in plan.indices),
        ),
        encoding="utf-8",
    )


def _curves(plan: Plan, table: Table, labels: list[str], units: Mapping[str, str]) -> go.Figure:
    """One column over the innermost parameter, a curve for each value of the others; a menu chooses the column."""
    rows = table.complete()
    lines = [list(line) for _, line in itertools.groupby((i for i in plan.indices if table.solved(i)), key=lambda index: index[:-1])]
    lines = [sorted(line, key=lambda index: float(rows[index][plan.keys[-1]])) for line in lines]
    names = dict.fromkeys(name for index in rows for name in rows[index] if name not in (*plan.keys, "outcome", "step"))
    first = next((name for kind in CURVES for name in names if name.startswith(kind)), "energy")

    def values(name: str) -> list[list[float | None]]:
        return [[float(rows[index][name]) if rows[index].get(name) else None for index in line] for line in lines]

    def label(name: str) -> str:
        unit = units.get(name.partition("_")[0], "")
        return f"{name} ({unit})" if unit else name

    figure = go.Figure(layout_template="plotly_white")
    for line, y, color in zip(lines, values(first), itertools.cycle(COLORS), strict=False):
        outer = ", ".join(rows[line[0]][key] for key in plan.keys[:-1])
        x = [float(rows[index][plan.keys[-1]]) for index in line]
        links = [_link(plan, table, index) for index in line]
        figure.add_scatter(x=x, y=y, name=outer, customdata=links, mode="lines+markers", line_color=color, showlegend=len(lines) > 1)
    buttons = [{"label": name, "method": "update", "args": [{"y": values(name)}, {"yaxis.title.text": label(name)}]} for name in names]
    figure.update_layout(
        height=480,
        margin={"l": 80, "r": 20, "t": 60, "b": 60},
        xaxis={"title": {"text": labels[-1]}, "exponentformat": "power"},
        yaxis={"title": {"text": label(first)}, "exponentformat": "power"},
        legend={"title": {"text": ", ".join(labels[:-1])}},
        updatemenus=[{"buttons": buttons, "active": list(names).index(first), "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}],
    )
    return figure


def _link(plan: Plan, table: Table, index: Index) -> str:
    """To the report of a point where it has one, or else to its folder."""
    folder = table.place(index)
    report = "report.html" if (folder / "report.html").exists() else ""
    return quote(f"{folder.parent.name}/{folder.name}/{report}")


def _picture(plan: Plan, table: Table, index: Index) -> str:
    values = html.escape(", ".join(f"{key} = {value}" for key, value in plan.values(index).items()))
    path = table.place(index) / "summary.png"
    image = f'<img src="data:image/png;base64,{_small(path)}" alt="{values}">' if path.exists() else ""
    return f'<figure><a href="{_link(plan, table, index)}">{image}<figcaption>{values}</figcaption></a></figure>'


def _small(path: Path) -> str:
    data = io.BytesIO()
    with Image.open(path) as picture:
        picture.thumbnail((WIDTH, 2 * WIDTH))
        picture.convert("RGB").quantize(64).save(data, format="png", optimize=True)
    return base64.b64encode(data.getvalue()).decode()


def _row(plan: Plan, table: Table, index: Index) -> str:
    outcome = table.failure(index)
    cells = "".join(f"<td>{html.escape(value)}</td>" for value in plan.values(index).values())
    if outcome is None:
        return f'<tr>{cells}<td><a href="{_link(plan, table, index)}">{html.escape(table.rows[index]["outcome"])}</a></td></tr>'
    return f'<tr>{cells}<td class="failed">{html.escape(outcome)}</td></tr>'
