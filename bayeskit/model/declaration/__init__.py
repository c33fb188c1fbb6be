"""Models as plain dictionaries of numbers, texts and lists, which JSON can hold and a reader can read."""

from bayeskit.model.declaration.arrays import array_from_json, array_to_json, scalar_from_json, scalar_to_json
from bayeskit.model.declaration.models import checked_dict, model_from_dict, model_to_dict

__all__ = [
    "array_from_json",
    "array_to_json",
    "checked_dict",
    "model_from_dict",
    "model_to_dict",
    "scalar_from_json",
    "scalar_to_json",
]
