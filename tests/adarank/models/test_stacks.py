import pytest
import torch
from torch import nn

from adarank.errors import InputError
from adarank.models.stacks import Stack, base_model, find_stacks, linear_layers, reapplied_blocks
from tests.adarank.models.test_modules import Block, blocks, model_of
from tests.architectures import CONFIGS, pico, pico_batch


class Alike(Block):
    """Another class of block with the same ancestor, as in models that mix two kinds of layer."""


def test_encoder_and_decoder_are_two_stacks_that_count_on() -> None:
    assert find_stacks(pico("bart")) == [
        Stack("encoder.layers", ("encoder.layers.0", "encoder.layers.1"), first=0),
        Stack("decoder.layers", ("decoder.layers.0", "decoder.layers.1"), first=2),
    ]


def test_lists_within_a_block_are_no_stacks() -> None:
    assert [stack.name for stack in find_stacks(pico("t5"))] == ["encoder.block", "decoder.block"]


def test_stack_of_one_block_is_found() -> None:
    assert find_stacks(model_of(layers=blocks(1))) == [Stack("layers", ("layers.0",), 0)]


def test_mixed_blocks_of_one_family_are_a_stack() -> None:
    (stack,) = find_stacks(model_of(layers=nn.ModuleList([Block(), Alike()])))
    assert stack.blocks == ("layers.0", "layers.1")


def test_blocks_in_a_sequential_are_a_stack() -> None:
    (stack,) = find_stacks(model_of(layers=nn.Sequential(Block(), Block())))
    assert stack.blocks == ("layers.0", "layers.1")


def test_parallel_lists_are_parts_of_the_same_blocks() -> None:
    stacks = find_stacks(model_of(attentions=blocks(2), ffns=blocks(2), tail=blocks(1)))
    assert [(stack.name, stack.first) for stack in stacks] == [
        ("attentions", 0),
        ("ffns", 0),
        ("tail", 2),
    ]


def test_lists_in_a_list_follow_one_another() -> None:
    stacks = find_stacks(model_of(stages=nn.ModuleList([blocks(2), blocks(2)])))
    assert [(stack.name, stack.first) for stack in stacks] == [("stages.0", 0), ("stages.1", 2)]


@pytest.mark.parametrize(
    "model",
    [
        model_of(only=nn.Linear(4, 4)),
        model_of(heads=nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])),
        model_of(convolutions=nn.ModuleList([nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 1)])),
        model_of(mixed=nn.ModuleList([Block(), nn.Bilinear(4, 4, 4)])),
    ],
    ids=["no list", "linear layers in a row", "no linear layers", "unlike members"],
)
def test_model_without_repeated_blocks_is_refused(model: nn.Module) -> None:
    with pytest.raises(InputError, match="no repeated block"):
        find_stacks(model)


@pytest.mark.parametrize("name", CONFIGS)
def test_only_alberts_block_is_applied_more_than_once(name: str) -> None:
    model = pico(name)
    expected = {"encoder.albert_layer_groups.0": 2} if name == "albert" else {}
    assert reapplied_blocks(model, pico_batch(name)) == expected
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_layers_that_are_read_without_being_called_are_left_out() -> None:
    attention = nn.MultiheadAttention(8, 2)
    assert isinstance(attention.out_proj, nn.Linear)
    assert linear_layers(attention) == []


def test_base_model_of_a_plain_module_is_itself() -> None:
    model = nn.Linear(2, 2)
    assert base_model(model) == ("", model)
    with torch.device("meta"):
        bert = pico("bert")
    assert base_model(bert) == ("", bert)
