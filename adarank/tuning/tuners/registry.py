"""The tuners there are, by the name that a plan gives."""

from adarank.allocation.plan import Tuner as TunerName
from adarank.tuning.tuners.adalora import AdaLora
from adarank.tuning.tuners.base import Tuner
from adarank.tuning.tuners.eva import Eva
from adarank.tuning.tuners.full import Full
from adarank.tuning.tuners.growing import Growing
from adarank.tuning.tuners.lora import Lora

TUNERS: dict[TunerName, Tuner] = {
    "lora": Lora(),
    "adalora": AdaLora(),
    "eva": Eva(),
    "growing": Growing(),
    "full": Full(),
}
