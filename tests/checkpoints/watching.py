"""What a piece of code does to the machine, seen through Python's audit events."""

import contextlib
import sys

from kernelscope.features import outline

#: reading the folder tree, and opening files to read, is what a reader is for
_HARMLESS = ("os.scandir", "os.listdir", "os.walk", "os.fwalk", "os.getxattr", "os.listxattr")
_HARMFUL = ("os.", "subprocess.", "socket.", "shutil.", "pty.", "ctypes.dlopen", "webbrowser.", "pickle.find_class")
_seen: list[str] | None = None
_opened: list[str] | None = None


def _watch(event, arguments):
    if _opened is not None and event == "open":
        _opened.append(str(arguments[0]))
    if _seen is None:
        return
    if event == "subprocess.Popen" and outline.__file__ in arguments[1]:
        return  # kernelscope's own child, which looks into HDF5 in place of this process
    if event.startswith(_HARMFUL) and event not in _HARMLESS:
        _seen.append(f"{event} {arguments}")
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        _seen.append(f"open {arguments}")
    elif event == "import" and str(arguments[0]).partition(".")[0] == "strangers":
        _seen.append(f"import {arguments[0]}")


sys.addaudithook(_watch)  # there is no way to take it off again, so it sleeps between tests


@contextlib.contextmanager
def watching():
    """Gives a list that holds, afterwards, whatever a reader of files has no need to do."""
    global _seen
    seen = _seen = []
    try:
        yield seen
    finally:
        _seen = None


@contextlib.contextmanager
def opening():
    """Gives a list that holds, afterwards, every file that was opened."""
    global _opened
    opened = _opened = []
    try:
        yield opened
    finally:
        _opened = None
