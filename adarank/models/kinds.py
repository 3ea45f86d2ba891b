"""What a linear layer is in its block, by its name: query, key, value, dense, up ...

Architectures spell the same role differently; the words below are those spellings, never a list
of architectures. A layer that none of them names keeps its own name as its kind, so that every
linear layer has one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from adarank.errors import InputError, Problem

ALL_LINEAR = "all-linear"

TOKEN_BY_TOKEN = ("query", "dense", "up", "gate", "gate_up", "down", "cross_query", "cross_dense")
"""Kinds whose output at one token is read for that token alone."""


def _spelled(roles: dict[str, str]) -> dict[str, str]:
    return {word: role for role, words in roles.items() for word in words.split()}


ATTENTION = _spelled(
    {
        "query": "query query_proj q q_proj q_lin q_head q_attn wq to_q linear_q project_q"
        " projection_query",
        "key": "key key_proj k k_proj k_lin k_head wk to_k linear_k project_k projection_key",
        "value": "value value_proj v v_proj v_lin v_head wv to_v linear_v project_v"
        " projection_value",
        "qkv": "qkv qkv_proj query_key_value c_attn wqkv in_proj att_proj",
        "kv": "kv kv_proj key_value wkv to_kv",
        "pos_query": "pos_query_proj",
        "pos_key": "pos_key_proj",
        "dense": "dense o o_proj out_proj out_lin c_proj post_proj wo to_out linear_out out"
        " proj projection projection_layer attention_out post output",
    }
)
FEED_FORWARD = _spelled(
    {
        "up": "up_proj wi wi_1 fc1 c_fc fc_in lin1 linear1 linear_1 layer_1 dense_h_to_4h"
        " intermediate intermediate_dense ffn",
        "gate": "gate_proj wi_0",
        "gate_up": "gate_up_proj",
        "down": "down_proj wo fc2 c_proj fc_out lin2 linear2 linear_2 layer_2 dense_4h_to_h"
        " output output_dense ffn_output",
        "router": "gate router",
    }
)
_WRAPPER = "linear"  # the real layer's name in classes that wrap one, under the telling name
_CROSS = re.compile("cross|enc_?dec|encoder_att", re.IGNORECASE)
_INNER_FEED_FORWARD = re.compile("mlp|ffn|feed_?forward", re.IGNORECASE)
_FEED_FORWARD_PART = re.compile("mlp|ff|feed|expert|dense|intermediate|output", re.IGNORECASE)
_GATING = re.compile("gate|router", re.IGNORECASE)


def kind_of(
    path: Sequence[str], shape: tuple[int, int], siblings: Mapping[str, tuple[int, int]]
) -> str:
    """Name the role of a linear layer.

    Args:
        path: Its dotted name within its block, split: ("attention", "output", "dense").
        shape: (d_in, d_out).
        siblings: (d_in, d_out) of the linear layers directly under the same parent, itself
            included, by last name part.

    Returns:
        query, key, value, qkv (fused), dense (attention output), up, gate, gate_up (fused), down;
        with `cross_` before it where a decoder attends to an encoder; else the layer's own name.
    """
    path = path[:-1] if path[-1] == _WRAPPER and len(path) > 1 else path
    if not _in_attention(path, siblings):
        return _feed_forward_kind(path, shape, siblings)
    word = _word(path)
    cross = bool(_CROSS.search(".".join(path)))
    kind = ATTENTION.get(word.lower(), word)
    if cross and kind == "qkv" and shape[1] == 2 * shape[0]:
        kind = "kv"  # GPT-2's cross attention calls key and value together what is else all three
    return f"cross_{kind}" if cross else kind


def check_kinds(kinds: Sequence[str], present: Iterable[str]) -> None:
    """Refuse selectors that match nothing.

    Args:
        kinds: Kinds asked for, or all-linear.
        present: The kind of every linear layer of the model, one item per layer.

    Raises:
        InputError: One problem per kind that no layer has, or that no kind is asked for.
    """
    counts = Counter(present)
    found = ", ".join(f"{kind} ({n})" for kind, n in counts.items())
    if not kinds:
        expected = f"{ALL_LINEAR}, or some of: {found}"
        what, remedy = "no kind of module asked for", f"ask for {ALL_LINEAR}"
        raise InputError(Problem(what, "score.modules", "none", expected, remedy))
    unknown = [kind for kind in kinds if kind != ALL_LINEAR and kind not in counts]
    if unknown:
        raise InputError(*(_unknown(kind, list(counts), found) for kind in unknown))


def _unknown(kind: str, present: list[str], found: str) -> Problem:
    near = _nearest(kind, present)
    return Problem(
        "no linear layer of this model is of this kind",
        got=kind,
        expected=f"{ALL_LINEAR}, or some of: {found}",
        remedy=f"write {near}" if near else f"write {ALL_LINEAR}, or a kind that the model has",
    )


def _nearest(kind: str, present: list[str]) -> str | None:
    word = kind.lower()
    fused = {"query": "qkv", "key": "qkv", "value": "qkv", "up": "gate_up", "gate": "gate_up"}
    roles = [word, ATTENTION.get(word, ""), FEED_FORWARD.get(word, "")]
    for role in roles + [fused.get(role, "") for role in roles]:
        if role in present:
            return role
    close = get_close_matches(word, present, n=1)
    return close[0] if close else None


def _word(path: Sequence[str]) -> str:
    return next((part for part in reversed(path) if not part.isdigit()), path[-1])


def _in_attention(path: Sequence[str], siblings: Iterable[str]) -> bool:
    for part in reversed(path[:-1]):  # the innermost part that tells decides
        if "att" in part.lower():
            return True
        if _INNER_FEED_FORWARD.search(part):
            return False
    return any(ATTENTION.get(name.lower()) == "query" for name in siblings)


def _feed_forward_kind(
    path: Sequence[str], shape: tuple[int, int], siblings: Mapping[str, tuple[int, int]]
) -> str:
    kind = _by_word_or_shape(path, shape)
    if kind != "up":
        return kind
    parent = path[:-1]
    fused = any(
        _by_word_or_shape((*parent, name), other) == "down" and shape[1] == 2 * other[0]
        for name, other in siblings.items()
    )
    return "gate_up" if fused else "up"


def _by_word_or_shape(path: Sequence[str], shape: tuple[int, int]) -> str:
    # "dense" says nothing by itself; BERT's intermediate.dense and output.dense say it above.
    telling = path[-2] if path[-1] == "dense" and len(path) > 1 else path[-1]
    if telling.lower() in FEED_FORWARD:
        return FEED_FORWARD[telling.lower()]
    parents = ".".join(path[:-1])
    d_in, d_out = shape
    if d_in == d_out or _GATING.search(".".join(path)) or not _FEED_FORWARD_PART.search(parents):
        return _word(path)
    return "up" if d_in < d_out else "down"
