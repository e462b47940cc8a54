"""Work on images, shared among processes of this machine: each opens it once, and one that dies
takes only its own image's answer with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, TypeVar

from regild.agent.reading.many import Work, answered
from regild.errors import HostError, RegildError
from regild.host.remote import approve, approved_hosts
from regild.model.progress import Progress, Silent, begin_count

T = TypeVar("T")


def shared(
    work: Work[T], images: tuple[Path, ...], workers: int, progress: Progress
) -> Iterator[T | RegildError]:
    """What a piece of work answers for each image, or why it cannot, in the order of the images."""
    # Not forked: the thread that draws progress would be copied in the middle of its work.
    method = multiprocessing.get_context("spawn")
    begin_count(progress, f"Reading {len(images)} images", len(images))
    begin = (work, approved_hosts())
    with ProcessPoolExecutor(workers, method, initializer=begin_here, initargs=begin) as pool:
        futures = [pool.submit(answer_here, image) for image in images]
        try:
            for image, future in zip(images, futures, strict=True):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    yield HostError(where=f"the reading of {image}", why="its process died")
                progress.advance(1)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Process:
    """What one process of several has open: it ends with the process."""

    def __init__(self, work: Work[Any], wanted: bytes) -> None:
        self.wanted = wanted
        self._stack = contextlib.ExitStack()
        self._work = work
        self._desk: Callable[[Path], Any] | None = None

    def close(self) -> None:
        """Close what the work has open."""
        self._stack.close()

    def answer(self, image: Path) -> Any:
        """The answer for an image, or the error; so is what opening the work fails with."""
        try:
            if self._desk is None:
                self._desk = self._stack.enter_context(self._work.open(Silent()))
        except RegildError as error:
            return error
        return answered(self._desk, image)


_process: list[_Process] = []
_alone = threading.Lock()


def begin_here(work: Work[Any], hosts: tuple[str, ...]) -> None:
    """Make this process one that does a piece of work; it keeps what the same work has open."""
    wanted = pickle.dumps((work, hosts))
    with _alone:
        if _process and _process[0].wanted == wanted:
            return
        for other in _process:
            other.close()
        approve(hosts)
        process = _Process(work, wanted)
        _process[:] = [process]
        # A process of a pool runs these at its end, and nothing else.
        Finalize(None, process.close, exitpriority=10)


def answer_here(image: Path) -> Any:
    """The answer of this process's work for an image, or the error; one at a time."""
    with _alone:
        return _process[0].answer(image)
