#!/bin/bash
# A training on one node, by as many processes as there are tasks:
#   sbatch slurm/one_node.sh python recipes/CommonVoice/sw/train.py hparams/serenanet.yaml hparams/machine/slurm.yaml --data_folder DIR
# What stands before the file wins over the lines below, for example for four GPUs:
#   sbatch --ntasks=4 --gpus-per-task=1 --partition=gpu --time=12:00:00 slurm/one_node.sh …
# serenanet ablate … --sbatch slurm/one_node.sh submits a job for each of its runs.
#SBATCH --nodes=1
#SBATCH --ntasks=1
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
