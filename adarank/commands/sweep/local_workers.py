"""What each local worker gets of the machine: its threads and its GPU."""

import os
from collections.abc import Mapping, Sequence

THREADS = "OMP_NUM_THREADS"
GPUS = "CUDA_VISIBLE_DEVICES"


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Name the GPUs that may be used, as CUDA_VISIBLE_DEVICES would."""
    import torch  # Here, since a machine's GPUs are asked for only where they are to be shared.

    found = torch.cuda.device_count()
    named = [name.strip() for name in environment.get(GPUS, "").split(",") if name.strip()]
    return named[:found] if named else [str(index) for index in range(found)]


def worker_environment(
    worker: int, jobs: int, cores: int, gpus: Sequence[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return which variables a worker's commands get.

    Args:
        worker: Its number, from 0.
        jobs: How many workers there are.
        cores: Of the machine.
        gpus: That the workers share; one alone, or none, is left as it is.
        environment: The user's; threads that it sets are left as they are.
    """
    variables: dict[str, str] = {}
    if THREADS not in environment:
        variables[THREADS] = str(max(1, cores // jobs))
    if jobs > 1 and len(gpus) > 1:
        variables[GPUS] = gpus[worker % len(gpus)]
    return variables
