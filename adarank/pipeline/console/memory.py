"""What to change where memory does not suffice."""

from adarank.errors import Problem

_REMEDIES = {
    "score": "a smaller score.memory_gb, score.batch_size or signal.batch_size, or "
    "probe.max_length; score.precision: bfloat16 halves the model",
    "finetune": "a smaller finetune.batch_size or finetune.max_length; on a GPU also "
    "finetune.bf16: true",
    "evaluate": "a smaller evaluate.batch_size, or finetune.max_length",
    "adarank": "fewer --rows or a smaller --max-length",
}


def memory_problem(name: str, error: Exception) -> Problem:
    """Describe what did not fit in memory, and which setting makes it smaller.

    No batch is halved in silence: the weights that a smaller one trains are another result, and
    the predictions of one may be in their last bits.

    Args:
        name: The stage, and its cell if it has one.
        error: What `out_of_memory` has recognised.
    """
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    remedy = next((words for stage, words in _REMEDIES.items() if name.startswith(stage)), "")
    return Problem("memory does not suffice", name, first, remedy=remedy)
