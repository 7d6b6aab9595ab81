#!/usr/bin/env bash
# A template for Slurm: copy it, edit the lines marked with EDIT, and   sbatch slurm.sh problem.toml [options of `fem-diffusion run`]
#SBATCH --job-name=fem_diffusion
#SBATCH --nodes=1                 # EDIT: ranks are nodes x ntasks-per-node; docs/scaling.md says how many vertices a rank should have at least
#SBATCH --ntasks-per-node=32      # EDIT: one rank on each core, or on every second where memory bandwidth is short
#SBATCH --cpus-per-task=1
#SBATCH --time=04:00:00           # EDIT
#SBATCH --signal=USR2@120         # EDIT: so many seconds before the end the run saves itself and stops
#SBATCH --requeue --open-mode=append
#SBATCH --output=%x-%j.log
##SBATCH --partition=standard     # EDIT: remove one # where the site asks for these
##SBATCH --account=project
##SBATCH --mem=0                  # all of a node
set -euo pipefail

# EDIT: one of these three ways to DOLFINx 0.9 to 0.11, with its MPI that of the machine
# module load fenics-dolfinx                                                  # 1. a module of the site
# source "$HOME/miniforge3/bin/activate" fem_diffusion                         # 2. conda: environment.yml
# container=(apptainer exec --bind "$PWD" "$HOME/dolfinx.sif")                 # 3. a container; its MPI must fit srun's (--mpi=pmix)
container=("${container[@]-}") # empty without one

problem=${1:?sbatch slurm.sh problem.toml [options of fem-diffusion run]}
shift

export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1             # ranks share the cores: threads of BLAS would fight for them
export OMPI_MCA_mpi_yield_when_idle=0                       # every rank has a core of its own
export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$PWD/.cache}        # compiled forms: on a file system that all nodes see

# Before the time is up, and wherever it is started again, the run goes on in the folder of the job; scancel's SIGTERM ends it for good.
command=(python3 -m fem_diffusion run "$problem" --output "results/${SLURM_JOB_NAME:-fem_diffusion}-${SLURM_JOB_ID:-0}" --restart "$@")
[[ -z ${container[0]} ]] || command=("${container[@]}" "${command[@]}")
code=0
srun --cpu-bind=cores --distribution=block:block "${command[@]}" || code=$?
[[ $code != 140 ]] || scontrol requeue "$SLURM_JOB_ID" # 128 + SIGUSR2
exit "$code"
