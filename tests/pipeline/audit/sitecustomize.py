"""Note every file that a Python process opens or renames to, below the folder it starts in.

Python runs a module of this name at its start; the folder goes on PYTHONPATH, and AUDIT_FOLDER
says where the notes go, one file a process: its command, then `r PATH` or `w PATH` a line.
"""

import os
import sys

_root = os.getcwd() + os.sep  # noqa: PTH109
_folder = os.environ.get("AUDIT_FOLDER")
_writing = os.O_WRONLY | os.O_RDWR


def _watch(folder: str) -> None:
    path = os.path.join(folder, f"{os.getpid()}.txt")  # noqa: PTH118
    notes = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(notes, (" ".join(["python", *sys.orig_argv[1:]]) + "\n").encode())

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, os.PathLike)):
            mode = "w" if isinstance(args[2], int) and args[2] & _writing else "r"
            note(mode, args[0])
        elif event == "os.rename" and isinstance(args[1], (str, os.PathLike)):
            note("w", args[1])

    def note(mode: str, target: "str | os.PathLike[str]") -> None:
        full = os.path.abspath(target)  # noqa: PTH100
        # A folder is opened to be synced, which reads nothing of it.
        if full.startswith(_root) and "__pycache__" not in full and not os.path.isdir(full):  # noqa: PTH112
            os.write(notes, f"{mode} {full.removeprefix(_root)}\n".encode())

    sys.addaudithook(hook)


if _folder:
    _watch(_folder)
