"""ParaView state of the run in this folder: paraview --script=view.py, or File > Load State. Edit it as you like.

Colours: the fields, in the same range at all times; white lines: the flux; orange: where J_i . grad c_i > 0, so that species i goes uphill.
The folder can be moved, or copied from a cluster: fields.vtkhdf is looked for beside this file.
"""

import sys
from pathlib import Path

from paraview import simple

# --- this run
DIMENSION = 2
START, SPAN = 0.0, [1.0, 1.0, 0.0]
SEEN = [1.0, 1.0]
LENGTH, LENGTH_UNIT = 1.0, ""
TIME, TIME_UNIT = 1.0, ""
COLUMNS = 1
TOWARDS_VIEWER = [0.0, 0.0, 1.0]
PANELS = [{"field": "A", "label": "A", "low": 0.0, "high": 1.0, "diverging": False, "flux": "flux_A", "fastest": 1.0, "uphill": "uphill_A"}]
SEQUENTIAL = ["#000000", "#ffffff"]
DIVERGING = ["#0000ff", "#ffffff", "#ff0000"]
LINES = ["#205a8c"]
INK, EMPTY, UPHILL = "#22252b", "#dbdbdb", "#d1491f"
# --- what is drawn

STREAMLINES = 50
WINDOW = 1600, 900
AXES = [f"{name} ({LENGTH_UNIT})" if LENGTH_UNIT else name for name in "xyz"]


def rgb(color):
    return [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]


def parts(layout, cell, count, beside):
    """A cell of the layout in equal parts, beside or below each other."""
    cells = []
    for left in range(count, 1, -1):
        cells.append((layout.SplitHorizontal if beside else layout.SplitVertical)(cell, 1 / left))
        cell = cells[-1] + 1
    return [*cells, cell]


def colors_of(panel):
    """The colours of a field, in its range of all times."""
    colors = DIVERGING if panel["diverging"] else SEQUENTIAL
    table = simple.GetColorTransferFunction(panel["field"])
    table.AutomaticRescaleRangeMode = "Never"
    step = (panel["high"] - panel["low"]) / (len(colors) - 1)
    table.RGBPoints = [number for k, color in enumerate(colors) for number in (panel["low"] + k * step, *rgb(color))]
    table.ColorSpace = "RGB"
    table.NanColor = rgb(EMPTY)
    return table


def paint(display, color):
    """One colour."""
    display.ColorArrayName = ["POINTS", ""]
    display.AmbientColor = display.DiffuseColor = color
    display.Ambient, display.Diffuse = 1.0, 0.0


def draw_field(view, panel):
    """The field on the geometry; a solid one can be looked into."""
    display = simple.Show(mesh, view, "UnstructuredGridRepresentation")
    simple.ColorBy(display, ("POINTS", panel["field"]))
    table = colors_of(panel)
    if DIMENSION == 3:
        display.Opacity = 0.5
    else:
        display.Ambient, display.Diffuse = 1.0, 0.0  # the colours as they are at the bar, unlit
    bar = simple.GetScalarBar(table, view)
    bar.Title, bar.ComponentTitle = panel["label"], ""
    bar.WindowLocation, bar.Position = "Any Location", [0.86, 0.2]
    bar.HorizontalTitle, bar.RangeLabelFormat = 1, "%.3g"
    bar.Orientation, bar.ScalarBarLength, bar.ScalarBarThickness = "Vertical", 0.6, 14
    bar.TitleColor = bar.LabelColor = rgb(INK)
    bar.TitleFontSize, bar.LabelFontSize = 16, 14
    display.SetScalarBarVisibility(view, True)


def draw_flux(view, panel):
    """Streamlines from seeds that are spread evenly over the mesh."""
    lines = simple.StreamTracerWithCustomSource(
        registrationName=f"streamlines of {panel['flux']}",
        Input=fluxes,
        SeedSource=seeds,
        Vectors=("POINTS", panel["flux"]),
        MaximumStreamlineLength=max(SPAN),
        MaximumSteps=400,
        InitialStepLength=0.5,
        MinimumStepLength=0.1,
        TerminalSpeed=1e-12 * panel["fastest"],
    )
    display = simple.Show(lines, view)
    paint(display, [1.0, 1.0, 1.0])
    display.LineWidth = 1.0
    flowing = simple.Threshold(
        registrationName=f"where {panel['flux']} is not zero",
        Input=lines,
        Scalars=("POINTS", panel["flux"]),
        ComponentMode="Selected",
        SelectedComponent="Magnitude",
        ThresholdMethod="Above Upper Threshold",
        UpperThreshold=1e-12 * panel["fastest"],
    )
    arrows = simple.Glyph(
        registrationName=f"directions of {panel['flux']}",
        Input=flowing,
        GlyphType="Cone",
        OrientationArray=("POINTS", panel["flux"]),
        ScaleArray=("POINTS", "No scale array"),
        ScaleFactor=0.025 * max(SPAN),
        GlyphMode="Uniform Spatial Distribution (Bounds Based)",
        MaximumNumberOfSamplePoints=STREAMLINES,
    )
    arrows.GlyphType.Radius = 0.25
    paint(simple.Show(arrows, view), [1.0, 1.0, 1.0])


