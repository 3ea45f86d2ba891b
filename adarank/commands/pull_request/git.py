"""What Git knows of the two sides: the commit compared with, and files as they were there."""

import subprocess

from adarank.errors import InputError, input_error


def base_commit(base: str) -> str:
    """Find the commit that a branch left `base` at, which is what its changes are against.

    Against the base's own tip a branch that lags behind would seem to undo what came since.

    Raises:
        InputError: No repository, a shallow clone, no such revision, or no common history.
    """
    inside = _git("rev-parse", "--is-shallow-repository")
    if inside.returncode:
        raise input_error("not a Git repository", got=inside.stderr.strip(), remedy="git init")
    if inside.stdout.strip() == "true":
        raise _shallow(base)
    found = [commit for name in (base, f"origin/{base}") if (commit := _commit(name))]
    if not found:
        raise _unknown(base)
    common = _git("merge-base", found[0], "HEAD").stdout.strip()
    if not common:
        raise input_error(
            "no history in common", where=f"{base} and HEAD", remedy="give another base"
        )
    return common


def shown(commit: str, path: str) -> str | None:
    """Read a file as it was in a commit; None where it was not there."""
    done = _git("show", f"{commit}:{path}")
    return None if done.returncode else done.stdout


def uncommitted() -> list[str]:
    """List the files that the next commit would change, and those that Git does not know."""
    return [line[3:] for line in _git("status", "--porcelain").stdout.splitlines()]


def _commit(name: str) -> str:
    wanted = ("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    # Git 2.30 and older prints the option itself too.
    return _git("rev-parse", *wanted).stdout.strip().removeprefix("--end-of-options").strip()


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["git", "-c", "core.quotePath=false", *arguments]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )


def _shallow(base: str) -> InputError:
    return input_error(
        "a shallow clone lacks the history to compare with",
        where=f"--base {base}",
        remedy="`fetch-depth: 0` for actions/checkout, or `git fetch --unshallow`",
    )


def _unknown(base: str) -> InputError:
    return input_error(
        "no such revision",
        where="--base",
        got=base,
        expected="a branch, tag or commit of this clone, here or at origin",
        remedy="`git fetch origin`, or correct the name",
    )
