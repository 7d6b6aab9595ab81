"""HDF5 files that all ranks write at once, without a parallel HDF5, and that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from .errors import OutputError
from .parallel import on_root


@dataclass(frozen=True)
class Rows:
    """A dataset of which each rank has some pieces.

    total:  rows of the whole
    pieces: this rank's, by the row with which each begins; all ranks' rows have one shape and type
    """

    total: int
    pieces: Mapping[int, npt.NDArray]

    @property
    def row(self) -> npt.NDArray:
        """An array of one row's shape and type, which has no rows."""
        return next(iter(self.pieces.values()))[:0]


def write(comm: MPI.Comm, path: Path, datasets: Mapping[str, Rows], attributes: Mapping[str, Any] | None = None) -> None:
    """Write a file in one go, under its name only once it is complete and on the disk. Collective.

    Rank 0 lays the file out and every rank writes its rows at their places, since rows of a contiguous dataset lie one after the other.
    Raises OutputError, the same on every rank, if the disk is full or the folder cannot be written; what was there under that name stays.
    """
    partial = path.with_name(path.name + ".partial")
    shapes = {name: (rows.total, *rows.row.shape[1:]) for name, rows in datasets.items()}
    try:
        offsets = _checked(comm, path, lambda: on_root(comm, lambda: _lay_out(partial, shapes, datasets, attributes or {})))
        together(comm, path, lambda: _write_rows(partial, datasets, offsets))
        _checked(comm, path, lambda: on_root(comm, lambda: replace(partial, path)))
    except OutputError:
        if comm.rank == 0:
            partial.unlink(missing_ok=True)
        raise


def _lay_out(path: Path, shapes: Mapping[str, tuple[int, ...]], datasets: Mapping[str, Rows], attributes: Mapping[str, Any]) -> list[int]:
    """Where the datasets begin in the file, in bytes."""
    offsets = []
    with h5py.File(path, "w", locking=False) as file:
        for key, value in attributes.items():
            file.attrs[key] = value
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        for name, shape in shapes.items():
            kind = h5py.h5t.py_create(datasets[name].row.dtype)
            dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), plan, links)
            offsets.append(int(dataset.get_offset() or 0))
    return offsets


def _write_rows(path: Path, datasets: Mapping[str, Rows], offsets: list[int]) -> None:
    with path.open("r+b", buffering=0) as file:
        for rows, offset in zip(datasets.values(), offsets, strict=True):
            for first, piece in rows.pieces.items():
                data = memoryview(np.ascontiguousarray(piece).view(np.uint8).reshape(-1))  # type: ignore[arg-type]
                place = offset + first * int(np.prod(piece.shape[1:], dtype=np.int64)) * piece.itemsize
                while data:
                    written = os.pwrite(file.fileno(), data, place)
                    data, place = data[written:], place + written
        os.fsync(file.fileno())


def replace(partial: Path, path: Path) -> None:
    """Give a complete file its name, for good."""
    os.replace(partial, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A name survives a crash of the machine only once its folder is on the disk."""
    with contextlib.suppress(OSError):  # not all file systems can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a small file under its name only once it is complete. On one rank; raises OutputError."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise cannot_write(path, error) from None


def together(comm: MPI.Comm, path: Path, work: Callable[[], None]) -> None:
    """Do `work` on every rank; an OSError on any becomes an OutputError on all. Collective."""
    failure = None
    try:
        work()
    except OSError as error:
        failure = cannot_write(path, error)
    failures = [other for other in comm.allgather(failure) if other is not None]
    if failures:
        raise failures[0]


def _checked(comm: MPI.Comm, path: Path, work: Callable[[], Any]) -> Any:
    """Do `work`, which fails on all ranks alike."""
    try:
        return work()
    except OSError as error:
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    of_hdf5 = re.search(r"errno = (\d+)", reason)  # among all that it says
    return OutputError(f"cannot write {path}: {os.strerror(int(of_hdf5[1])) if of_hdf5 else reason}")


def read_rows(path: Path, name: str, first: int, count: int) -> npt.NDArray:
    """Some rows of a dataset; every rank reads for itself."""
    with h5py.File(path, "r", locking=False) as file:
        rows: npt.NDArray = file[name][first : first + count]
        return rows
