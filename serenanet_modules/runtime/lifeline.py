"""Processes of one run end together: when one dies, the others say so and stop instead of waiting for it.

Gloo notices a dead process, NCCL waits for hours, and a process that prepares data or writes a checkpoint waits for
nobody. So each process keeps a connection to the main one. The kernel closes it when its process ends, however it
ends; a machine that is gone is noticed by keepalive probes. A process that leaves as planned says so first. One that is
stopped (SIGSTOP) or hangs with Python's lock sends no sign of life any more, which a thread of each process sends.
"""

import contextlib
import logging
import os
import secrets
import socket
import sys
import threading
import time

from serenanet_modules.errors import Fault, UserError
from serenanet_modules.runtime import distributed

logger = logging.getLogger(__name__)

CONNECTING, PARTING = 20.0, 5.0  # seconds
SIGN, SILENT = 10.0, 30  # seconds between signs of life, and how many may fail to come: a whole job that is stopped
# and goes on again misses one at most, for what is counted is waits that ended, not seconds
BYE, ALIVE = b".", b"-"
LOCAL = ("127.0.0.1", "localhost", "::1")
PROBES = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 5))  # 40 seconds in all


@contextlib.contextmanager
def ending_together():
    """End this process, with a message, when another one of the run ends inside this block and not as planned.

    As planned are the block's end, a `UserError` that all processes raise alike, and an exit on a signal.
    """
    if distributed.world_size() == 1:
        yield
        return
    peers, leaving = _connect(), threading.Event()
    watchers = [threading.Thread(target=_watch, args=(*peer, leaving), daemon=True) for peer in peers.items()]
    sender = threading.Thread(target=_send_signs, args=(list(peers.values()), leaving), daemon=True)
    sender.start()
    for peer, watcher in zip(peers.values(), watchers, strict=True):
        os.register_at_fork(after_in_child=peer.close)  # a data loader's worker must not keep it open
        watcher.start()
    planned = False
    try:
        yield
        planned = True
    except (UserError, SystemExit, KeyboardInterrupt) as error:
        planned = not isinstance(error, Fault)
        raise
    finally:
        leaving.set()
        sender.join()
        for peer in peers.values():
            with contextlib.suppress(OSError):
                if planned:
                    peer.sendall(BYE)
                peer.shutdown(socket.SHUT_WR)
        until = time.monotonic() + PARTING
        for watcher in watchers:  # no thread is left for the interpreter's end to cut off in the middle
            watcher.join(max(0.0, until - time.monotonic()))


def _watch(rank, peer, leaving):
    """Wait for a farewell; without one, end the process."""
    said, missed = ALIVE, 0
    while said and BYE not in said and missed < SILENT:
        try:
            said, missed = peer.recv(64), 0
        except TimeoutError:
            missed += 1
        except OSError:
            said = b""
    if BYE in said or leaving.is_set():
        return
    who = "the main process" if rank == 0 else f"process {rank}"
    ended = f"has given no sign of life for {missed * SIGN:.0f} s (stopped?)" if missed else "has ended"
    why = "" if missed else " (killed, or for the reason that it gave)"
    print(
        f"error: process {distributed.rank()} stops because {who} {ended}{why}; the same command goes on from the last "
        "checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # the main thread may wait for the dead one in a collective for ever; files appear whole or not at all


def _send_signs(peers, leaving):
    """Tell all peers again and again that this process lives."""
    while not leaving.wait(SIGN):
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.sendall(ALIVE)


def _connect():
    """Connections by the rank at their other end: the main process has all, the others have its."""
    host = os.environ["MASTER_ADDR"]
    listener = token = None
    if distributed.is_main():
        listener = socket.create_server((host if host in LOCAL else "", 0))
        token = secrets.token_hex(16)
    port, token = distributed.broadcast_object((listener and listener.getsockname()[1], token))
    try:
        peers = _accept(listener, token) if listener else {0: _call(host, port, token)}
    except OSError as error:
        told = "Process %d cannot watch the others (%s): if one dies, the rest may wait for it without end"
        logger.warning(told, distributed.rank(), error)
        return {}
    for peer in peers.values():
        _keep_alive(peer)
    return peers


def _accept(listener, token):
    peers = {}
    with listener:
        listener.settimeout(CONNECTING)
        while len(peers) < distributed.world_size() - 1:
            peer, _ = listener.accept()
            peer.settimeout(CONNECTING)
            given, _, rank = peer.makefile("rb").readline(64).decode("ascii", "replace").partition(" ")
            if secrets.compare_digest(given, token):
                peers[int(rank)] = peer
            else:
                peer.close()
    return peers


def _call(host, port, token):
    peer = socket.create_connection((host, port), CONNECTING)
    peer.sendall(f"{token} {distributed.rank()}\n".encode())
    return peer


def _keep_alive(peer):
    peer.settimeout(SIGN)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in PROBES:
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
