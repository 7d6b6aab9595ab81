"""report.html: one page for a run, complete in itself."""

from .page import write

__all__ = ["write"]
