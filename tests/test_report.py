"""report.html as a reader sees it, in a real browser."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser
from matplotlib.tri import LinearTriInterpolator, Triangulation
from mpi4py import MPI
from selenium.webdriver import ActionChains

from fem_diffusion import free_energy, mobility, report
from fem_diffusion.errors import InputError, StepFailed
from fem_diffusion.paraview import DrawnMesh
from fem_diffusion.picture import COLORS
from fem_diffusion.picture.shape import shape_of
from fem_diffusion.problem import Problem
from fem_diffusion.report import formulas
from fem_diffusion.report.curves import Units
from fem_diffusion.report.raster import Raster, Window
from fem_diffusion.report.text import number, value
from fem_diffusion.report.typeset import typeset
from fem_diffusion.results import Results
from fem_diffusion.run import run

pytestmark = [pytest.mark.serial, pytest.mark.draws]

PLATE = """
title = "Copper & silver"
temperature = "1000 K"
molar_volume = "9e-6 m^3/mol"
[mesh]
shape = "rectangle"
size = ["40 nm", "20 nm"]
cells = [20, 10]
[[species]]
name = "Ag"
initial = "0.2 + 0.6*x/40e-9"
[[species]]
name = "Cu"
balance = true
[[free_energy]]
kind = "RegularSolution"
interaction = "12 kJ/mol"
[[free_energy]]
kind = "Gradient"
kappa = "12 nJ/m"
[mobility]
kind = "Degenerate"
diffusivity = "1e-17 m^2/s"
[time]
end = "10 s"
step = "1 s"
[output]
times = 5
"""

CELL = """
temperature = "298.15 K"
[mesh]
shape = "interval"
size = "10 nm"
cells = 60
[[species]]
name = "Na"
charge = 1
diffusivity = "1.33e-9 m^2/s"
initial = "0.1 mol/l"
[[species]]
name = "Cl"
charge = -1
diffusivity = "2.03e-9 m^2/s"
initial = "0.1 mol/l"
[[free_energy]]
kind = "Ideal"
[[free_energy]]
kind = "Electrostatic"
relative_permittivity = 78.4
[mobility]
kind = "Fick"
[boundary.left]
potential = "-25 mV"
[boundary.right]
potential = "25 mV"
[time]
end = "2 ns"
step = "0.2 ns"
[output]
times = 4
"""

BOX = """
title = "Never </script> steady"
[mesh]
shape = "box"
size = [3.0, 2.0, 1.0]
cells = [3, 2, 2]
cell_type = "tensor"
[[species]]
name = "<i>A"
initial = "0.4 + 0.1*x"
[[free_energy]]
kind = "LatticeGas"
[mobility]
kind = "Stirring"
diffusivity = 1.0
[time]
end = 1e-3
step = 1e-4
steady = true
"""

Write = Callable[[str], Path]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """The folder of a run, which is made once for each problem."""
    made: dict[str, Path] = {}

    def folder(text: str) -> Path:
        if text not in made:
            made[text] = tmp_path_factory.mktemp("run") / "results"
            (made[text].parent / "problem.toml").write_text(text)
            with contextlib.suppress(StepFailed):  # the page says so
                run(Problem.read(made[text].parent / "problem.toml"), made[text], MPI.COMM_SELF)
        return made[text]

    return folder


def formulas_of(page: Browser) -> list[str]:
    return [element.get_attribute("aria-label") for element in page.all("svg.formula")]


def headers(page: Browser, section: str) -> list[str]:
    """Of charts: the title and the unit."""
    return [element.text.removesuffix("log").replace("\n", " ").strip() for element in page.all(f"{section} .chart header")]


def move_to(page: Browser, frame: int) -> None:
    slider = page.one("#frame")
    page.run("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", slider, frame)


PIXEL = """
const image = arguments[0], canvas = document.createElement("canvas");
canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
const paper = canvas.getContext("2d");
paper.drawImage(image, 0, 0);
return [...paper.getImageData(arguments[1] * canvas.width, arguments[2] * canvas.height, 1, 1).data];
"""


def test_a_plate(results: Write, browser: Browser) -> None:
    folder = results(PLATE)
    browser.window(1400)
    assert browser.open(folder / "report.html") == []
    assert browser.one("h1").text == "Copper & silver"
    assert browser.one("header .badge").text == "reached the end"
    assert formulas_of(browser) == [
        r"\dfrac{\partial c}{\partial t} + \nabla \cdot \mathbf{J} = 0",
        r"\mathbf{J} = -L\, \nabla \mu",
        r"\mu = \dfrac{\delta F}{\delta c}",
        r"F = \int\, (f_{1} + f_{2})\, dV",
        r"f_{1} = \dfrac{RT}{V_m}\,[c\,\ln c + (1-c)\,\ln(1-c) + \dfrac{\Omega}{RT}\, c\,(1-c)]",
        r"f_{2} = \dfrac{\kappa}{2}\, |\nabla c|^2",
        r"L = D\, c\,(1 - c)\,\dfrac{V_m}{RT}",
    ]
    text = browser.one("#problem").text
    assert "12 kJ/mol" in text and "12 nJ/m" in text and "10−17 m2/s" in text

    # frames: the start rises from 0.2 to 0.8, and so do the colours, from the least to the largest value of the run
    history = Results(folder).history
    low, high = history["min_Ag"].min(), history["max_Ag"].max()
    picture = browser.all("#fields .picture")[0]
    assert browser.one("#time").text == "t = 10 s"
    last = picture.get_attribute("src")
    move_to(browser, 0)
    assert browser.one("#time").text == "t = 0 s" and picture.get_attribute("src") != last
    browser.wait("return document.querySelector('#fields .picture').complete")
    for x in (0.1, 0.5, 0.9):
        color = browser.run(PIXEL, picture, x, 0.5)
        expected = 255 * np.array(COLORS((0.2 + 0.6 * x - low) / (high - low))[:3])
        assert np.abs(np.array(color[:3]) - expected).max() < 14  # of 255; pictures are compressed
    browser.click(browser.one("#play"))
    assert browser.wait("return document.getElementById('frame').value === document.getElementById('frame').max")
    browser.wait("return document.getElementById('play').textContent === '▶'")
    assert picture.get_attribute("src") == last

    # curves: those of history.csv, in the unit of the axis; they answer
    drawn = browser.run("return [...document.querySelectorAll('#curves .drawing')].map(one => one.data)")
    titles = headers(browser, "#curves")
    energy = drawn[titles.index("Free energy J/m")][0]
    np.testing.assert_allclose(energy["y"], history["energy"], rtol=1e-8)
    np.testing.assert_allclose(energy["x"], history["time"], rtol=1e-8)
    bounds = next(k for k, title in enumerate(titles) if title.startswith("Bounds"))
    assert [line["name"] for line in drawn[bounds]] == ["min Ag", "max Ag", "min Cu", "max Cu"]
    np.testing.assert_allclose(drawn[bounds][3]["y"], 1 - history["min_Ag"], rtol=1e-8)
    chart = browser.all("#curves .drawing")[bounds]
    browser.scroll_to(chart)
    ActionChains(browser.driver).move_to_element(chart).perform()
    assert browser.wait("return document.querySelectorAll('#curves .hoverlayer .legend text').length") >= 4
    legend = chart.find_elements("css selector", ".legendtoggle")[1]
    ActionChains(browser.driver).move_to_element(legend).click().perform()
    browser.wait(f"return document.querySelectorAll('#curves .drawing')[{bounds}]._fullData[1].visible === 'legendonly'")
    log = chart.find_element("xpath", "..").find_element("css selector", "header button")
    axis = f"return document.querySelectorAll('#curves .drawing')[{bounds}]._fullLayout.yaxis.type"
    browser.click(log)
    assert browser.run(axis) == "log"
    browser.click(log)
    assert browser.run(axis) == "linear"

    assert "400 triangles" in browser.one("#mesh").text and "231" in browser.one("#mesh").text
    assert browser.run("return document.querySelector('#mesh .lines').naturalWidth") == 720
    assert "every step passed" in browser.one("#certificate").text and "mass Ag" in browser.one("#certificate").text
    browser.click(browser.one("#reproduce summary"))
    assert 'interaction = "12 kJ/mol"' in browser.all("#reproduce pre")[-1].text


def test_narrow_dark_and_printed(results: Write, browser: Browser) -> None:
    page = results(PLATE) / "report.html"
    fits = "return document.documentElement.scrollWidth === document.documentElement.clientWidth"
    colors = "return [getComputedStyle(document.body).backgroundColor, document.querySelector('#curves .drawing')._fullLayout.font.color]"
    browser.window(400)
    assert browser.open(page) == [] and browser.run(fits)
    light = browser.run(colors)
    browser.window(400, dark=True)
    browser.wait(f"{colors.replace('return', 'return (')})[1] !== '{light[1]}'")
    assert browser.run(colors)[0] != light[0]
    browser.window(1400)
    assert browser.run(fits)
    pdf = browser.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert len(pdf["data"]) > 100_000


def test_a_cell_of_ions(results: Write, browser: Browser) -> None:
    """One dimension: profiles instead of pictures, and what is there of charges."""
    folder = results(CELL)
    browser.window(1400)
    assert browser.open(folder / "report.html") == []
    shown = formulas_of(browser)
    assert r"\rho = F\,\sum_i\, z_i c_i" in shown and r"f_{1} = \dfrac{RT}{V_m}\,\sum_k\, x_k\,\ln x_k" in shown
    assert r"\dfrac{\delta F}{\delta \phi} = 0: \quad -\nabla \cdot (\varepsilon\, \nabla \phi) = \rho" in shown
    data = "return [...document.querySelectorAll('#fields .drawing')].map(one => one.data.map(curve => curve.y))"
    assert headers(browser, "#fields") == ["Concentrations mol/m³", "Electric potential mV"]
    ions, (phi,) = browser.run(data)
    assert (phi[0], phi[-1]) == pytest.approx((-25.0, 25.0))
    stored = Results(folder)
    np.testing.assert_allclose(np.max(ions[0]), stored.history["max_Na"][-1], rtol=1e-5)
    move_to(browser, 0)
    ions, (phi,) = browser.run(data)
    np.testing.assert_allclose(ions, 100.0, rtol=1e-5)
    np.testing.assert_allclose(phi, np.linspace(-25, 25, 61), atol=1e-4)  # neutral at the start: the field is even
    curves = headers(browser, "#curves")
    assert "Charge C/m²" in curves and "Step size s" in curves
    assert "Flux" not in " ".join(curves)  # electrodes let nothing pass


def test_a_failed_run_in_three_dimensions(results: Write, browser: Browser) -> None:
    folder = results(BOX)
    browser.window(1400)
    assert browser.open(folder / "report.html") == []
    assert browser.one("h1").text == "Never </script> steady"
    assert browser.one("header .badge").text == "failed"
    assert "no steady state by the end, t = 0.001" in browser.one(".message").text
    assert browser.one("#fields figcaption").text == "<i>A"
    assert "12 hexahedra" in browser.one("#mesh").text
    before = browser.one("#fields .picture").get_attribute("src")
    move_to(browser, 0)
    assert browser.one("#fields .picture").get_attribute("src") != before


def test_a_run_that_goes_on_and_one_without_fields(results: Write, browser: Browser, tmp_path: Path) -> None:
    """Whatever a folder lacks, the page shows the rest."""
    folder = results(PLATE)
    text = (folder / "history.csv").read_text()
    (tmp_path / "problem.resolved.toml").write_text((folder / "problem.resolved.toml").read_text())
    (tmp_path / "history.csv").write_text("\n".join(text.splitlines()[:6]))
    (tmp_path / "run.log").write_text("1 unknown\nwarning: the mesh is <coarse>\nstep 0\n")
    law = {
        "passed": False,
        "what": "change of the amount",
        "unit": "mass",
        "checked": 4,
        "violations": 2,
        "value": 3e-13,
        "tolerance": 2e-13,
    }
    worst = {"step": 3, "time": 3.0, "place": "(1e-09, 0)"}
    (tmp_path / "certificate.json").write_text(json.dumps({"passed": False, "strict": False, "laws": {"mass_Ag": law | worst}}))
    browser.window(1400)
    assert browser.open(report.write(tmp_path)) == []
    assert browser.one("header .badge").text == "not ended"
    assert "the mesh is <coarse>" in browser.all(".message")[1].text
    assert "until t = 3 s" in browser.one(".facts").text  # the last of the five rows is not whole
    assert [element.text for element in browser.all("nav a")] == ["What was solved", "Curves", "Certificate", "Provenance", "Reproduce"]
    certificate = browser.one("#certificate").text
    assert "violated" in certificate and "150 %" in certificate and "2 violations" in certificate
    assert "step 3, t = 3 s, at (1e-09, 0)" in certificate
    with pytest.raises(InputError, match="give the folder of a run"):
        report.write(tmp_path.parent)


def test_every_kind_has_a_formula_that_can_be_set() -> None:
    walls = {"SurfaceCharge", "SternLayer", "WallEnergy", "Term", "x_ln_x"}
    assert set(formulas.FREE_ENERGY) == set(free_energy.__all__) - walls
    abstract = {"Matrix", "Mobility", "MobilityOfForces", "forces"}
    assert set(formulas.MOBILITY) == set(mobility.__all__) - abstract
    for several in (True, False):
        for system in ("plain", "fractions", "molar"):
            texts = [formulas.density(kind, 1, several, True, system) for kind in formulas.FREE_ENERGY]
            texts += [formulas.mobility(kind, several, False, system) for kind in formulas.MOBILITY]
            for tex in texts:
                assert tex is not None and not set("@%") & set(tex)
                assert re.match(r'<svg .*viewBox="[-0-9 ]+".*<path d="M [-0-9 MLQCZ]+"/></svg>$', typeset(tex))
    assert formulas.density("my_module.Own", 1, True, True, "plain") is None


def test_numbers_and_units_as_text() -> None:
    assert number(5992, "") == "5\u202f992" and number(1.234567e-15, "m^2/s") == "1.235\u202f×\u202f10<sup>−15</sup>&nbsp;m<sup>2</sup>/s"
    assert number(11806.0, digits=3) == "11800" and number(float("nan")) == "–" and number(True) == "True"
    assert value("25.3 kJ/mol") == "25.3&nbsp;kJ/mol" and value("1e-17 m^2/s") == "10<sup>−17</sup>&nbsp;m<sup>2</sup>/s"
    assert value("x < 1") == "<code>x &lt; 1</code>" and value(["1 um", 2]) == "[1&nbsp;µm, 2]"

    def units(dimension: int, molar: bool = False) -> list[str]:
        return [Units(True, molar, dimension).of(kind) for kind in ("energy", "dissipation", "mass", "flux", "charge")]

    # int ... dx over the line, the plane and space
    assert units(1) == ["J/m²", "W/m²", "m", "m/s", "C/m²"]
    assert units(2) == ["J/m", "W/m", "m²", "m²/s", "C/m"]
    assert units(3) == ["J", "W", "m³", "m³/s", "C"]
    assert units(1, molar=True)[2:4] == ["mol/m²", "mol/(m² s)"]
    assert units(2, molar=True)[2:4] == ["mol/m", "mol/(m s)"]
    assert units(3, molar=True)[2:4] == ["mol", "mol/s"]


def test_pictures_show_the_piecewise_linear_field() -> None:
    """Against matplotlib's interpolation on the same triangles."""
    random = np.random.default_rng(5)
    x = random.uniform(size=(60, 2))
    flat = Triangulation(x[:, 0], x[:, 1])
    mesh = DrawnMesh("triangle", np.column_stack([x, np.zeros(len(x))]), flat.triangles)
    values = random.uniform(size=len(x))
    window = Window.around(x, 120)
    raster = Raster(shape_of(mesh), window)
    column, row = raster.pixels % window.size[0], raster.pixels // window.size[0]
    at = np.stack([window.low[0] + column / window.scale, window.high[1] - row / window.scale])
    expected = LinearTriInterpolator(flat, values)(*at)
    inside = ~np.ma.getmaskarray(expected)
    assert inside.mean() > 0.98  # the rest lies on the boundary
    np.testing.assert_allclose(raster.at_pixels(values)[inside], expected[inside], atol=1e-9)
    # as many pixels as the triangles have room for, to within those on the boundary
    area = sum(0.5 * abs(np.linalg.det(x[t[1:]] - x[t[0]])) for t in flat.triangles)
    assert len(raster.pixels) == pytest.approx(area * window.scale**2, rel=0.05)


def test_near_faces_hide_far_ones() -> None:
    """A cube: of its corners the nearest is seen and the farthest is not."""
    x: Any = np.array([[i, j, k] for k in (0.0, 1.0) for j in (0.0, 1.0) for i in (0.0, 1.0)])
    mesh = DrawnMesh("hexahedron", x, np.array([[0, 1, 3, 2, 4, 5, 7, 6]]))
    shape = shape_of(mesh)
    raster = Raster(shape, Window.around(shape.corners, 100))
    depth = x @ [-0.55, -0.72, 0.42]  # towards the viewer
    assert set(np.unique(raster.rows)) == set(range(8)) - {int(np.argmin(depth))}
    middle = np.argmax(
        raster.weights.max(axis=1) * (raster.rows[np.arange(len(raster.rows)), raster.weights.argmax(axis=1)] == depth.argmax())
    )
    assert raster.at_pixels(depth)[middle] == pytest.approx(depth.max(), abs=0.05)
