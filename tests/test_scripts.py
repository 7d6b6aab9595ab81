"""scripts/env on machines that lack DOLFINx, other packages, apt or a Debian mirror, and its arguments."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

ENV = Path(__file__).resolve().parent.parent / "scripts" / "env"
RUN_MODULES = (
    "numpy",
    "scipy",
    "gmsh",
    "meshio",
    "h5py",
    "pydantic",
    "pint",
    "typer",
    "rich",
    "tomli_w",
    "matplotlib",
    "plotly",
    "pyvista",
)
TEST_MODULES = ("pytest", "pytest_timeout", "xdist", "hypothesis", "vtk", "selenium")
pytestmark = pytest.mark.serial


def bare_machine(folder: Path, *extra: str) -> dict[str, str]:
    """An environment with the basic tools of a shell and nothing else: no apt-get, no python3."""
    tools = folder / "bin"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "sha256sum", "cut", "id", "mkdir", "cat", "head", "sed", "sort", "flock", *extra):
        (tools / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
    return {"PATH": str(tools), "HOME": str(folder), "FEM_DIFFUSION_CACHE": str(folder / "cache")}


def add_tool(environment: dict[str, str], name: str, script: str) -> None:
    tool = Path(environment["PATH"]) / name
    tool.unlink(missing_ok=True)
    tool.write_text(f"#!/usr/bin/env bash\n{script}\n")
    tool.chmod(0o755)


def add_python(environment: dict[str, str], folder: Path, *missing: str) -> None:
    """A real Python (no site-packages) whose path has DOLFINx 0.10 and every package but the missing ones."""
    packages = folder / "packages"
    (packages / "fenics_dolfinx-0.10.0.dist-info").mkdir(parents=True)
    (packages / "fenics_dolfinx-0.10.0.dist-info" / "METADATA").write_text("Name: fenics-dolfinx\nVersion: 0.10.0\n")
    for name in {*RUN_MODULES, *TEST_MODULES} - set(missing):
        (packages / f"{name}.py").touch()
    add_tool(environment, "python3", f'PYTHONPATH={packages} exec {sys.executable} -S "$@"')


def call(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ENV), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_without_apt_and_dolfinx_the_message_names_conda_and_docker(tmp_path: Path) -> None:
    result = call(bare_machine(tmp_path), "true")
    assert result.returncode == 1
    for fragment in ("no DOLFINx", "no apt", "conda env create", "docker run"):
        assert fragment in result.stderr
    assert not (tmp_path / "cache").exists() or not any((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("arguments", [("--dolfinx", "0.5", "true"), ("--dolfinx",), ()])
def test_wrong_arguments_say_what_is_legal(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = call(bare_machine(tmp_path), *arguments)
    assert result.returncode == 1
    assert "0.9" in result.stderr and "0.11" in result.stderr


def test_version_that_no_debian_has(tmp_path: Path) -> None:
    result = call(bare_machine(tmp_path), "--dolfinx", "0.10", "true")
    assert result.returncode == 1
    assert "conda install" in result.stderr


def test_a_python_that_has_dolfinx_is_used(tmp_path: Path) -> None:
    environment = bare_machine(tmp_path)
    add_python(environment, tmp_path)
    result = call(environment, "env")
    assert result.returncode == 0, result.stderr
    assert f"PYTHONPATH={ENV.parent.parent}" in result.stdout
    assert call(environment, "--dolfinx", "0.10", "env").returncode == 0
    assert call(environment, "--dolfinx", "0.9", "env").returncode == 1


@pytest.mark.parametrize("version", [(), ("--dolfinx", "0.10")])
def test_a_python_that_lacks_packages_is_told_which_and_how_to_get_them(tmp_path: Path, version: tuple[str, ...]) -> None:
    environment = bare_machine(tmp_path)
    add_python(environment, tmp_path, "pint", "tomli_w")
    result = call(environment, *version, "true")
    assert result.returncode == 1
    assert "has DOLFINx 0.10.0 but lacks pint tomli_w" in result.stderr
    assert "python3 -m pip install pint tomli_w\n" in result.stderr


def test_packages_of_the_tests_are_asked_for_by_the_tests_only(tmp_path: Path) -> None:
    environment = bare_machine(tmp_path)
    add_python(environment, tmp_path, *TEST_MODULES)
    assert call(environment, "env").returncode == 0
    result = call(environment, "--tests", "env")
    assert result.returncode == 1
    assert "python3 -m pip install pytest pytest_timeout pytest_xdist hypothesis vtk selenium\n" in result.stderr


def add_apt(environment: dict[str, str], folder: Path, label: str) -> Path:
    """An apt-get without lists until `apt-get update`; returns the log of its calls. The user is root."""
    log = folder / "apt.log"
    add_tool(environment, "id", "echo 0")
    add_tool(
        environment,
        "apt-get",
        f"""echo "$1" "${{@: -1}}" >>{log}
