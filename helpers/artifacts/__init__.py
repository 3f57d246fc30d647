"""Keep the results of steps: complete or absent, built once, found again by what made them."""

from helpers.artifacts.files import sha256_of_file, sync
from helpers.artifacts.nodes import STEPS, Bound, Node, digest, fingerprint, node, step
from helpers.artifacts.store import MANIFEST, Store, default_folder

__all__ = [
    "Bound",
    "MANIFEST",
    "Node",
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
