"""What `attribute_metadata` tells of the attributes."""

from __future__ import annotations

from typing import Any

from shared.attributes import Attribute, AttributeTable


def type_names(attributes: AttributeTable) -> dict[str, str]:
    """The stored type of each attribute, in the form that clients have always got: `<class 'numpy.uint32'>`."""
    return {attribute.name: attribute.type_name for attribute in attributes}


def full_metadata(attributes: AttributeTable) -> dict[str, dict[str, Any]]:
    """All that can be said of each attribute, in JSON's types."""
    return {attribute.name: _described(attribute) for attribute in attributes}


def _described(attribute: Attribute) -> dict[str, Any]:
    """One attribute; the unit is that of the answered value, `code` is numpy's for a type with its byte order."""
    shape = list(attribute.shape)
    return {
        "unit": attribute.unit,
        "meaning": attribute.meaning,
        "stored": {"type": attribute.dtype.name, "code": attribute.dtype.str, "shape": shape},
        "answered": {"type": attribute.answered.name, "shape": shape},
        "optional": attribute.mask is not None,
    }
