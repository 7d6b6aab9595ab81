"""The command line: fem-diffusion check | run | sweep | impedance | thermo PROBLEM.toml, and report | view | movie DIR."""

from __future__ import annotations

import json
import math
import sys
import time as clock
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from mpi4py import MPI
from petsc4py import PETSc
from rich.console import Console
from rich.table import Table

from .check import check as check_system
from .check import in_problem_units
from .errors import InputError, NotCertified, OutputError, StepFailed
from .impedance import spectrum
from .output import default_folder, first_free, last_folder
from .parallel import abort_on_exception, on_root
from .problem import Problem
from .run import run as run_problem
from .signals import Stopped
from .sweep import Range, numbers, sweep_by_slurm, sweep_part, sweep_tables
from .sweep import sweep as run_sweep
from .system import System
from .thermodynamics import BinaryThermodynamics, MulticomponentThermodynamics, PhaseDiagram, TernaryPhaseDiagram
from .units import Quantity
from .uphill import inside

if TYPE_CHECKING:
    from .phase_diagram import Labels  # drawing modules are loaded where a picture is drawn: matplotlib takes a third of a second

CODES = {InputError: 2, StepFailed: 3, NotCertified: 4, OutputError: 5}
INTERRUPTED = 130

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

ProblemFile = Annotated[Path, typer.Argument(metavar="PROBLEM.toml", help="the problem")]
ResultsFolder = Annotated[Path, typer.Argument(metavar="DIR", help="the results folder of a run, which may still go on")]
OutputFolder = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="DIR", help="results folder (default: results/<name>, with -sweep or -impedance behind it)"),
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help='replace one value, for example --set time.end="10 s"')
]
PetscOptions = Annotated[
    list[str] | None, typer.Argument(metavar="[-- PETSC OPTIONS]", help="options for PETSc, for example -- -snes_monitor")
]


def main() -> None:
    """Run the command line; exit code 2 for bad input, 3 for a step that failed for good, 4 for one that breaks a law of a strict problem."""
    abort_on_exception(MPI.COMM_WORLD)
    comm = MPI.COMM_WORLD
    try:
        code = typer.main.get_command(app)(
            _with_values(sys.argv[1:]), standalone_mode=False
        )  # app() would put typer's own exception hook over ours
    except click.ClickException as error:  # a command line that is not legal, and that all ranks have
        if comm.rank == 0:
            error.show()
            sys.stderr.flush()
        comm.Barrier()
        code = error.exit_code
    except click.Abort:
        code = INTERRUPTED
    sys.exit(code)


def _with_values(arguments: list[str]) -> list[str]:
    """--restart means --restart latest."""
    following = [*arguments[1:], ""]
    return [
        f"{given}=latest" if given == "--restart" and not (after == "latest" or after.isdigit()) else given
        for given, after in zip(arguments, following, strict=True)
    ]


@app.command()
def run(
    problem: ProblemFile,
    output: OutputFolder = None,
    changes: Changes = None,
    restart: Annotated[
        str | None,
        typer.Option(
            metavar="[latest|STEP]", help="go on from the last checkpoint in the results folder, or that of a step; --set may change [time]"
        ),
    ] = None,
    petsc: PetscOptions = None,
) -> None:
    """Solve the problem; results go to one folder."""

    def work() -> None:
        comm = MPI.COMM_WORLD
        _set_petsc_options(petsc or [])
        data = Problem.read(problem, _changes(changes))
        folder = on_root(comm, lambda: output or (last_folder(problem) if restart else default_folder(problem)))
        resolved = folder / "problem.resolved.toml"
        started, before = clock.perf_counter(), on_root(comm, lambda: _written(resolved))
        _say(f"{data.title or problem.stem}: results go to {folder}")
        try:
            run_problem(data, folder, comm, restart)
        finally:
            if comm.rank == 0 and _written(resolved) != before:
                _say(_contents(folder, clock.perf_counter() - started))

    _guarded(work)


def _written(path: Path) -> int | None:
    """When a file was written, in nanoseconds; None if it is not there."""
    return path.stat().st_mtime_ns if path.exists() else None


