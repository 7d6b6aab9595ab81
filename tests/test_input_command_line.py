"""Bad input through the command line: exit code 2 and one message, on one rank and on two."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import mixture_texts
import pytest
import test_exchange_input
import test_input
import test_multicomponent_input
from bad_input import changed, errors, launch, write
from test_input import FILES, PLAIN, SOLUTION, plain

pytestmark = pytest.mark.serial

CASES = [
    *(("run", test_input, name) for name in ("key of time", "boundary mistyped", "initial above one", "module that raises")),
    *(("run", test_input, name) for name in ("probe outside", "boundary of a tagged mesh")),
    *((command, test_multicomponent_input, "ill-posed") for command in ("check", "run")),
    ("check", test_multicomponent_input, "indefinite matrix"),
    *(("run", test_exchange_input, name) for name in ("rate of a stranger", "rate that is not a number")),
    ("run", test_exchange_input, "empty reservoir and potentials"),
]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("command", "module", "name"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_exit_code_and_one_message(command: str, module: ModuleType, name: str, ranks: int, folder: Path) -> None:
    text, fragments = module.CASES[name]
    write(folder, text, FILES)
    result = launch(folder, command, "problem.toml", *(["-o", "out"] if command == "run" else []), ranks=ranks)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    message, *more = errors(result)
    assert message.startswith("error: ")
    assert not more or (len(more) == 2 and more[1].strip() == "^"), "one line, or an expression with its caret below"
    for fragment in fragments:
        assert fragment in "\n".join([message, *more])
    assert not (folder / "out").exists()


@pytest.mark.parametrize("ranks", [1, 2])
def test_run_that_is_ended_by_its_temperature_keeps_its_results(ranks: int, folder: Path) -> None:
    cooling = ('"1000 K"', '"1000 - 1500*t"', '"5 kJ/mol"', '"0 J/mol"', 'end = "1 s"', 'end = "1 s"\nstep = "0.2 s"')
    write(folder, changed(mixture_texts.UNITS, *cooling))
    result = launch(folder, "run", "problem.toml", "-o", "out", ranks=ranks)
    assert result.returncode == 2
    (message,) = errors(result)
    assert message.startswith("error: temperature = '1000 - 1500*t' is -200 at (0) at t = 0.8: it must be positive")
    history = (folder / "out" / "history.csv").read_text().splitlines()
    assert len(history) == 1 + 4, "columns, the start and three steps"


@pytest.mark.parametrize("ranks", [1, 2])
def test_results_are_not_overwritten(ranks: int, folder: Path) -> None:
    write(folder, PLAIN)
    (folder / "out").mkdir()
    for name in ("problem.resolved.toml", "history.csv"):
        (folder / "out" / name).write_text("keep")
    result = launch(folder, "run", "problem.toml", "-o", "out", ranks=ranks)
    assert result.returncode == 2
    assert result.stdout == "A binary: results go to out\n", "what is there is not this run's"
    (message,) = errors(result)
    assert "out is there already" in message and "-o" in message
    assert {path.name: path.read_text() for path in (folder / "out").iterdir()} == {"problem.resolved.toml": "keep", "history.csv": "keep"}


ON_ONE_RANK = """from mpi4py import MPI
from fem_diffusion import Term

class Mine(Term):
    def density(self, c, phi):
        if MPI.COMM_WORLD.rank == 1:
            raise {error}
        return c[0]**2 * (1 - c[0])**2
"""


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        ("ZeroDivisionError('only here')", 1, "ZeroDivisionError: only here"),
        ("__import__('fem_diffusion').InputError('only here')", 2, "error: only here"),
    ],
)
def test_error_on_one_rank_ends_all(error: str, code: int, text: str, folder: Path) -> None:
    write(folder, plain(SOLUTION, 'kind = "input_one.Mine"'), {"input_one.py": ON_ONE_RANK.format(error=error)})
    result = launch(folder, "run", "problem.toml", "-o", "out", ranks=2, timeout=60)
    assert result.returncode == code
    assert text in result.stderr
