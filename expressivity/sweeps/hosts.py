"""Several processes on one run: how they find each other."""

import contextlib
import dataclasses
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

_LATER = 10.0  # seconds by which others may have begun to wait later
_SILENCE = 60  # seconds after which a process that says nothing counts as dead, where all work at one network
_POLL = 0.1  # seconds between two tries to reach the coordinator


@dataclasses.dataclass(frozen=True)
class Host:
    """One process of a run that several processes work at.

    Args:
        process: Its number, from 0; process 0 writes tables and figures.
        processes: How many there are.
        run: Where they met.
        timeout: Seconds that the others are waited for at the beginning.
    """

    process: int = 0
    processes: int = 1
    run: str = ""
    timeout: float = 300.0


_HERE = [Host()]


def here() -> Host:
    """What `join` found; without it one process that is alone.

    >>> here().process, here().processes
    (0, 1)
    """
    return _HERE[0]


def check(coordinator: str | None, processes: int | None, process: int | None, timeout: float) -> None:
    """Refuses what cannot be a rendezvous, before anybody waits for it.

    Raises:
        ValueError: If some of the three are given and not all, or one is out of range.

    >>> check("127.0.0.1:4711", 2, 2, 10.0)
    Traceback (most recent call last):
        ...
    ValueError: Processes are numbered from 0: of --processes 2 the last is --process 1; got --process 2.
    """
    given = {"--coordinator": coordinator, "--processes": processes, "--process": process}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < 3:
        some = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
        raise ValueError(
            f"--coordinator HOST:PORT, --processes N and --process K belong together; got {some} without "
            f"{' and '.join(missing)}."
        )
    if timeout <= 0:
        raise ValueError(f"--timeout is a positive number of seconds; got {timeout:g}.")
    if coordinator is None or processes is None or process is None:
        return
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"--coordinator is HOST:PORT, for instance 10.0.0.1:4711; got {coordinator!r}.")
    if processes < 1:
        raise ValueError(f"--processes is at least 1; got {processes}.")
    if not 0 <= process < processes:
        raise ValueError(
            f"Processes are numbered from 0: of --processes {processes} the last is --process {processes - 1}; got "
            f"--process {process}."
        )


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    timeout: float = 300.0,
    stay: bool = False,
) -> Host:
    """Meets the other processes of the run; from then on sweeps and folders of this process are shared with them.

    The meeting is `jax.distributed.initialize`, and its service is shut down once everybody is there and knows the
    devices: cells need no communication, and a service that stays would end all processes when one of them dies.
    Afterwards `jax.devices()` lists the devices of all processes, `jax.local_devices()` those of this one.

    Call it before JAX computes anything. If the others do not come in time, one of them dies meanwhile, or there is no
    device, this prints one sentence and ends the process with status 2: JAX itself would abort it.

    Args:
        coordinator: HOST:PORT of process 0, the same for all. Without it Slurm, Kubernetes, a TPU slice or Open MPI
            say everything.
        processes: How many there are.
        process: The number of this one, from 0.
        timeout: Seconds to wait for the others.
        stay: Whether the service stays, so that devices of different processes can work at one network (see `spread`).
            All processes end when one dies.

    Raises:
        ValueError: If the arguments do not fit together, nothing tells where the others are, or the port is taken.

    >>> join("127.0.0.1", 2, 0)
    Traceback (most recent call last):
        ...
    ValueError: --coordinator is HOST:PORT, for instance 10.0.0.1:4711; got '127.0.0.1'.
    """
    import jax

    check(coordinator, processes, process, timeout)
    end = time.monotonic() + timeout
    if coordinator is not None and process == 0:
        _bindable(coordinator)
    elif coordinator is not None:
        _reach(coordinator, end, timeout)
    with _watched(end, f"Not all {processes or ''} processes came".replace("  ", " "), coordinator, timeout) as watch:
        patience = int(timeout) + 60  # beyond the watch, so that JAX does not abort first
        try:
            jax.distributed.initialize(
                coordinator,
                processes,
                process,
                initialization_timeout=patience,
                heartbeat_timeout_seconds=_SILENCE if stay else patience,
                shutdown_timeout_seconds=_SILENCE if stay else patience,
            )
            jax.local_devices()  # devices are exchanged while the service is there
        except (ValueError, RuntimeError, OSError, KeyError, AssertionError) as error:
            reason = (str(error) or "no such platform").splitlines()[0]
            if not jax.distributed.is_initialized():
                raise ValueError(
                    f"JAX cannot meet the other processes ({reason}); where neither Slurm, Kubernetes, a TPU slice nor "
                    "Open MPI tells where they are, give --coordinator HOST:PORT --processes N --process K."
                ) from None
            # JAX would abort the others if this process ended before they gave up, and abort this one if it raised
            watch.cancel()
            sentence = f"JAX finds no device for this process of several ({reason}); choose another --platform for all."
            _end(sentence, max(0.0, end - time.monotonic()) + _LATER)
        found = Host(jax.process_index(), jax.process_count(), coordinator or "found", timeout)
        if not stay:
            jax.distributed.shutdown()
    _HERE[0] = found
    return found


def _bindable(coordinator: str) -> None:
    port = int(coordinator.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ValueError(
                f"Process 0 cannot open port {port} for the coordinator {coordinator} ({error.strerror}); end what "
                "uses it or choose another port for all processes."
            ) from None


def _reach(coordinator: str, end: float, timeout: float) -> None:
    """Waits until something listens at the address."""
    host, _, port = coordinator.rpartition(":")
    reason = "no answer"
    while time.monotonic() < end:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=max(0.1, end - time.monotonic())).close()
        except OSError as error:
            reason = error.strerror or str(error) or reason
            time.sleep(min(_POLL, max(0.0, end - time.monotonic())))
        else:
            return
    raise ValueError(
        f"No coordinator answers at {coordinator} within {timeout:g} s ({reason}); start process 0 there, or name its "
        "machine and a port that is open between the machines."
    )


def _end(sentence: str, seconds: float = 0.0) -> NoReturn:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
    time.sleep(seconds)
    os._exit(2)


@contextlib.contextmanager
def _watched(end: float, what: str, coordinator: str | None, timeout: float) -> Iterator[threading.Timer]:
    """Ends the process with a sentence if the block takes too long: JAX waits in C++ and would abort."""

    def give_up() -> None:
        place = f" to {coordinator}" if coordinator else ""
        _end(
            f"{what}{place} within {timeout:g} s; start the missing ones, look whether one of them failed, or wait "
            "longer with --timeout SECONDS."
        )

    watch = threading.Timer(max(0.0, end - time.monotonic()), give_up)
    watch.daemon = True
    watch.start()
    try:
        yield watch
    finally:
        watch.cancel()
