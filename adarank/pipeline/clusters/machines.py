"""Whether machines can run units at all, asked before any work starts."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adarank.errors import InputError, Problem
from adarank.pipeline.clusters.versions import differences


def check_machines(reports: Iterable[str], expected: Mapping[str, str]) -> None:
    """Check what machines said of themselves; see `versions.main`.

    Args:
        reports: Of each machine, JSON.
        expected: The versions here.

    Raises:
        InputError: For every machine that has another version or cannot use the store.
    """
    problems = [p for report in reports for p in _problems(json.loads(report), expected)]
    if problems:
        raise InputError(*problems)


def other_versions(host: str, different: list[str]) -> Problem:
    """Describe a machine that has other versions."""
    return Problem(
        "a machine has other versions than this one",
        where=host,
        got=", ".join(different),
        expected="the same, or results would differ with the machine",
        remedy="make its environment again: pip install -c constraints.txt 'adarank[ray]'",
    )


def _problems(report: Mapping[str, Any], expected: Mapping[str, str]) -> Iterator[Problem]:
    host = report["host"]
    if "broken" in report:
        yield Problem(
            "a machine cannot read the scratch store, or run what lies there",
            where=host,
            got=report["broken"],
            expected="ADARANK_SCRATCH: a folder that all machines share, or s3://bucket/prefix, "
            "and permission to read and write there",
        )
        return
    if different := differences(expected, report["versions"]):
        yield other_versions(host, different)
    if report["store"]:
        yield Problem(
            "a machine cannot write to the scratch store",
            where=host,
            got=report["store"],
            remedy="grant it write access; a machine's own environment holds its keys to s3://",
        )
