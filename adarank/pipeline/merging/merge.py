"""The one door to merging: models in memory, or folders."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import nn
from transformers import PreTrainedTokenizerBase

from adarank.errors import input_error
from adarank.merging.closed_form import MergedWeights
from adarank.merging.learned.learning import Learning, Unlabelled
from adarank.merging.learned.merge import merge_learned
from adarank.merging.learned.state import State
from adarank.merging.loaded import member_of, with_body
from adarank.merging.merged import Merged
from adarank.merging.parameters import Value
from adarank.merging.registry import Method, complete, method_named
from adarank.merging.task_vectors import Member
from adarank.models.stacks import base_model
from adarank.pipeline.artifacts.model import load_model, load_tokenizer
from adarank.pipeline.merging.base import read_base
from adarank.pipeline.merging.heads import check_heads, unlabelled, with_heads
from adarank.pipeline.merging.reading import read_members

_DEFAULTS = Learning()


def merge(
    base: nn.Module | Path | str,
    members: Mapping[str, nn.Module | Path | str],
    method: str = "task_arithmetic",
    *,
    values: Mapping[str, Value] | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    learning: Learning = _DEFAULTS,
    max_length: int = 128,
    seed: int = 0,
    state: State | None = None,
    on_step: Callable[[State], None] | None = None,
) -> Merged:
    """Merge models that were fine-tuned from one base.

    Args:
        base: The pretrained model, in memory or its folder.
        members: By task: PEFT's LoRA adapters, of any ranks, or whole models; in memory where the
            base is, else folders.
        method: A name of `adarank.merging.registry.METHODS`.
        values: The method's parameters that differ from their defaults, such as
            `{"scaling": 0.5}`.
        texts: By task, for learned methods: unlabelled texts. Labels are never read.
        tokenizer: For texts; that of the base's folder if None.
        learning: Steps, batches and stopping of learned methods.
        max_length: Longest text in tokens.
        seed: Decides what is random in a closed form; a learned method's is `learning.seed`.
        state: Where a learned method goes on from.
        on_step: Gets the state of a learned method after every step.

    Returns:
        What to add to the base, and each task's head.

    Raises:
        InputError: Unfit members, parameters or texts; all that is wrong at once.
        RunError: An objective that is not finite.
    """
    chosen = method_named(method)
    values = complete(chosen, values or {})
    check_texts(chosen, texts)
    if isinstance(base, nn.Module):
        read = [_loaded(task, member, base) for task, member in members.items()]
        models = list(members.values())
    else:
        folder = Path(base)
        found = read_base(folder)
        read = read_members(found, {task: _folder(task, m) for task, m in members.items()})
        models = []
    heads = {member.task: member.head for member in read}
    excluded = tuple(sorted({name for member in read for name in member.excluded}))
    if not chosen.learned:
        vectors = dict(MergedWeights(read, chosen, values, seed))
        return Merged(method, values, vectors, heads, excluded)

    check_heads(read)
    if isinstance(base, nn.Module):
        body = base_model(base)[1]
        shared = [with_body(m, body) for m in models if isinstance(m, nn.Module)]
        if tokenizer is None:
            raise input_error("models in memory need their tokenizer", where="tokenizer")
    else:
        body = load_model(Path(base)).eval()
        shared = [(model, found.prefix) for model in with_heads(found, body, read)]  # pyright: ignore[reportPossiblyUnboundVariable]
        tokenizer = tokenizer or load_tokenizer(Path(base))
    rows: list[Unlabelled] = unlabelled(shared, read, texts or {}, tokenizer, max_length)
    learned = merge_learned(
        body, read, chosen, values, rows, learning, state=state, on_step=on_step
    )
    return Merged(method, values, learned.vectors, heads, excluded, learned)


def check_texts(method: Method, texts: Mapping[str, Sequence[str]] | None) -> None:
    """Refuse a learned method without texts, and texts that no method would read.

    Raises:
        InputError: Either.
    """
    if method.learned and not texts:
        raise input_error(
            f"{method.name} learns on unlabelled texts",
            where="texts",
            got="none",
            expected="texts of every task",
            remedy="give texts, or choose a method that needs none, such as tsv_m",
        )
    if texts and not method.learned:
        raise input_error(
            f"{method.name} reads no texts", where="texts", got=", ".join(texts), expected="none"
        )


def _loaded(task: str, member: nn.Module | Path | str, base: nn.Module) -> Member:
    if not isinstance(member, nn.Module):
        raise input_error(
            "models in memory and folders cannot be mixed",
            where=f"members: {task}",
            got=str(member),
            expected="a model in memory, as the base is",
            remedy="load it, or name the base's folder",
        )
    return member_of(task, member, base)


def _folder(task: str, member: nn.Module | Path | str) -> Path:
    if isinstance(member, nn.Module):
        raise input_error(
            "models in memory and folders cannot be mixed",
            where=f"members: {task}",
            got=type(member).__name__,
            expected="a folder, as the base is",
            remedy="pass the base as a model in memory",
        )
    return Path(member)