def uphill_cells(panel):
    """Where the flux has a component up the gradient."""
    return simple.Threshold(
        registrationName=f"{panel['field']} goes uphill",
        Input=mesh,
        Scalars=("CELLS", panel["uphill"]),
        ThresholdMethod="Above Upper Threshold",
        UpperThreshold=sys.float_info.min,
    )


def draw_uphill(view, panel):
    """The uphill region, up to half way between the cells that are in it and those that are not."""
    inside = simple.Calculator(
        registrationName=f"whether {panel['field']} goes uphill",
        Input=mesh,
        AttributeType="Cell Data",
        Function=f'("{panel["uphill"]}" > 0) ? 1 : 0',
        ResultArrayName="inside",
    )
    share = simple.CellDatatoPointData(Input=inside, ProcessAllArrays=0, CellDataArraytoprocess=["inside"])
    region = simple.Clip(
        registrationName=f"where {panel['field']} goes uphill",
        Input=share,
        ClipType="Scalar",
        Scalars=("POINTS", "inside"),
        Value=0.5,
        Invert=0,
    )
    if DIMENSION == 2:
        edge = simple.FeatureEdges(
            registrationName=f"edge of where {panel['field']} goes uphill",
            Input=simple.ExtractSurface(Input=region),
            BoundaryEdges=1,
            FeatureEdges=0,
            NonManifoldEdges=0,
        )
        display = simple.Show(edge, view)
        paint(display, rgb(UPHILL))
        display.LineWidth = 2.5
    display = simple.Show(region, view)
    paint(display, rgb(UPHILL))
    display.Opacity = 0.12 if DIMENSION == 2 else 0.25


def draw_map(cell, panel):
    """One field with its flux and its uphill region; returns the view."""
    view = simple.CreateView("RenderView")
    layout.AssignView(cell, view)
    view.UseColorPaletteForBackground, view.Background = 0, [1.0, 1.0, 1.0]
    view.OrientationAxesVisibility = 0
    draw_field(view, panel)
    if panel["flux"]:
        draw_flux(view, panel)
    if panel["uphill"]:
        draw_uphill(view, panel)
    clock = simple.Show(time, view, "TextSourceRepresentation")
    clock.Color, clock.FontSize, clock.WindowLocation = rgb(INK), 18, "Upper Left Corner"
    axes = view.AxesGrid
    axes.Visibility = 1
    axes.AxesToLabel = 7  # the least x, y, z
    axes.XTitle, axes.YTitle, axes.ZTitle = AXES
    for axis in "XYZ":
        setattr(axes, f"{axis}TitleColor", rgb(INK))
        setattr(axes, f"{axis}LabelColor", rgb(INK))
    axes.GridColor = rgb(INK)
    return view


def look(view):
    """From the front, all of it, with room for the axes and the colours."""
    view.CameraFocalPoint, view.CameraPosition = [0.0, 0.0, 0.0], TOWARDS_VIEWER
    view.CameraViewUp = [0.0, 1.0, 0.0] if DIMENSION == 2 else [0.0, 0.0, 1.0]
    view.CameraParallelProjection = 1
    simple.ResetCamera(view)
    width, height = view.ViewSize
    view.CameraParallelScale = 0.5 * max(SEEN[1] / 0.7, SEEN[0] / 0.6 * height / width)
    if DIMENSION == 2:
        view.InteractionMode = "2D"


