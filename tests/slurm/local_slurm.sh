#!/bin/bash
# A real Slurm of two nodes on this machine, from Debian's slurm-wlm and munge, wholly inside one folder.
#
#   tests/slurm/local_slurm.sh up [DIR]     start it; prints the path of its slurm.conf
#   tests/slurm/local_slurm.sh down [DIR]   stop it and remove DIR
#
# SLURM_CONF=<that path> then makes srun, sbatch and squeue talk to it. Needs root, as slurmd does.
# `up` first removes whatever an earlier instance in DIR left behind. A Slurm that the machine
# already has is not touched: the munge key and socket and the ports are this instance's own.
set -euo pipefail

export PATH="$PATH:/usr/sbin"
action="${1:-}"
dir="${2:-${TMPDIR:-/tmp}/serenanet-slurm}"
daemons=(slurmstepd slurmd slurmctld munged)  # in the order of stopping
nodes=(127.0.0.1 127.0.0.2)  # their names resolve everywhere

die() {
    echo "local_slurm.sh: $*" >&2
    exit 1
}

# Prints the process ids of the daemon of that name that runs from this folder. Not from its pid
# file: after a crash that may be missing, or name another process.
pids() {
    local process
    for process in /proc/[0-9]*; do
        if [ "$(cat "$process/comm" 2> /dev/null)" = "$1" ] \
            && tr '\0' ' ' < "$process/cmdline" 2> /dev/null | grep -qF "$dir/"; then
            basename "$process"
        fi
    done
}

stop() {
    local signal
    for signal in TERM KILL; do
        # shellcheck disable=SC2046  # one word per process
        kill -s "$signal" $(pids "$1") 2> /dev/null || return 0
        for _ in $(seq 50); do
            [ -n "$(pids "$1")" ] || return 0
            sleep 0.1
        done
    done
}

down() {
    local name
    if [ -n "$(pids slurmctld)" ]; then
        SLURM_CONF="$dir/slurm.conf" timeout 10 scancel --user=root 2> /dev/null || true
    fi
    for name in "${daemons[@]}"; do stop "$name"; done
    # Only a folder of ours is removed: DIR comes from the command line.
    if [ -e "$dir/.serenanet-slurm" ]; then rm -rf "$dir"; fi
}

# Prints the first of three ports that nobody has, below the range that Linux hands out by itself.
free_ports() {
    local from try port
    from=$(cksum <<< "$dir" | cut -d' ' -f1)
    for try in $(seq 0 899); do
        port=$((30000 + (from + try) % 900 * 3))
        if ! grep -qE "$(printf ':%04X |:%04X |:%04X ' "$port" $((port + 1)) $((port + 2)))" /proc/net/tcp; then
            echo "$port"
            return
        fi
    done
    die "no three free ports from 30000 to 32699"
}

configure() {
    local host port
    host="$(hostname -s)"
    port=$(free_ports)
    cat > "$dir/slurm.conf" << EOF
ClusterName=serenanet
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits for as long as a credential holds.
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
# They have as many CPUs as the batch scripts ask for, on a machine with one core, too.
SlurmdParameters=config_overrides
NodeName=${nodes[0]} NodeHostname=$host NodeAddr=${nodes[0]} Port=$((port + 1)) CPUs=4 State=UNKNOWN
NodeName=${nodes[1]} NodeHostname=$host NodeAddr=${nodes[1]} Port=$((port + 2)) CPUs=4 State=UNKNOWN
# Jobs in the second one take the place of those in the first.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=local Nodes=ALL Default=YES MaxTime=INFINITE GraceTime=60 PriorityTier=1 State=UP
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=2 State=UP
EOF
}

# Waits until a command succeeds, or shows the logs and gives up.
wait_for() {
    local what="$1"
    shift
    for _ in $(seq 150); do
        if "$@" > /dev/null 2>&1; then return; fi
        sleep 0.2
    done
    tail -n 20 "$dir"/*.log >&2 || true
    down
    die "$what did not start within 30 s"
}

nodes_are_ready() {
    [ "$(sinfo --noheader --partition=local --responding --states=idle,mixed,allocated --format=%D)" = ${#nodes[@]} ]
}

up() {
    local program
    [ "$(id -u)" = 0 ] || die "needs root"
    for program in munged slurmctld slurmd srun; do
        command -v "$program" > /dev/null || die "$program not found: install slurm-wlm and munge"
    done
    down
    if [ -e "$dir" ]; then die "$dir exists and is not an earlier instance's folder"; fi
    # munged refuses folders that others may write to, and every user must reach the socket.
    umask 022
    mkdir -p "$dir"/{munge,state}
    touch "$dir/.serenanet-slurm"
    configure

    head -c 128 /dev/urandom > "$dir/munge/key"
    chmod 400 "$dir/munge/key"
    munged --key-file="$dir/munge/key" --socket="$dir/munge/socket" --seed-file="$dir/munge/seed" \
        --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" > "$dir/munged.out.log" 2>&1 \
        < /dev/null || true
    wait_for munged munge --socket="$dir/munge/socket" --no-input

    export SLURM_CONF="$dir/slurm.conf"
    slurmctld -f "$SLURM_CONF" > "$dir/slurmctld.out.log" 2>&1 < /dev/null || true
    wait_for slurmctld scontrol ping
    local node
    for node in "${nodes[@]}"; do
        slurmd -f "$SLURM_CONF" -N "$node" > "$dir/slurmd-$node.out.log" 2>&1 < /dev/null || true
    done
    wait_for slurmd nodes_are_ready
    echo "$SLURM_CONF"
}

case "$action" in
    up) up ;;
    down) down ;;
    *) die "usage: local_slurm.sh up|down [DIR]" ;;
esac
