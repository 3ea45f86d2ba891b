import pytest

from adarank.models.kinds import kind_of

SQUARE = (4, 4)


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("attention.self.query", SQUARE, "query"),
        ("self_attn.q_proj.linear", SQUARE, "query"),
        ("attention.output.dense", SQUARE, "dense"),
        ("output.dense", SQUARE, "down"),
        ("intermediate.dense", SQUARE, "up"),
        ("attn.Wqkv", (4, 12), "qkv"),
        ("attn.Wo", SQUARE, "dense"),
        ("mlp.Wo", SQUARE, "down"),
        ("encoder_attn.k_proj", SQUARE, "cross_key"),
        ("crossattention.self.value", SQUARE, "cross_value"),
        ("self_attention.mlp.fc1", SQUARE, "up"),
    ],
)
def test_names_tell_the_role(name: str, shape: tuple[int, int], kind: str) -> None:
    path = name.split(".")
    assert kind_of(path, shape, {path[-1]: shape}) == kind


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("ffn.0", (4, 16), "up"),
        ("mlp.shrinking", (16, 4), "down"),
        ("mlp.shrinking", (4, 4), "shrinking"),
        ("mlp.gate", (4, 2), "router"),
        ("mlp.shared_expert_gate", (4, 1), "shared_expert_gate"),
        ("mixer.in_proj", (4, 16), "in_proj"),
        ("self_attn.kv_a_proj", (4, 2), "kv_a_proj"),
    ],
)
def test_other_names_are_told_by_shape_or_stand_for_themselves(
    name: str, shape: tuple[int, int], kind: str
) -> None:
    path = name.split(".")
    assert kind_of(path, shape, {path[-1]: shape}) == kind


def test_a_query_beside_it_makes_a_layer_part_of_attention() -> None:
    siblings = {"q_proj": SQUARE, "o_proj": SQUARE}
    assert kind_of(["mixer", "o_proj"], SQUARE, siblings) == "dense"
    assert kind_of(["mixer", "o_proj"], SQUARE, {"o_proj": SQUARE}) == "o_proj"


def test_up_twice_as_wide_as_down_takes_in_is_gate_and_up_in_one() -> None:
    siblings = {"Wi": (4, 32), "Wo": (16, 4)}
    assert kind_of(["mlp", "Wi"], (4, 32), siblings) == "gate_up"
    assert kind_of(["mlp", "Wi"], (4, 16), siblings) == "up"
