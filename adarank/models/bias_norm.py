"""What a block has beside its weight matrices: biases and norms, small and trained as they are."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BiasNorm:
    """Biases and norms by their modules' dotted names in the base model, with their entries.

    Attributes:
        biases: Of linear layers; not of keys, whose bias shifts all of a query's attention alike
            and leaves the softmax as it is.
        norms: LayerNorms and their like, weight and bias together.

    Example:
        >>> bias_norm = BiasNorm({"layer.0.query": 64}, {"layer.0.norm": 128})
        >>> bias_norm.parameters, bias_norm.in_words()
        (192, '64 parameters in 1 bias, 128 in 1 norm')
    """

    biases: Mapping[str, int]
    norms: Mapping[str, int]

    @property
    def parameters(self) -> int:
        """Entries of all of them."""
        return sum(self.biases.values()) + sum(self.norms.values())

    def in_words(self) -> str:
        """Describe how many there are."""
        biases, norms = len(self.biases), len(self.norms)
        of_norms = f"{sum(self.norms.values()):,} in {norms} norm{'s' if norms != 1 else ''}"
        if not biases:
            return f"no module has a bias; {of_norms.replace(' in ', ' parameters in ')}"
        many = "es" if biases != 1 else ""
        return f"{sum(self.biases.values()):,} parameters in {biases} bias{many}, {of_norms}"


BIAS_NORM = "bias_norm"
"""Its key in the footer of every table of scores."""
