"""scripts/env on machines that have neither DOLFINx nor apt, and its arguments."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

ENV = Path(__file__).resolve().parent.parent / "scripts" / "env"
pytestmark = pytest.mark.serial


def bare_machine(folder: Path, *extra: str) -> dict[str, str]:
    """An environment with the basic tools of a shell and nothing else: no apt-get, no python3."""
    tools = folder / "bin"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "sha256sum", "cut", "id", "mkdir", "cat", "head", "sed", "sort", "flock", *extra):
        (tools / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
    return {"PATH": str(tools), "HOME": str(folder), "FEM_DIFFUSION_CACHE": str(folder / "cache")}


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
    fake = Path(environment["PATH"]) / "python3"
    fake.write_text("#!/usr/bin/env bash\necho 0.10.0.post5\n")
    fake.chmod(0o755)
    result = call(environment, "env")
    assert result.returncode == 0, result.stderr
    assert f"PYTHONPATH={ENV.parent.parent}" in result.stdout
    assert call(environment, "--dolfinx", "0.10", "env").returncode == 0
    assert "conda install" not in result.stderr


def test_blas_is_a_fast_one() -> None:
    """Reference BLAS makes the direct solver 2.5 times slower."""
    np.ones((9, 9)) @ np.ones((9, 9))
    libraries = Path(f"/proc/{os.getpid()}/maps").read_text()
    assert any(name in libraries for name in ("openblas", "mkl", "blis")), "reference BLAS: apt install libopenblas0-pthread"
