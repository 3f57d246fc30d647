"""Keep the results of steps: complete or absent, built once, found again by what made them."""

from helpers.artifacts.files import sha256_of_file, sync
from helpers.artifacts.inventory import MANIFEST
from helpers.artifacts.mirror import SHARED, Mirror
from helpers.artifacts.nodes import STEPS, Bound, Node, digest, fingerprint, node, step
from helpers.artifacts.store import Store, default_folder

__all__ = [
    "Bound",
    "MANIFEST",
    "Mirror",
    "Node",
    "SHARED",
    "STEPS",
    "Store",
    "default_folder",
    "digest",
    "fingerprint",
    "node",
    "sha256_of_file",
    "step",
    "sync",
]
