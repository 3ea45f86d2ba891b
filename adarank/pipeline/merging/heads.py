"""Members' heads on one shared body, and their unlabelled texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerBase

from adarank.errors import InputError, Problem, input_error
from adarank.merging.learned.learning import Unlabelled
from adarank.merging.task_vectors import Member
from adarank.models.loading import loading
from adarank.pipeline.merging.base import Base
from adarank.tasks.texts import pad_texts


def check_heads(members: Sequence[Member]) -> None:
    """Refuse members that predict nothing: InputError with all of them."""
    problems = [
        Problem(
            "the member has no head, so it predicts nothing",
            member.task,
            "no tensor outside the base",
            "a classifier's head: modules_to_save, or a whole model with its head",
            "save the adapter with its classifier, or merge by a method that needs no texts",
        )
        for member in members
        if not member.head
    ]
    if problems:
        raise InputError(*problems)


def with_heads(base: Base, body: nn.Module, members: Sequence[Member]) -> list[nn.Module]:
    """Build every member's classifier on the same body.

    Args:
        base: The base model.
        body: Its loaded model; each result holds this very module.
        members: With their heads.

    Raises:
        InputError: Every member without a classifier's head, or with one that does not fit the
            class that transformers has for this model.
    """
    check_heads(members)
    return [_with_head(base, body, member) for member in members]


def _with_head(base: Base, body: nn.Module, member: Member) -> nn.Module:
    rows = [len(t) for name, t in sorted(member.head.items()) if name.endswith(".weight")]
    with (
        loading("no classifier of this model", base.folder, expected="a model that classifies"),
        torch.device("meta"),
    ):
        config: Any = AutoConfig.from_pretrained(
            base.folder, local_files_only=True, trust_remote_code=False
        )
        config.num_labels = rows[-1]
        model: Any = AutoModelForSequenceClassification.from_config(config)
    setattr(model, base.prefix, body)
    own = set(model.state_dict()) - {f"{base.prefix}.{n}" for n in body.state_dict()}
    unfit = sorted(own ^ (member.head.keys() - {f"{base.prefix}.{n}" for n in body.state_dict()}))
    if unfit:
        raise input_error(
            "the member's head is not that of this model's classifier",
            where=f"{member.task}: {unfit[0]}",
            got=", ".join(sorted(member.head)),
            expected=", ".join(sorted(own)),
            remedy="use adarank.merging with models of your own heads",
        )
    model.load_state_dict(dict(member.head), strict=False, assign=True)
    return model.eval().requires_grad_(False)


def unlabelled(
    models: Sequence[tuple[nn.Module, str]],
    members: Sequence[Member],
    texts: Mapping[str, Sequence[str]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> list[Unlabelled]:
    """Encode every member's texts.

    Args:
        models: Each member's model, and the dotted name of the shared body in it.
        members: In the same order.
        texts: By task.
        tokenizer: The base's.
        max_length: Longest text in tokens.

    Raises:
        InputError: A member without texts, texts of no member, or texts of no rows.
    """
    problems = [
        Problem(
            "no texts of this task",
            f"texts of {member.task}",
            "none" if member.task not in texts else "no rows",
            "unlabelled texts of every task, one a line",
            f"--texts {member.task}=FILE",
        )
        for member in members
        if not texts.get(member.task)
    ]
    strange = sorted(texts.keys() - {member.task for member in members})
    problems += [Problem("texts of no member", f"texts of {name}") for name in strange]
    if problems:
        raise InputError(*problems)
    found: list[Unlabelled] = []
    for member, (model, prefix) in zip(members, models, strict=True):
        rows = tokenizer(list(texts[member.task]), truncation=True, max_length=max_length)
        fields = list(rows)
        count = len(texts[member.task])
        examples = [{field: rows[field][index] for field in fields} for index in range(count)]
        found.append(Unlabelled(member.task, model, prefix, examples, _collating(tokenizer)))
    return found


def _collating(tokenizer: PreTrainedTokenizerBase) -> Any:
    def collate(examples: Sequence[Mapping[str, Any]]) -> Mapping[str, Tensor]:
        return pad_texts(tokenizer, [dict(example) for example in examples])

    return collate
