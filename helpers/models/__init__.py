"""BERT models: read strictly, built at their true shapes, started, saved and loaded."""

from helpers.models.attention import expose_scores
from helpers.models.building import SHAPES, classifier, encoder, language_model, load, masked_language_model, shaped
from helpers.models.checkpoints import (
    Checkpoint,
    check_vocabulary,
    common_tokenizer,
    read,
    read_config,
    save,
    tokenizer,
)
from helpers.models.compact import build, check, own_tensors, share
from helpers.models.dropout import lighten
from helpers.models.first_token import FirstTokenLayer, first_token
from helpers.models.logits import Logits
from helpers.models.maps import attention_maps
from helpers.models.students import layer_map, project_embeddings, project_layers

__all__ = [
    "Checkpoint",
    "FirstTokenLayer",
    "Logits",
    "SHAPES",
    "attention_maps",
    "build",
    "check",
    "check_vocabulary",
    "classifier",
    "common_tokenizer",
    "encoder",
    "expose_scores",
    "first_token",
    "language_model",
    "layer_map",
    "lighten",
    "load",
    "masked_language_model",
    "own_tensors",
    "project_embeddings",
    "project_layers",
    "read",
    "read_config",
    "save",
    "share",
    "shaped",
    "tokenizer",
]