@app.command()
def sweep(
    problem: ProblemFile,
    over: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=FIRST:LAST:COUNT",
            help="the values of one parameter, also KEY=A,B,C; the key as for --set; without a unit in that of the problem's own value, "
            "which must be an SI unit; of several --over all combinations, the first is the outermost loop",
        ),
    ],
    output: OutputFolder = None,
    changes: Changes = None,
    jobs: Annotated[int | None, typer.Option(min=1, metavar="N", help="solve so many points at a time, in processes of their own")] = None,
    slurm: Annotated[bool, typer.Option("--slurm", help="write the scripts of a Slurm job array, and submit it where sbatch is")] = False,
    part: Annotated[str | None, typer.Option(metavar="K/N", help="solve the K-th of N parts alone, as the processes of --jobs do")] = None,
    collect: Annotated[bool, typer.Option("--collect", help="solve nothing: make the table and the page of what is there")] = False,
    petsc: PetscOptions = None,
) -> None:
    """Solve the problem at many values of its parameters: a folder for each point, a table, curves, and a page. Goes on where it ended."""

    def work() -> None:
        _set_petsc_options(petsc or [])
        ranges, changed = [Range.parse(text) for text in over], _changes(changes)
        if sum([slurm, part is not None, collect]) > 1:
            raise InputError("--slurm, --part and --collect: give one of them")
        folder = on_root(MPI.COMM_WORLD, lambda: output or first_free(Path("results"), f"{problem.stem}-sweep"))
        started = clock.perf_counter()
        if slurm:
            _say(sweep_by_slurm(problem, ranges, folder, changed, jobs=jobs, petsc=petsc or []))
            return
        try:
            if part is not None:
                failures = sweep_part(problem, ranges, folder, _part(part), changed)
            elif collect:
                failures = sweep_tables(problem, ranges, folder, changed)
            else:
                failures = run_sweep(problem, ranges, folder, changed, jobs=jobs or 1, petsc=petsc or [])
        except Stopped as stopped:
            stopped.again = f"-o {folder}"
            raise
        if part is None:
            _say(_contents(folder, clock.perf_counter() - started))
        if failures:
            count = math.prod(len(one.values) for one in ranges)
            raise StepFailed(
                "\n".join([f"{len(failures)} of {count} points failed; the same command with -o {folder} tries them again:", *failures])
            )

    _guarded(work)


@app.command()
def impedance(
    problem: ProblemFile,
    boundary: Annotated[str, typer.Option(metavar="NAME", help="the electrode whose potential is modulated")],
    frequencies: Annotated[
        str,
        typer.Option(
            metavar="FIRST:LAST:COUNT", help="evenly in the logarithm, also A,B,C; without a unit in Hz, if the problem has units"
        ),
    ],
    output: OutputFolder = None,
    changes: Changes = None,
    petsc: PetscOptions = None,
) -> None:
    """The impedance between an electrode and the rest, by linearisation at the steady state: a table and a picture (Nyquist, Bode)."""

    def work() -> None:
        _set_petsc_options(petsc or [])
        values, unit = numbers(frequencies, "--frequencies", logarithmic=True)
        try:
            in_hertz = [float(Quantity("1/s").parse(f"{value!r} {unit}")) for value in values] if unit else list(values)
        except ValueError as error:
            raise InputError(f"--frequencies {frequencies}: {error}") from None
        data = Problem.read(problem, _changes(changes))
        if unit and not data.dimensional:
            raise InputError(f"--frequencies {frequencies}: the problem has no units: give plain numbers")
        folder = on_root(MPI.COMM_WORLD, lambda: output or first_free(Path("results"), f"{problem.stem}-impedance"))
        started = clock.perf_counter()
        spectrum(data, boundary, in_hertz, folder)
        _say(_contents(folder, clock.perf_counter() - started))

    _guarded(work)


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="the results folder of a run, which may still go on")]) -> None:
    """Write report.html anew: a page with the equations, the fields, the curves, and where they come from."""
    from .report import write

    _guarded(lambda: _say(str(on_root(MPI.COMM_WORLD, lambda: write(folder)))))


@app.command()
def check(problem: ProblemFile, changes: Changes = None) -> None:
    """Validate the problem, print derived scales, and warn before anything is computed."""

    def work() -> None:
        system = System(Problem.read(problem, _changes(changes)))
        report = check_system(system)
        if system.comm.rank == 0:
            _print_table(f"{problem}: valid", report.numbers)
            for warning in report.warnings:
                Console(stderr=True, soft_wrap=True).print(f"warning: {warning}", style="yellow", markup=False, highlight=False)

    _guarded(work)


