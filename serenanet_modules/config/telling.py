"""A merged document as yaml that says of each line which layer says it."""

import os
from pathlib import Path

from ruamel.yaml.comments import CommentedMap

from serenanet_modules.config.nodes import shown, tag_of


def told(tree, layers, path):
    """Lines of a mapping and what is below it."""
    for key, node in tree.items():
        here = (*path, key)
        nested = isinstance(node, CommentedMap) and len(node) > 0
        says = next(where for where, layer in reversed(layers) if _says(layer, here, nested) or layer is layers[0][1])
        said_by = os.path.relpath(says) if isinstance(says, Path) else says
        value = tag_of(node) if nested else shown(node)
        yield f"{'    ' * len(path)}{key}:{' ' * bool(value)}{value} # {said_by}"
        if nested:
            yield from told(node, layers, here)


def _says(layer, path, nested):
    """Whether a layer gives the node of this path, or one in the place of what it stands in; keys alone merge."""
    node = layer
    for key in path:
        if not isinstance(node, CommentedMap) or key not in node:
            return node is not layer and (not isinstance(node, CommentedMap) or bool(tag_of(node)))
        node = node[key]
    return not nested or bool(tag_of(node))
