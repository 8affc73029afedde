#!/bin/bash
# A batch script for: serenanet ablate … --sbatch hparams/ablations/slurm.sh
# Copy it and say what your cluster wants. It gets the training's command as its arguments; the job's name, its log and
# what it waits for are set by serenanet ablate.
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
## one GPU: #SBATCH --gpus-per-task=1
## several GPUs for one training: --ntasks=4 --gpus-per-task=1, and srun below
#SBATCH --signal=B:TERM@120
#SBATCH --requeue

# source .venv/bin/activate, or module load …, where the jobs do not inherit it

# Two minutes before the limit, and on scancel, the training saves a checkpoint; the same command goes on from there.
exec "$@"