def draw_curves(cell, title, limits, curves, dots=()):
    """Fields over x, on dots where something goes uphill: (source, array, label, colour)."""
    view = simple.CreateView("XYChartView")
    layout.AssignView(cell, view)
    view.ChartTitle = "t = {time:g}" + (" s" if TIME_UNIT else "")
    view.BottomAxisTitle, view.LeftAxisTitle = AXES[0], title
    view.BottomAxisUseCustomRange = 1
    view.BottomAxisRangeMinimum, view.BottomAxisRangeMaximum = START, START + SPAN[0]
    if limits:
        low, high = limits
        view.LeftAxisUseCustomRange = 1
        view.LeftAxisRangeMinimum, view.LeftAxisRangeMaximum = low - 0.05 * (high - low), high + 0.05 * (high - low)
    for wanted, line, marker in ((dots, "0", "4"), (curves, "1", "0")):
        for source, array, label, color in wanted:
            display = simple.Show(simple.PlotData(Input=source), view, "XYChartRepresentation")
            display.UseIndexForXAxis, display.XArrayName = 0, "Points_X"
            display.SeriesVisibility = [array]
            display.SeriesLabel = [array, label]
            display.SeriesColor = [array, *map(str, rgb(color))]
            display.SeriesLineStyle, display.SeriesLineThickness = [array, line], [array, "2"]
            display.SeriesMarkerStyle, display.SeriesMarkerSize = [array, marker], [array, "8"]
    return view


def draw_charts(panels):
    """The species in one chart, their fluxes in another, the potential in a third; returns the views."""
    species = [panel for panel in panels if panel["flux"]]
    color = {panel["field"]: LINES[k % len(LINES)] for k, panel in enumerate(panels)}
    potential = [panel for panel in panels if not panel["flux"]]
    cells = parts(layout, 0, 2 + len(potential), beside=False)
    views = [
        draw_curves(
            cells[0],
            ", ".join(panel["label"] for panel in species),
            (min(panel["low"] for panel in species), max(panel["high"] for panel in species)),
            [(mesh, panel["field"], panel["field"], color[panel["field"]]) for panel in species],
            [(uphill_cells(panel), panel["field"], f"{panel['field']} uphill", UPHILL) for panel in species if panel["uphill"]],
        )
    ]
    flows = [(fluxes, f"{panel['flux']}_X", panel["flux"], color[panel["field"]]) for panel in species]
    views.append(draw_curves(cells[1], "flux", None, flows))
    for cell, panel in zip(cells[2:], potential, strict=True):
        curve = (mesh, panel["field"], panel["field"], color[panel["field"]])
        views.append(draw_curves(cell, panel["label"], (panel["low"], panel["high"]), [curve]))
    layout.SetSize(*WINDOW)
    return views


def draw_maps(panels):
    """A map for each field, with one camera; returns the views."""
    rows = -(-len(panels) // COLUMNS)
    cells = []
    for k, row in enumerate(parts(layout, 0, rows, beside=False)):
        cells += parts(layout, row, min(COLUMNS, len(panels) - k * COLUMNS), beside=True)
    views = [draw_map(cell, panel) for cell, panel in zip(cells, panels, strict=True)]
    layout.SetSize(*WINDOW)
    for k, view in enumerate(views):
        look(view)
        if k:
            simple.AddCameraLink(views[0], view, f"camera of panel {k + 1}")
    return views


fields = simple.OpenDataFile(str(Path(__file__).resolve().parent / "fields.vtkhdf"))
mesh = fields
if LENGTH != 1.0:
    mesh = simple.Transform(registrationName=f"in {LENGTH_UNIT}", Input=fields, TransformAllInputVectors=0)
    mesh.Transform.Scale = 3 * [1 / LENGTH]
fluxes = simple.CellDatatoPointData(registrationName="fluxes at the vertices", Input=mesh)

scene = simple.GetAnimationScene()
scene.UpdateAnimationUsingDataTimeSteps()
scene.GoToLast()

if DIMENSION > 1:
    # the time of the animation: the reader of ParaView 5.13 says that of the step before
    time = simple.AnnotateTimeFilter(
        registrationName="time", Input=simple.Line(registrationName="any"), Format=f"t = {{time:.4g}} {TIME_UNIT}", Scale=1 / TIME
    )
    # the seeds stay where they are at the first time
    seeds = simple.MaskPoints(
        registrationName="seeds",
        Input=simple.ForceTime(registrationName="first time", Input=mesh, ForcedTime=fields.TimestepValues[0]),
        RandomSampling=1,
        RandomSamplingMode=f"Uniform Spatial Distribution ({'Volume' if DIMENSION == 3 else 'Surface'} Sampling)",
        MaximumNumberofPoints=STREAMLINES,
    )

layout = simple.CreateLayout("fem_diffusion")
views = draw_charts(PANELS) if DIMENSION == 1 else draw_maps(PANELS)
simple.SetActiveView(views[0])
