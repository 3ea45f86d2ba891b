import pytest
from peft import LoraConfig, get_peft_model
from torch import nn

from adarank.pipeline.adapters.config import written

BEFORE = {"peft_type": "LORA", "task_type": None, "bias": "none"}


def towers() -> nn.Module:
    """Two towers; the name of a layer of the first ends the name of its like in the second."""
    tower = nn.ModuleDict({"layer": nn.ModuleDict({"q": nn.Linear(4, 4), "v": nn.Linear(4, 4)})})
    other = nn.ModuleDict({"layer": nn.ModuleDict({"q": nn.Linear(4, 4), "v": nn.Linear(4, 4)})})
    return nn.ModuleDict({"layer": tower["layer"], "vision": other})


def built(config: dict[str, object]) -> dict[str, tuple[int, float]]:
    model = get_peft_model(towers(), LoraConfig(**config)).base_model.model
    return {
        name: (module.r["default"], module.scaling["default"])
        for name, module in model.named_modules()
        if hasattr(module, "lora_A") and module.r
    }


@pytest.mark.parametrize("given", [None, ["layer.q"], r"vision\.layer\.q"])
def test_a_dropped_module_whose_name_ends_as_a_kept_one_stays_without(given: object) -> None:
    ranks, scales = {"layer.v": 1, "layer.q": 3}, {"layer.v": 0.5, "layer.q": 0.5}
    if given == ["layer.q"]:  # then no adapter had it
        ranks, scales = {"layer.v": 1}, {"layer.v": 0.5}
    config = written(
        {**BEFORE, "exclude_modules": given}, ranks, scales, ["vision.layer.v", "vision.layer.q"]
    )
    assert built(config) == {name: (ranks[name], 0.5) for name in ranks}


def test_a_name_that_ends_another_does_not_take_its_rank() -> None:
    ranks = {"layer.q": 1, "vision.layer.q": 3}
    config = written(BEFORE, ranks, dict.fromkeys(ranks, 2.0), [])
    assert built(config) == {"layer.q": (1, 2.0), "vision.layer.q": (3, 2.0)}
    assert (config["r"], config["lora_alpha"]) == (3, 6)


def test_r_is_the_highest_rank_and_alpha_over_r_the_commonest_scale() -> None:
    ranks = {"layer.q": 1, "layer.v": 3, "vision.layer.q": 2}
    config = written(BEFORE, ranks, {"layer.q": 2.0, "layer.v": 0.5, "vision.layer.q": 2.0}, [])
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (3, 6, False)
    assert built(config)["layer.v"] == (3, 0.5)
