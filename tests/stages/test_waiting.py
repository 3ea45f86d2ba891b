"""Threads of torch spin but shortly while they wait, unless the user says otherwise."""

import os
import subprocess
import sys

import pytest

SHOW = """
import os, sys, {package}
print(os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)
"""


@pytest.mark.parametrize("package", ["stages", "adarank.commands"])
@pytest.mark.parametrize(("before", "after"), [(None, "2000"), ("7", "7")])
def test_the_count_is_set_before_torch_is_loaded(
    package: str, before: str | None, after: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    environment |= {"GOMP_SPINCOUNT": before} if before else {}
    said = subprocess.run(
        [sys.executable, "-c", SHOW.format(package=package)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == [after, "False"]