@app.command()
def thermo(
    problem: ProblemFile,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="where the picture goes (default: here)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the numbers as JSON")] = False,
    changes: Changes = None,
) -> None:
    """Stability, thermodynamic factors, diffusivities, phases, fastest wave and interface, as numbers and a picture."""

    def work() -> None:
        system = System(Problem.read(problem, _changes(changes)))
        system.initialise()
        volume = MPI.COMM_WORLD.allreduce(system.volume.sum())
        means = inside(system.local_density, system.masses()[:, None] / volume)[:, 0]
        numbers, save = _binary(system, float(means[0])) if system.n == 1 else _multicomponent(system, means)
        folder = output or Path(".")

        def draw() -> Path | None:
            if save is None:
                return None
            try:
                folder.mkdir(parents=True, exist_ok=True)
                picture = first_free(folder, f"{problem.stem}.thermo", ".png")
                save(picture)
            except OSError as error:
                raise InputError(
                    f"cannot write the picture to {folder}: {error.strerror or error}; choose another folder with -o"
                ) from None
            return picture

        picture = on_root(system.comm, draw)
        if system.comm.rank != 0:
            return
        if as_json:
            sys.stdout.write(json.dumps({key: {"value": value, "unit": unit} for key, (value, unit) in numbers.items()}, indent=2) + "\n")
        else:
            names = system.model.names
            _print_table(f"{problem}: {', '.join(names)} at the mean initial composition", _by_rows(numbers, names))
            _say(f"picture: {picture}" if picture else "no picture: there is one for one or two independent species")

    _guarded(work)


@app.command()
def view(results: ResultsFolder) -> None:
    """Write a ParaView state of a run, view.py in its folder, and start ParaView if it is here."""

    def work() -> None:
        from .view import start_paraview, write_state

        def show() -> str:
            path, new = write_state(results)
            kept = "" if new else " was there already and stays as it is: remove it to have a new one"
            return f"{path}{kept}" if start_paraview(path) else f"{path}{kept}\nopen it with: paraview --script={path}"

        _say(on_root(MPI.COMM_WORLD, show))

    _guarded(work)


@app.command()
def movie(
    results: ResultsFolder,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help=".mp4 or .gif (default: movie.mp4 in the folder)")
    ] = None,
    field: Annotated[str | None, typer.Option(metavar="NAME", help="one field, for example mu_A (default: the species, and phi)")] = None,
    fps: Annotated[float | None, typer.Option(metavar="N", help="output times per second (default: 8 s for all, from 2 to 25)")] = None,
) -> None:
    """Draw the fields of a run over time."""

    def work() -> None:
        from .movie import make_movie

        _say(str(on_root(MPI.COMM_WORLD, lambda: make_movie(results, output, field, fps))))

    _guarded(work)


Numbers = dict[str, tuple[Any, str]]
SavePicture = Callable[[Path], None]


def _binary(system: System, mean: float) -> tuple[Numbers, SavePicture]:
    terms, composition = system.problem.free_energy, system.problem.composition()
    binary = BinaryThermodynamics.of(terms, system.problem.transport, composition, mean)
    numbers = in_problem_units(binary, system)
    if system.given.temperature is not None and binary.critical_temperature_ratio is not None:
        numbers["critical_temperature"] = (binary.critical_temperature_ratio * system.scales.temperature, "K")

    def save(path: Path) -> None:
        from . import phase_diagram

        phase_diagram.save(path, binary, PhaseDiagram.of(terms, composition), _labels(system))

    return numbers, save


def _multicomponent(system: System, means: Any) -> tuple[Numbers, SavePicture | None]:
    terms, composition = system.problem.free_energy, system.problem.composition()
    state = MulticomponentThermodynamics.of(terms, system.problem.transport, composition, means)
    dimensional, factor = system.given.dimensional, system.scales.factor
    numbers = state.as_dict()
    if dimensional and not system.given.thermal:
        numbers["thermodynamic_factor"] = numbers["thermodynamic_factor_eigenvalues"] = None  # they are defined by RT/V_m
    in_units = {
        key: (_times(value, factor(state.UNITS[key])), state.UNITS[key]) if dimensional else (value, "") for key, value in numbers.items()
    }

    def save(path: Path) -> None:
        from . import ternary_diagram

        ternary_diagram.save(path, state, TernaryPhaseDiagram.of(terms, composition))

    return in_units, save if system.n == 2 else None


def _times(value: Any, factor: float) -> Any:
    """A number, or each one in a list; booleans and None stay."""
    if isinstance(value, list):
        return [_times(item, factor) for item in value]
    return value if value is None or isinstance(value, bool) else value * factor


def _by_rows(numbers: Numbers, names: Sequence[str]) -> Numbers:
    """Matrices as one entry for each row, by the species."""
    rows: Numbers = {}
    for key, (value, unit) in numbers.items():
        if len(names) > 1 and isinstance(value, list) and value and isinstance(value[0], list):
            rows |= {f"{key} {name}": (row, unit) for name, row in zip(names, value, strict=True)}
        else:
            rows[key] = (value, unit)
    return rows


