"""Random mutations of valid problems end in a problem or in a message that fits on a screen; `scripts/fuzz` tries many more."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import tomli_w
from bad_input import changed, write
from hypothesis import HealthCheck, Phase, given, settings
from mixture_texts import MIXTURE
from mutations import COLUMNS, LINES, Mutant, checked, is_small, make_seed_folder, mutants, read, seeds, time_limit

from fem_diffusion.errors import InputError
from fem_diffusion.problem import Problem

pytestmark = pytest.mark.serial

CHECKED_EVERY = 30  # legal ones: their equations are compiled


def test_seeds_are_legal() -> None:
    """Else every mutant would be refused for the same reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = make_seed_folder(Path(folder))
        assert len(seeds()) > 25
        for name, table in seeds().items():
            assert isinstance(read(Mutant(tomli_w.dumps(table)), path), Problem), name


def test_mutants_are_problems_or_get_a_message() -> None:
    legal, messages = 0, set()
    with tempfile.TemporaryDirectory() as folder:
        path = make_seed_folder(Path(folder))

        @settings(
            max_examples=300,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(mutants())
        def survives(mutant: Mutant) -> None:
            nonlocal legal
            problem = read(mutant, path)
            if isinstance(problem, str):
                messages.add(problem)
                return
            legal += 1
            if legal % CHECKED_EVERY == 0 and is_small(problem):
                checked(problem)

        survives()
    assert legal > 30 and len(messages) > 100  # of both enough to mean something


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("size = 1.0", f"size = {'[' * 3000}1{']' * 3000}", "too deep within each other"),
        ("size = 1.0", f"size = 1.0\n{'a.' * 3000}b = 1\n{'a.' * 3000}c = 2", "a key in it has more than 50 parts"),
        ("size = 1.0", f"size = 1{'0' * 400}", "must be finite"),
        ("size = 1.0", 'size = "1 m**9**9**9"', "'m**9**9**9' is not a unit"),
        ("size = 1.0", f'size = "1 {"m*" * 5000}m"', "is not a unit"),
        ('kind = "Ideal"', 'kind = "\\u202eIdeal\\u001b[31m"', "has no kind '\\u202eIdeal\\x1b[31m'"),
        ("cells = 8", f"cells = {[1] * 1000}", "needs 1 (x) numbers in 'cells'"),
        ("initial = 0.2", f'initial = "{"x+" * 4000}x"', "nested too deeply"),
        ("initial = 0.2", f'initial = "{"x" * 100_000}"', "too long"),
    ],
    ids=str.split("nested key digits power product terminal list sum name"),
)
def test_messages_fit_on_a_screen(old: str, new: str, says: str, tmp_path: Path) -> None:
    path = write(tmp_path, changed(MIXTURE, old, new))
    with time_limit(5.0), pytest.raises(InputError) as caught:
        Problem.read(path)
    message = str(caught.value)
    assert says in message
    assert sum(1 + len(line) // COLUMNS for line in message.split("\n")) < LINES
    assert all(letter.isprintable() or letter == "\n" for letter in message)


def test_a_message_keeps_its_beginning_and_its_advice() -> None:
    shown = str(InputError(f"[mesh] size = {'9' * 5000}: must be finite"))
    assert shown.startswith("[mesh] size = 999") and shown.endswith("999: must be finite") and len(shown) < 600
    lines = str(InputError("\n".join(f"mistake {k}" for k in range(100)))).splitlines()
    assert lines[0] == "mistake 0" and lines[-1] == f"... and {100 - len(lines) + 1} lines more" and len(lines) < LINES
    assert str(InputError(shown)) == shown


def test_an_initial_value_that_is_too_large_by_far(tmp_path: Path) -> None:
    """The excess over one is known to 1e-16 of itself only."""
    problem = read(Mutant(changed(MIXTURE, "initial = 0.2", 'initial = "319000*(1 - x)"')), tmp_path / "problem.toml")
    assert isinstance(problem, Problem)
    message = checked(problem)
    assert message is not None and "initial of A is 319000 at" in message
