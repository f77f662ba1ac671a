"""Cells as tasks of a Dask cluster: the scheduler deals with workers that are lost, the folder keeps the results."""

import contextlib
import contextvars
import logging
from collections.abc import Callable, Iterator
from typing import Any

RETRIES = 3  # of a task that failed
_EXECUTOR: contextvars.ContextVar[Any] = contextvars.ContextVar("executor", default=None)


def current() -> Any:
    """The executor of the cluster that `connect` opened, or None.

    >>> current() is None
    True
    """
    return _EXECUTOR.get()


@contextlib.contextmanager
def connect(address: str, *, timeout: float = 300.0, platform: str | None = None, cache: Any = None) -> Iterator[Any]:
    """While this is open, every sweep sends its missing cells to a Dask cluster.

    Workers need this package and must see the folder of the run under the same path. A task whose worker is lost is
    given to another one; what was finished is kept in the folder, so an interrupted run goes on when it is started
    again, on this cluster or without one.

    Args:
        address: "tcp://HOST:PORT" of a scheduler, or "local:N" for N worker processes on this machine.
        timeout: Seconds to wait for the scheduler and for its first worker.
        platform: What workers compute on ("cpu", "cuda", "tpu"); by default the best device that each has. It must be
            what the client computes on, since results of different platforms are different cells.
        cache: Folder of the persistent compilation cache of the workers.

    Raises:
        ValueError: If Dask is not installed, the address is none, nobody answers there, or there is no worker.

    >>> with connect("local:0"):
    ...     pass
    Traceback (most recent call last):
        ...
    ValueError: --cluster is tcp://HOST:PORT of a Dask scheduler, or local:N with N workers, at least 1; got 'local:0'.
    """
    kind, _, rest = address.partition(":")
    local = kind == "local"
    if (local and not (rest.isdigit() and int(rest) > 0)) or (not local and not rest.startswith("//")):
        raise ValueError(
            f"--cluster is tcp://HOST:PORT of a Dask scheduler, or local:N with N workers, at least 1; got {address!r}."
        )
    try:
        import distributed
    except ImportError:
        raise ValueError(
            f"--cluster {address} needs Dask, which is not installed; pip install 'width-expressivity[cluster]'."
        ) from None
    with contextlib.ExitStack() as stack:
        if local:
            place: Any = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=int(rest),
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=None,  # pyright: ignore[reportArgumentType]  none is served
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
            )
        else:
            place = address
        try:
            client = stack.enter_context(distributed.Client(place, timeout=timeout))
            client.wait_for_workers(1, timeout=timeout)
        except (OSError, TimeoutError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ValueError(
                f"The Dask cluster {address} does not answer with a worker within {timeout:g} s ({reason}); start "
                "`dask scheduler` and `dask worker` with this package, and name the scheduler's address."
            ) from None
        executor = Executor(client, platform, None if cache is None else str(cache))
        token = _EXECUTOR.set(executor)
        try:
            yield executor
        finally:
            _EXECUTOR.reset(token)


class Executor:
    """Sends work to the workers of a Dask client, which first choose their platform and compilation cache.

    Args:
        client: The client.
        platform: What they compute on.
        cache: The folder of their cache.
    """

    def __init__(self, client: Any, platform: str | None, cache: str | None) -> None:
        self.client, self.platform, self.cache = client, platform, cache
        self._executor = client.get_executor(retries=RETRIES, pure=False)

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        """A future of `concurrent.futures`; a task that fails, and one whose worker is lost, is tried again."""
        return self._executor.submit(prepared, self.platform, self.cache, function, *args)


def prepared(platform: str | None, cache: str | None, function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)` on a worker, after its settings: it may have been restarted since it last got some."""
    import jax

    from expressivity.training import enable_compilation_cache

    known = jax.config.values
    if platform is not None and known["jax_platforms"] != platform:
        jax.config.update("jax_platforms", platform)
    if cache is not None and known["jax_compilation_cache_dir"] != cache:
        enable_compilation_cache(cache)
    return function(*args)
