"""What saved adapters name as the model that they belong to."""

from adarank.pipeline.artifacts.places import MODEL_SOURCE
from adarank.pipeline.files.whole import Record, read_record
from adarank.pipeline.sources.spec import MODEL_FORMS, HubSource, WheelSource, parse_source


class SourceForm(Record):
    """What is read of the record that download wrote."""

    source: str
    revision: str | None


def base_of_study() -> tuple[str | None, str | None]:
    """Read from where the model in data/model was downloaded; see `base_of`.

    Raises:
        InputError: data/sources/model.json is absent or damaged.
    """
    record = read_record(MODEL_SOURCE, SourceForm)
    return base_of(record["source"], record["revision"])


def base_of(source: str, revision: str | None) -> tuple[str | None, str | None]:
    """Name a base model, and its revision, for whoever loads an adapter elsewhere.

    Of a repository that is its name and commit, from which PEFT's `AutoPeftModel` loads it. A wheel
    is named by its source string, which no hub takes for a repository. A folder of this machine has
    no name: elsewhere its path is nothing, or a repository of that name which anybody may own.

    Args:
        source: model.source.
        revision: The commit or version that it stood for.

    Example:
        >>> base_of("hf:org/small@main", "0123abc")
        ('org/small', '0123abc')
        >>> base_of("pypi:small-model==1.0/model", "1.0")
        ('pypi:small-model==1.0/model', None)
        >>> base_of("file:data/mine", None)
        (None, None)
    """
    parsed = parse_source(source, MODEL_FORMS, "model.source")
    if isinstance(parsed, HubSource):
        return parsed.repository, revision
    return (source if isinstance(parsed, WheelSource) else None), None
