"""The one door to merging: models in memory, or folders."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from torch import nn
from transformers import PreTrainedTokenizerBase

from adarank.errors import input_error
from adarank.merging.closed_form import MergedWeights
from adarank.merging.learned.learning import Learning
from adarank.merging.learned.merge import Learned, merge_learned
from adarank.merging.learned.state import State
from adarank.merging.loaded import member_of, with_body
from adarank.merging.merged import Merged
from adarank.merging.parameters import Value
from adarank.merging.registry import Method, complete, method_named
from adarank.merging.task_vectors import Member, Vector, excluded_of
from adarank.models.stacks import base_model
from adarank.pipeline.artifacts.model import load_model, load_tokenizer
from adarank.pipeline.merging.base import Base, read_base
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
        learning_on = partial(_in_memory, base, members, tokenizer)
    else:
        found = read_base(Path(base))
        read = read_members(found, {task: _folder(task, m) for task, m in members.items()})
        learning_on = partial(_from_folder, found, tokenizer)
    if not chosen.learned:
        return _merged(chosen, values, read, dict(MergedWeights(read, chosen, values, seed)))
    check_heads(read)
    body, models, known = learning_on(read)
    rows = unlabelled(models, read, texts or {}, known, max_length)
    learned = merge_learned(
        body, read, chosen, values, rows, learning, state=state, on_step=on_step
    )
    return _merged(chosen, values, read, learned.vectors, learned)


def learn_from_folders(
    base: Base,
    members: Sequence[Member],
    method: Method,
    values: Mapping[str, Value],
    texts: Mapping[str, Sequence[str]],
    learning: Learning,
    *,
    max_length: int = 128,
    state: State | None = None,
    on_step: Callable[[State], None] | None = None,
) -> Learned:
    """Merge by a learned method what has been read from folders; see `merge`."""
    check_heads(members)
    body, models, tokenizer = _from_folder(base, None, members)
    rows = unlabelled(models, members, texts, tokenizer, max_length)
    return merge_learned(
        body, members, method, values, rows, learning, state=state, on_step=on_step
    )


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


_Learnable = tuple[nn.Module, list[tuple[nn.Module, str]], PreTrainedTokenizerBase]
"""The shared body; each member's model and the body's name in it; the tokenizer."""


def _in_memory(
    base: nn.Module,
    models: Mapping[str, nn.Module | Path | str],
    tokenizer: PreTrainedTokenizerBase | None,
    read: Sequence[Member],  # noqa: ARG001
) -> _Learnable:
    if tokenizer is None:
        raise input_error("models in memory need their tokenizer", where="tokenizer")
    body = base_model(base)[1]
    headed = [with_body(m, body) for m in models.values() if isinstance(m, nn.Module)]
    return body, headed, tokenizer


def _from_folder(
    base: Base, tokenizer: PreTrainedTokenizerBase | None, read: Sequence[Member]
) -> _Learnable:
    body = load_model(base.folder)
    headed = [(model, base.prefix) for model in with_heads(base, body, read)]
    return body, headed, tokenizer or load_tokenizer(base.folder)


def _merged(
    method: Method,
    values: Mapping[str, Value],
    read: Sequence[Member],
    vectors: Mapping[str, Vector],
    learned: Learned | None = None,
) -> Merged:
    heads = {member.task: member.head for member in read}
    return Merged(method.name, values, vectors, heads, excluded_of(read), learned)


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
