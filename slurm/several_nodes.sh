#!/bin/bash
# A training on several nodes; each process takes a GPU where there are some:
#   sbatch slurm/several_nodes.sh python recipes/CommonVoice/sw/train.py hparams/serenanet.yaml hparams/machine/slurm.yaml --data_folder DIR
# What stands before the file wins over the lines below, for example for four nodes of eight GPUs:
#   sbatch --nodes=4 --ntasks-per-node=8 --gpus-per-task=1 slurm/several_nodes.sh …
# All nodes must see the same data, prepared and result folders.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
srun --kill-on-bad-exit=1 "$@"
status=$?
# Told to stop (138: five minutes before its limit; 143: another job takes its place), it has saved a checkpoint and goes on in its turn.
if [ $status = 138 ] || [ $status = 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $status
