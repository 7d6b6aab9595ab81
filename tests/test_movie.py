"""Movies: how many frames, of which size, and which colours where."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import looked_at
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from fem_diffusion import display
from fem_diffusion.errors import InputError
from fem_diffusion.movie import make_movie
from fem_diffusion.panels import DIVERGING
from fem_diffusion.picture import COLORS
from fem_diffusion.picture.shape import EMPTY
from fem_diffusion.picture.uphill import HOT
from fem_diffusion.results import Results

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(shutil.which("ffmpeg") is None or shutil.which("Xvfb") is None, reason="ffmpeg or Xvfb is not installed"),
]


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at.gas(tmp_path_factory.mktemp("flat"), (20, 6))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at.gas(tmp_path_factory.mktemp("line"), (40,))


@pytest.fixture(scope="module")
def slab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at.ions(tmp_path_factory.mktemp("slab") / "run")


def frames(path: Path) -> list[np.ndarray]:
    """Of a gif or an mp4, as (height, width, 3) between 0 and 1."""
    if path.suffix == ".gif":
        with Image.open(path) as picture:
            shown = []
            for k in range(picture.n_frames):
                picture.seek(k)
                shown.append(np.asarray(picture.convert("RGB")) / 255)
            return shown
    width, height, _, _ = probed(path)
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True
    )
    return list(np.frombuffer(raw.stdout, dtype=np.uint8).reshape(-1, height, width, 3) / 255)


def probed(path: Path) -> tuple[int, int, int, str]:
    """Width, height, number of frames, and frames per second of the one stream."""
    entries = "stream=codec_name,width,height,nb_read_frames,r_frame_rate"
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", entries, "-of", "json", str(path)]
    (stream,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
    assert stream["codec_name"] == "h264"
    return stream["width"], stream["height"], int(stream["nb_read_frames"]), stream["r_frame_rate"]


def painted(frame: np.ndarray) -> np.ndarray:
    """The rectangle that is filled with colours at the left: the domain, if it is a rectangle."""
    coloured = np.ptp(frame, axis=2) > 0.08
    rows = np.flatnonzero(coloured.mean(axis=1) > 0.5)
    columns = np.flatnonzero(coloured[rows].mean(axis=0) > 0.9)
    end = columns[0] + np.flatnonzero(np.diff(columns, append=columns[-1] + 2) > 1)[0]
    return frame[rows[0] : rows[-1] + 1, columns[0] : end + 1]


def test_mp4_has_each_time_and_the_colours_of_the_field(flat: Path, tmp_path: Path) -> None:
    path = make_movie(flat, tmp_path / "h2.mp4", "H2", 5)
    width, height, count, rate = probed(path)
    shown = frames(path)
    assert (count, rate, len(shown)) == (3, "5/1", 3)
    assert 1200 <= width <= 1280 and 300 <= height <= 720 and shown[0].shape == (height, width, 3)

    first, last = painted(shown[0]), painted(shown[-1])
    assert first.shape[1] / first.shape[0] == pytest.approx(100 / 30, rel=0.01)  # the real geometry
    results = Results(flat)
    x = results.points[:, 0] / 0.1
    for picture, k in ((first, 0), (last, -1)):
        field = results.point("H2", k)
        for place in (0.1, 0.5, 0.85):
            # h264 in 4:2:0 keeps colours to a few of 255
            c = field[np.isclose(x, place)].mean()
            wanted = COLORS((c - 0.05) / 0.4)[:3]  # between 0.05 and 0.45, the extremes of the start and of all times
            assert picture[picture.shape[0] // 2, round(place * picture.shape[1])] == pytest.approx(wanted, abs=0.03)
    assert np.abs(first - last).max() > 0.2
    above = [frame[: height - first.shape[0] - 25, : width // 2].min(axis=2) < 0.5 for frame in (shown[0], shown[-1])]
    assert above[0].any() and above[1].any() and not np.array_equal(*above)  # t = 0 s, t = 10 s
    # at the start H2 is 0.05 + 0.4 x: half way up the colours is half way along
    assert first[first.shape[0] // 2, first.shape[1] // 2] == pytest.approx(COLORS(0.5)[:3], abs=0.03)


def test_gif_shows_ions_the_potential_and_an_empty_dielectric(slab: Path, tmp_path: Path) -> None:
    path = make_movie(slab, tmp_path / "ions.gif")
    shown = frames(path)
    with Image.open(path) as picture:
        assert (picture.n_frames, picture.info["duration"], picture.info["loop"]) == (2, 500, 0)
    start, steady = shown
    # phi = -4 at the left is the lowest of the colours between -4 and 4, zero at the right their middle
    assert (np.abs(start - DIVERGING(0.0)[:3]).max(axis=2) < 0.03).sum() > 50
    assert (np.abs(start - DIVERGING(0.5)[:3]).max(axis=2) < 0.03).sum() > 50
    grey = (np.abs(steady - EMPTY).max(axis=2) < 0.01).mean()
    assert 0.05 < grey < 0.2  # a quarter of two of three panels
    assert np.abs(start - steady).max() > 0.3


def test_curves_in_one_dimension_are_orange_where_something_goes_uphill(line: Path, tmp_path: Path) -> None:
    shown = frames(make_movie(line, tmp_path / "line.gif", fps=4))
    results = Results(line)
    assert [frame.shape for frame in shown] == 3 * [(720, 1280, 3)]
    for k, frame in enumerate(shown):
        orange = (np.abs(frame - to_rgb(HOT)).max(axis=2) < 0.15).any(axis=0)
        share = (results.cell("uphill_N2", k) > 0).mean()
        assert orange.mean() == pytest.approx(share * _axes_width(frame), abs=0.03)
    only = frames(make_movie(line, tmp_path / "flux.gif", "flux_H2"))
    assert not any((np.abs(frame - to_rgb(HOT)).max(axis=2) < 0.15).any() for frame in only)
    assert np.abs(only[0] - only[-1]).max() > 0.5


def _axes_width(frame: np.ndarray) -> float:
    """Of the axis of x, as a fraction of the frame: the longest dark row."""
    dark = (frame < 0.75).all(axis=2)
    return float(dark.mean(axis=1).max())


def test_solid_is_seen_from_the_front(tmp_path: Path) -> None:
    folder = looked_at.gas(tmp_path, (10, 4, 3))
    shown = frames(make_movie(folder, tmp_path / "N2.gif", "N2"))
    assert len(shown) == 3
    coloured = (np.ptp(shown[0], axis=2) > 0.08).mean()
    assert 0.2 < coloured < 0.8
    assert np.abs(shown[0] - shown[-1]).max() > 0.1


def test_program_writes_movie_mp4_beside_an_older_one(flat: Path) -> None:
    """Without a screen, as on a cluster."""
    (flat / "movie.mp4").touch()
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "fem_diffusion", "movie", str(flat), "--field", "uphill_N2"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True, env=environment).stdout
    assert said == f"{flat / 'movie-2.mp4'}\n"
    assert probed(flat / "movie-2.mp4")[2:] == (3, "2/1")
    assert (flat / "movie.mp4").stat().st_size == 0


def test_movies_that_cannot_be_made(line: Path, flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there.gif"
    there.touch()
    with pytest.raises(InputError, match="has no field 'muH2'; did you mean 'mu_H2'"):
        make_movie(line, field="muH2")
    with pytest.raises(InputError, match=r"a movie ends in \.mp4 or \.gif"):
        make_movie(line, tmp_path / "movie.avi")
    with pytest.raises(InputError, match="is there already"):
        make_movie(line, there)
    with pytest.raises(InputError, match="--fps -1: must be above zero"):
        make_movie(line, tmp_path / "a.gif", fps=-1)
    with pytest.raises(InputError, match="cannot write .*: No such file or directory"):
        make_movie(line, tmp_path / "missing" / "a.gif")
    with pytest.raises(InputError, match="cannot write .*ffmpeg: .*No such file or directory"):
        make_movie(line, tmp_path / "missing" / "a.mp4")
    with pytest.raises(InputError, match="give the folder of a run"):
        make_movie(tmp_path)
    (tmp_path / "problem.resolved.toml").write_text((line / "problem.resolved.toml").read_text())
    with pytest.raises(InputError, match="has no fields yet"):
        make_movie(tmp_path)

    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="mp4 needs ffmpeg, which is not installed"):
        make_movie(line, tmp_path / "a.mp4")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(display, "OWN_SCREENS", set())
    with pytest.raises(InputError, match="no screen to draw the movie on"):
        make_movie(flat, tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()
