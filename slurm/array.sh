#!/bin/bash
# A sweep: task i of the array adds the i-th line of a file to a training's command. A line says a name and what differs,
#   --experiment lr_3e-4 --lr 0.0003
# and there are as many tasks as lines:
#   sbatch --array=1-8 slurm/array.sh sweep.txt python recipes/CommonVoice/sw/train.py hparams/serenanet.yaml hparams/machine/slurm.yaml --data_folder DIR
# --array=1-8%2 runs two at a time. Variants that are compared in one report are serenanet ablate's affair.
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

sweep="$1"
shift
read -ra options < <(sed -n "${SLURM_ARRAY_TASK_ID}p" "$sweep")
if [ ${#options[@]} = 0 ]; then
    echo "error: $sweep has no line $SLURM_ARRAY_TASK_ID; give --array=1-$(grep -c . "$sweep")" >&2
    exit 2
fi
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
srun --kill-on-bad-exit=1 "$@" "${options[@]}"
status=$?
# Told to stop (138: five minutes before its limit; 143: another job takes its place), it has saved a checkpoint and goes on in its turn.
if [ $status = 138 ] || [ $status = 143 ]; then scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"; fi
exit $status