case $1 in
  update) touch {folder}/lists ;;
  indextargets) [[ ! -e {folder}/lists ]] || echo "{label} http://mirror.invalid/debian/" ;;
esac""",
    )
    return log


def test_apt_without_lists_is_updated_once_and_then_asked_again(tmp_path: Path) -> None:
    environment = bare_machine(tmp_path, "touch", "rm", "tail")
    log = add_apt(environment, tmp_path, "Debian")
    for name in ("mmdebstrap", "bwrap"):
        add_tool(environment, name, 'echo "$@"; exit 1')
    result = call(environment, "true")
    assert result.returncode == 1
    assert "http://mirror.invalid/debian/" in result.stderr and "--keyring" not in result.stderr
    assert log.read_text().count("update") == 1


def test_apt_of_another_distribution_needs_a_mirror_and_debians_keys(tmp_path: Path) -> None:
    environment = bare_machine(tmp_path, "touch", "rm", "tail")
    log = add_apt(environment, tmp_path, "Ubuntu")
    add_python(environment, tmp_path, "pint")
    result = call(environment, "true")
    assert result.returncode == 1
    assert "set FEM_DIFFUSION_MIRROR" in result.stderr
    assert "lacks pint:  python3 -m pip install pint\n" in result.stderr
    assert "install" not in log.read_text()

    for name in ("mmdebstrap", "bwrap"):
        add_tool(environment, name, 'echo "$@"; exit 1')
    result = call(environment | {"FEM_DIFFUSION_MIRROR": "http://other.invalid/debian"}, "true")
    assert result.returncode == 1
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert f"--keyring={keyring}" in result.stderr and "http://other.invalid/debian" in result.stderr
    assert Path(keyring).exists() or "install debian-archive-keyring" in log.read_text()


ASKED_TO_STOP = """
import signal, sys, time
signal.signal(signal.Signals[sys.argv[1]], lambda number, frame: sys.exit(40 + number))
print("ready", flush=True)
time.sleep(50)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"])
def test_signals_reach_the_command_in_the_private_root(name: str, tmp_path: Path) -> None:
    """With a stand-in for bwrap, which dies of signals, and takes the command with it."""
    environment = bare_machine(tmp_path, "touch", "rm", "mv", "readlink")
    add_apt(environment, tmp_path, "Debian")
    add_tool(environment, "mmdebstrap", 'mkdir -p "${@: -2:1}"')
    add_tool(environment, "bwrap", '[[ "$*" != *openblas* ]] || exit 0; while [[ $1 != env ]]; do shift; done; "$@"; exit $?')
    assert call(environment, "cat").returncode == 0
    command = [str(ENV), sys.executable, "-c", ASKED_TO_STOP, name]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.Signals[name])
    _, error = process.communicate(timeout=20)
    assert process.returncode == 40 + signal.Signals[name], error


def test_what_pip_installs_has_every_package() -> None:
    repository = ENV.parent.parent
    packages = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = (path.parent.relative_to(repository) for path in (repository / "fem_diffusion").rglob("__init__.py"))
    assert sorted(packages) == sorted(".".join(folder.parts) for folder in folders)


def test_blas_is_a_fast_one() -> None:
    """Reference BLAS makes the direct solver 2.5 times slower."""
    np.ones((9, 9)) @ np.ones((9, 9))
    libraries = Path(f"/proc/{os.getpid()}/maps").read_text()
    assert any(name in libraries for name in ("openblas", "mkl", "blis")), "reference BLAS: apt install libopenblas0-pthread"
