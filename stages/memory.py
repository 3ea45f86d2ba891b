"""Memory that does not suffice: telling it from other errors, and what to change."""

from adarank.errors import Problem

_TOLD = ("out of memory", "can't allocate memory", "not enough memory")

_REMEDIES = {
    "score": "a smaller score.memory_gb, score.batch_size or signal.batch_size, or "
    "probe.max_length; score.precision: bfloat16 halves the model",
    "finetune": "a smaller finetune.batch_size or finetune.max_length; on a GPU also "
    "finetune.bf16: true",
    "evaluate": "a smaller evaluate.batch_size, or finetune.max_length",
    "adarank": "fewer --rows or a smaller --max-length",
}


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory did not suffice, on a GPU or a CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error).lower() for words in _TOLD)


def memory_problem(name: str, error: Exception) -> Problem:
    """Say what did not fit, and which setting makes it smaller.

    No batch is halved here in silence: other batches give other last bits, and the trained
    weights of a smaller batch are another result altogether.

    Args:
        name: The stage, and its cell if it has one.
        error: What `out_of_memory` has recognised.
    """
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    remedy = next((told for stage, told in _REMEDIES.items() if name.startswith(stage)), "")
    kept = "; what was finished is kept, and taken up by the next run of the same settings"
    return Problem("memory does not suffice", name, first, remedy=remedy and remedy + kept)