def _guarded(work: Callable[[], None]) -> None:
    """Do the work; a known error becomes one message and an exit code, the same on every rank."""
    try:
        work()
    except Stopped as stopped:
        _say(f"{stopped}: the same command with {stopped.again} goes on")
        raise typer.Exit(128 + stopped.number) from None
    except (InputError, StepFailed, NotCertified, OutputError) as error:
        _end_together(error, CODES[type(error)])


def _end_together(error: Exception, code: int) -> None:
    """Exit on all ranks with one message. If a rank does not arrive, because only some met the error, end it too: it would wait for ever."""
    comm = MPI.COMM_WORLD
    arrived, patience = comm.Ibarrier(), clock.monotonic() + 5.0
    while not arrived.Test() and clock.monotonic() < patience:
        clock.sleep(0.01)
    together = arrived.Test()
    if comm.rank == 0 or not together:
        Console(stderr=True, soft_wrap=True).print(
            f"error: {error}", style="bold red" if sys.stderr.isatty() else "", markup=False, highlight=False
        )
        sys.stderr.flush()
    if not together:
        comm.Abort(code)
    raise typer.Exit(code)


def _labels(system: System) -> Labels:
    """Axes in the problem's units."""
    from .phase_diagram import Axis, Labels

    factor = system.scales.factor
    composition = f"fraction of {system.model.names[0]}"
    if not system.given.dimensional:
        return Labels(composition)
    temperature = (
        Axis("temperature (K)", system.scales.temperature) if system.given.temperature is not None else Axis("temperature $T/T_0$")
    )
    return Labels(
        composition,
        energy=Axis("free energy $f$ (J/m³)", factor("J/m^3")),
        temperature=temperature,
        wavenumber=Axis("wavenumber $k$ (1/nm)", factor("1/m") * 1e-9),
        rate=Axis(r"growth rate $\omega$ (1/s)", factor("1/s")),
        wavelength=Axis("nm", factor("m") * 1e9),
    )


def _changes(given: list[str] | None) -> dict[str, str]:
    changes = {}
    for item in given or []:
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--set {item}: write --set key=value, for example --set time.end=10")
        changes[key] = value
    return changes


def _part(given: str) -> tuple[int, int]:
    k, slash, count = given.partition("/")
    if not (slash and k.isdigit() and count.isdigit()):
        raise InputError(f"--part {given}: write --part K/N, for example --part 1/8")
    return int(k), int(count)


def _set_petsc_options(given: list[str]) -> None:
    if given and not given[0].startswith("-"):
        raise InputError(
            f"'{given[0]}' is one argument too many: one problem at a time; options for PETSc start with -, as in -- -snes_monitor"
        )
    options = PETSc.Options()
    options.insertString(" ".join(item for item in given if " " not in item))
    for name, value in pairwise(given):
        if " " in value:  # PETSc knows no quotes
            options.setValue(name, value)


def _say(text: str) -> None:
    if MPI.COMM_WORLD.rank == 0:
        Console(soft_wrap=True).print(text, markup=False, highlight=False)


def _print_table(title: str, numbers: dict[str, tuple[Any, str]]) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    for key, (value, unit) in numbers.items():
        table.add_row(key.replace("_", " "), _number(value), unit)
    Console().print(table)


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_number(item) for item in value)
    return str(value) if isinstance(value, (int, str)) else f"{value:.8g}"


_CONTENTS = {
    "report.html": "the equations, the fields and the curves on a page: open it in a browser",
    "summary.png": "what happened, as one picture",
    "fields.vtkhdf": "c, mu and fluxes over time: open in ParaView (5.13 or later), or with fem-diffusion view",
    "fields": "what fields.vtkhdf is a view of",
    "checkpoint": "the last state, and one before: --restart goes on from there",
    "history.csv": "one row per step: energy, masses, bounds, fluxes, probes",
    "run.log": "one line per step",
    "certificate.json": "whether every step kept mass, charge, bounds and the decay of energy",
    "sweep.html": "the curves and the points: open in a browser",
    "sweep.csv": "one row per point: the swept values, and the last row of its history",
    "sweep.png": "the curves",
    "points": "a folder per point, as that of a run",
    "impedance.csv": "one row per frequency: Z, its size and phase, the capacitance",
    "impedance.png": "Nyquist and Bode plots",
    "problem.resolved.toml": "the problem with all defaults",
    "provenance.json": "outcome, versions, mesh, options, wall time",
}


def _contents(folder: Path, seconds: float) -> str:
    there = [f"  {name:<23}{text}" for name, text in _CONTENTS.items() if (folder / name).exists()]
    return "\n".join([f"{folder} after {seconds:.0f} s:", *there])
