"""A screen to draw on where there is none, as on a cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import InputError

OWN_SCREENS = {"vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow", "vtkWin32OpenGLRenderWindow", "vtkCocoaRenderWindow"}
"""VTK's classes that need no X, where it has been built with them."""


@contextmanager
def screen() -> Iterator[None]:
    """Something that VTK can draw on: a virtual screen if Xvfb is installed, else a real one, else VTK's own means.

    Raises InputError if there is none: VTK would end the process.
    """
    if shutil.which("Xvfb"):
        with virtual_screen():
            yield
        return
    from vtkmodules import vtkRenderingOpenGL2

    if not (os.environ.get("DISPLAY") or OWN_SCREENS & set(dir(vtkRenderingOpenGL2))):
        raise InputError("there is no screen to draw the movie on, nor a virtual one: install Xvfb (Debian: apt install xvfb)")
    yield


@contextmanager
def virtual_screen() -> Iterator[str]:
    """Xvfb on a number that is free, as the DISPLAY of this process and its children.

    Raises OSError if it does not start.
    """
    reading, writing = os.pipe()
    before = os.environ.get("DISPLAY")
    quiet = subprocess.DEVNULL
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1920x1200x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, pass_fds=(writing,)) as server:
        try:
            os.close(writing)
            with os.fdopen(reading) as pipe:
                number = pipe.readline().strip()  # nothing, if the server has ended
            if not number:
                raise OSError("Xvfb, the virtual screen to draw on, does not start")
            os.environ["DISPLAY"] = f":{number}"
            yield f":{number}"
        finally:
            server.terminate()
            if before is None:
                os.environ.pop("DISPLAY", None)
            else:
                os.environ["DISPLAY"] = before
