"""The recipe of one run: every parameter, with its type and its default."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import get_type_hints

from helpers.labels import FIRST_TOKEN

__all__ = [
    "BACKENDS",
    "BLOCKS",
    "DEFAULTS",
    "DISTILBERT_WEIGHTS",
    "FIELDS",
    "LOSSES",
    "MOST_LADDER_STEPS",
    "SETTINGS",
    "SHARINGS",
    "STARTS",
    "TEACHER_STARTS",
    "Recipe",
]

PROGRAMS = (
    "torch_float32",
    "torch_bf16",
    "torch_int8",
    "compiled_float32",
    "torchao_int8",
    "onnx_float32",
    "onnx_int8",
    "openvino_float32",
    "openvino_bf16",
    "openvino_int8",
)
FIRST_TOKEN_PROGRAMS = tuple(f"{name}{FIRST_TOKEN}" for name in ("torch_float32", "onnx_int8", "openvino_int8"))
BACKENDS = (*PROGRAMS, *(f"{name}{FIRST_TOKEN}" for name in PROGRAMS))
BLOCKS = ("batch1_true", "batch1_padded", "batch32_true", "batch32_padded")
LOSSES = ("embedding", "hidden", "attention", "prediction")
SHARINGS = ("none", "all", "attention", "ffn")  # of layers
STARTS = ("random", "embeddings", "projected", "general")  # of a student that is made here
TEACHER_STARTS = ("given", "continued", "random")
DISTILBERT_WEIGHTS = {"soft": 5.0, "masked": 2.0, "cosine": 1.0}  # the authors'
MOST_LADDER_STEPS = 47  # at fifty, training would write a checkpoint among the timed steps
MOST_LAYERS = 256  # of a BERT that is built: building takes time for each, before anything else can be asked


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All parameters of one run. Field names are the notebooks' parameter names and the profile files' keys."""

    profile: str
    task: str
    seed: int = 0
    # where input comes from: "generated", a folder in the hub's layout, or a hub id
    data: str
    text: str | None = None
    nli: str | None = None
    train_rows: int = 0  # of the task, drawn from those that are not held out; 0: all
    # the language model: "built" (here, from the text), a folder or a hub id
    language_model: str
    language_model_sha256: str | None = None
    language_model_shape: dict[str, float] = field(default_factory=dict)
    vocabulary_size: int = 30522
    # steps of pretraining: of a built model from scratch, of a given one beyond what it is, on the text
    pretraining_steps: int = 0
    pretraining_batch_size: int = 64
    pretraining_learning_rate: float = 1.0e-3
    pretraining_masked_share: float = 0.15
    piece_length: int = 62  # tokens of the pieces that text is cut into where whole lines are not needed
    # the teacher: "fine-tuned" (here) or a folder or hub id of a fine-tuned classifier
    teacher: str = "fine-tuned"
    # what it is fine-tuned from; of several the best on held-out rows: given (the language model), continued (that,
    # pretrained further on the text), random (the same shape, not pretrained)
    teacher_starts: list[str] = field(default_factory=lambda: ["given"])
    teacher_epochs: int
    teacher_learning_rate: float
    # epochs of natural language inference before the task: the teacher's on the labels, and the student's on what that
    # teacher says, of its states and of its answers; the control has as many on the labels
    nli_epochs: int = 0
    nli_intermediate_epochs: int = 0
    nli_prediction_epochs: int = 0
    # the student and its distillation
    student_shape: dict[str, float]
    # random; embeddings or projected (the language model's embeddings, or all of it, in its principal directions);
    # general (copied from the language model on text); or a hub id or folder
    student_start: str = "random"
    compared_starts: list[str] = field(default_factory=list)  # other starts, to be shown beside it
    general_start: str = "embeddings"  # what the general student itself begins with
    general_steps: int = 0
    general_batch_size: int = 64
    general_learning_rate: float = 5.0e-4
    layer_map: str | list[int] = "uniform"
    loss_parts: list[str] = field(default_factory=lambda: list(LOSSES))  # without prediction: the labels in its place
    intermediate_epochs: int
    intermediate_learning_rate: float
    prediction_epochs: int
    prediction_learning_rate: float
    temperature: float = 1.0
    # what the authors' code does otherwise than their paper; those of its losses are explained in `losses.LossOptions`
    temperature_squared: bool = False
    shared_projection: bool = False
    padding_counts: bool = False
    mean_over_classes: bool = False
    gold_scores: bool = False
    teacher_dropout: bool = False
    drop_incomplete: bool = False  # an epoch of distillation has whole batches only
    first_text_stays_changed: bool = False  # of a pair, while its second text is augmented
    ablations: list[str] = field(default_factory=list)  # of `ablations.ABLATIONS`, to be shown beside the student
    # the teacher's outputs: asked anew in each epoch (off), or stored once: its logits, or all that is compared
    teacher_outputs: str = "off"
    teacher_outputs_gb: float = 8.0  # what they may take on the disk
    control_learning_rate: float | None = None  # of the student without a teacher; None: the prediction stage's
    # augmentation: whose labels the student learns of augmented rows (off: there are none), teacher or gold
    augmented: str = "off"
    augmentation_variants: int = 20
    augmentation_candidates: int = 15
    augmentation_probability: float = 0.4
    augmentation_steps: int = 1  # times the steps that the student takes on the rows as they are
    word_vectors: str | None = None  # a file in GloVe's text format; None: trained on the text
    word_vectors_size: int = 100  # of those trained here
    # DistilBERT: the layers of the language model that its student takes (half: every second), its steps on text, its
    # loss; then the teacher's share of the loss where fine-tuning has one
    distilbert_layers: str | list[int] = "half"
    distilbert_start: str = "layers"
    distilbert_steps: int = 0
    distilbert_learning_rate: float = 5.0e-4
    distilbert_temperature: float = 2.0
    distilbert_weights: dict[str, float] = field(default_factory=lambda: dict(DISTILBERT_WEIGHTS))
    distilbert_everywhere: bool = True  # soft targets at all tokens, not at the masked ones alone
    distilbert_share: float = 0.5
    distilbert_ablations: list[str] = field(default_factory=list)  # of `ablations.DISTILBERT`
    # ALBERT: the language model's shape, or the one given here, with factorized embeddings and shared layers; others of
    # both stand beside it. It is distilled on text, then on the task.
    albert_shape: dict[str, float] = field(default_factory=dict)
    albert_embedding_size: int = 0  # 0: not factorized
    albert_sharing: str = "all"
    albert_embedding_sizes: list[int] = field(default_factory=list)
    albert_sharings: list[str] = field(default_factory=list)
    albert_steps: int = 0
    # structured pruning of the teacher: shares of heads, of neurons and of both, and numbers of layers, that go
    structured_shares: list[float] = field(default_factory=list)
    structured_layers: list[int] = field(default_factory=list)
    # files: how many weights share a scale in four bits, the share of weights pruned before, how often the text has a
    # piece of the vocabulary that is kept (the task's are), and the epochs of training that expects rounding (0: none)
    storage_group: int = 64
    storage_amount: float = 0.3
    storage_min_count: int = 20
    storage_epochs: int = 1
    # orders of steps (`compress.notation`): the chains whose weights are to take so many bytes, as {"5.2 MB": [...]};
    # the first of a budget is what its others are compared with
    order_chains: dict[str, list[str]] = field(default_factory=dict)
    # the same for every arm
    batch_size: int = 32
    max_length: int = 128
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    precision: str = "auto"
    threads: int = 2
    # pruning
    pruning_amounts: list[float] = field(default_factory=lambda: [tenth / 10 for tenth in range(10)])
    recovery_amounts: list[float] = field(default_factory=list)
    recovery_epochs: int = 1
    # measuring time
    latency_threads: int = 2
    latency_repeats: int = 30
    latency_max_batches: int | None = None
    latency_blocks: list[str] = field(default_factory=lambda: list(BLOCKS))
    # programs that compute the student (what is not installed is left out, and says so), tokens of rows of one length,
    # and passes over the validation split in each of which every rung from BERT-base down is timed once
    speed_backends: list[str] = field(default_factory=lambda: [*PROGRAMS, *FIRST_TOKEN_PROGRAMS])
    speed_lengths: list[int] = field(default_factory=lambda: [16, 64, 128])
    speed_rounds: int = 14  # a multiple of 14 balances seven ways
    ladder_steps: int = 0  # timed steps of each way to distil; 0: they are not timed


FIELDS = {item.name: item for item in dataclasses.fields(Recipe)}
DEFAULTS = {name: item.default for name, item in FIELDS.items() if item.default is not dataclasses.MISSING} | {
    name: item.default_factory() for name, item in FIELDS.items() if item.default_factory is not dataclasses.MISSING
}
# profile, task and seed say which run it is: they are no settings of a profile
SETTINGS = {name: kind for name, kind in get_type_hints(Recipe).items() if name not in ("profile", "task", "seed")}
