"""Locks on compiled code. FFCx makes an empty `libffcx_*.c` before it compiles, and the mark `.c.cached` when it is done. A process that is
killed in between leaves a lock that is never opened: it is told from one that is held, and removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import sys
import time as clock
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mpi4py import MPI

from .errors import InputError
from .parallel import on_root

T = TypeVar("T")

OPTIONS = {"cffi_extra_compile_args": ["-O2", "-g0"]}
PATIENCE = 120  # seconds for another process to compile the same, on a busy machine
YOUNG = 10.0  # seconds for which another program that does not know of the file OWNERS may own a lock
OWNERS = "fem_diffusion.lock"


def compiled(comm: MPI.Comm, compile: Callable[[dict[str, Any]], T]) -> T:
    """`compile` of options for DOLFINx's compiler, of which rank 0 compiles and the others find the code. Collective.

    All processes that may compile share the file OWNERS, and the system takes a killed one's share away. So whoever has it to himself knows
    that the locks that are left have no owner.

    Raises InputError, the same on every rank, that names the lock if another process does not finish.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fenics"
    give_up = clock.monotonic() + PATIENCE
    # rank 0 comes back to look after each second; what it has compiled the others find at once, where they share its disk
    options = OPTIONS | {"timeout": 1 if comm.rank == 0 else PATIENCE}
    while True:
        try:
            with _sharing(cache) if comm.rank == 0 else contextlib.nullcontext():
                return compile(options)
        except TimeoutError as error:
            if comm.size > 1:
                raise _locked(_named(error)) from None  # on this rank alone: it does not share rank 0's disk
            failure: Exception = error
        except RuntimeError as error:  # on several ranks: rank 0's failure as text, and elsewhere that there was one
            if comm.size == 1 or "just-in-time" not in str(error):
                raise
            failure = error
        on_root(comm, partial(_wait, cache, failure, give_up))


def _wait(cache: Path, failure: Exception, give_up: float) -> None:
    """Raises the failure, if it is none of a lock."""
    if "timed out" not in str(failure):
        raise failure
    lock = _named(failure)
    until = clock.monotonic() + random.uniform(0.1, 0.5)  # others that wait look at other times
    while clock.monotonic() < until:
        if _ownerless(cache, lock):
            lock.unlink(missing_ok=True)
            print(f"warning: removed {lock}: a run was killed while it compiled this", file=sys.stderr)
            return
        clock.sleep(0.01)
    if clock.monotonic() > give_up:
        raise _locked(lock)


def _ownerless(cache: Path, lock: Path) -> bool:
    try:
        with (cache / OWNERS).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return not lock.with_suffix(".c.cached").exists() and clock.time() - lock.stat().st_mtime > YOUNG
    except OSError:  # there are owners, the disk has no locks, or this one is gone
        return False


@contextlib.contextmanager
def _sharing(cache: Path) -> Iterator[None]:
    """Hold a share of the file OWNERS, where the disk can do that."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context((cache / OWNERS).open("a")), fcntl.LOCK_SH)
        yield


def _named(failure: Exception) -> Path:
    """The lock that FFCx's message names."""
    found = re.search(r"remove (\S.*?\.c)\)", str(failure))
    if found is None:
        raise failure
    return Path(found[1])


def _locked(lock: Path) -> InputError:
    return InputError(
        f"compiling the equations took more than {PATIENCE} s: another process is compiling the same on a busy machine (try again), or one was "
        f"killed while it did, and left a lock to remove:\n  rm {lock}"
    )
