"""A sweep as an array of Slurm jobs, and a job that collects what they find."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from ..errors import InputError
from .processes import Command

ARRAY, COLLECT = "sweep.sbatch", "collect.sbatch"
LARGEST_ARRAY = 1000  # Slurm's own limit where a site sets none (MaxArraySize 1001)

_SCRIPT = """#!/usr/bin/env bash
# {what}
# sbatch's options can be edited here, or given in its environment: SBATCH_TIMELIMIT, SBATCH_PARTITION, SBATCH_ACCOUNT.
#SBATCH --job-name={name}
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1       # ranks{more}
#SBATCH --cpus-per-task=1
#SBATCH --time={time}
#SBATCH --signal=USR2@120         # so many seconds before the end what runs saves itself and stops
#SBATCH --requeue --open-mode=append
#SBATCH --output={folder}/{log}
{array}##SBATCH --partition=standard     # remove one # where the site asks for these
##SBATCH --account=project
set -euo pipefail
cd {here}

# The way to DOLFINx, where it is not that of the shell that submits: a module, conda, or a container before the command.
# module load fenics-dolfinx
# source "$HOME/miniforge3/bin/activate" fem_diffusion

export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export XDG_CACHE_HOME=${{XDG_CACHE_HOME:-$HOME/.cache}}   # compiled forms: on a file system that all nodes see

code=0
srun {command} || code=$?
[[ $code != 140 ]] || scontrol requeue "$SLURM_JOB_ID" # 128 + SIGUSR2: saved, and to be gone on with
exit "$code"
"""


def submit(command: Command, count: int, most: int | None) -> str:
    """Write the scripts for `count` parts, at most so many at a time, and submit them where there is an sbatch; returns what was done.

    Scripts that are there, as edited, are submitted as they are. InputError where they are for other parts, or Slurm refuses them.
    """
    array, collect = command.folder / ARRAY, command.folder / COLLECT
    throttle = f"%{most}" if most else ""
    parts = shlex.join(command.part("TASK")).replace("TASK", f'"$SLURM_ARRAY_TASK_ID/{count}"')
    common = {"name": command.folder.name, "folder": command.folder.resolve(), "here": shlex.quote(str(Path.cwd()))}
    _write(
        array,
        f"$SLURM_ARRAY_TASK_ID/{count}",
        _SCRIPT.format(
            what=f"The points of a sweep in {count} parts. Submitted again, it goes on with those that are not solved.",
            more=" of each part; for more: --distribution and --cpu-bind as the machine needs them",
            time="04:00:00",
            log="part-%a.log",
            array=f"#SBATCH --array=1-{count}{throttle}\n",
            command=parts,
            **common,
        ),
    )
    _write(
        collect,
        "--collect",
        _SCRIPT.format(
            what="The table and the page of the points that are solved.",
            more="",
            time="00:30:00",
            log="collect.log",
            array="",
            command=shlex.join(command.collect()),
            **common,
        ),
    )
    if shutil.which("sbatch") is None:
        return (
            f"written: {array} and {collect}; there is no sbatch on this machine. Where there is:\n"
            f"  id=$(sbatch --parsable {shlex.quote(str(array))}) && sbatch --dependency=afterany:${{id%%;*}} {shlex.quote(str(collect))}"
        )
    number = _sbatch("--parsable", str(array)).partition(";")[0]  # with a cluster's name behind it on some sites
    collecting = _sbatch("--parsable", f"--dependency=afterany:{number}", str(collect)).partition(";")[0]
    return f"submitted: job {number}, {count} parts by {array}; job {collecting} collects them when they have ended, by {collect}"


def _write(path: Path, essential: str, text: str) -> None:
    if not path.exists():
        path.write_text(text)
        path.chmod(0o755)
    elif essential not in path.read_text():
        raise InputError(f"{path} is there already, for other parts ('{essential}' is not in it): remove it, and it is written anew")


def _sbatch(*arguments: str) -> str:
    result = subprocess.run(["sbatch", *arguments], capture_output=True, text=True)
    if result.returncode:
        raise InputError(f"sbatch refuses {arguments[-1]}: {result.stderr.strip()}; edit the script, and give the same command again")
    return result.stdout.strip()
