"""How tasks, metrics and models are called in tables and figures, and their order there."""

__all__ = [
    "ABLATIONS",
    "ARMS",
    "DISTILBERT",
    "FILES",
    "FIRST_TOKEN",
    "METRICS",
    "ORDERS",
    "REPORT_AMOUNTS",
    "REPORT_METRICS",
    "RUNGS",
    "SHAPES",
    "SPEEDS",
    "STUDY",
    "SYSTEMS",
    "TASKS",
    "WARM",
    "joined",
    "task_label",
]

# Where a model stands in several notebooks, the first of these counts. Later notebooks reuse its name for others.
STUDY = ("01_distillation", "02_augmentation", "03_pruning_sweep", "04_dynamic_quantization")
# The overview's other systems. They time what they show beside the teacher, each in its own run.
SYSTEMS = ("06_distilbert", "07_albert", "08_structured_pruning")
FILES = ("09_storage",)  # one student in smaller and smaller files
SPEEDS = ("10_speed",)  # one student by several programs
ORDERS = ("11_order",)  # the same steps in other orders

TASKS = {
    "cola": "CoLA",
    "rte": "RTE",
    "stsb": "STS-B",
    "qnli": "QNLI",
    "sst2": "SST-2",
    "mrpc": "MRPC",
    "qqp": "QQP",
    "mnli": "MNLI",
}

METRICS = {
    "matthews_correlation": "Matthews",
    "accuracy": "accuracy",
    "pearson": "Pearson",
    "spearmanr": "Spearman",
    "f1": "F1",
}

REPORT_AMOUNTS = (0.1, 0.2, 0.3, 0.4)  # the report's pruning amounts, above zero

# The five tasks of the report have their columns in every table, measured or not.
REPORT_METRICS = {
    "cola": ("matthews_correlation",),
    "rte": ("accuracy",),
    "stsb": ("pearson", "spearmanr"),
    "qnli": ("accuracy",),
    "sst2": ("accuracy",),
}

SHAPES = ("bert_base_shape", "tinybert_shape", "tinybert_shape_int8")

ARMS = {
    "bert_base_shape": "BERT-base shape",
    "tinybert_shape": "TinyBERT shape",
    "tinybert_shape_int8": "TinyBERT shape, int8",
    "albert_base_shape": "ALBERT-base shape",
    "teacher": "fine-tuned teacher",
    "control": "student without a teacher",
    "student_intermediate": "student, intermediate stage only",
    "student": "distilled student",
    "pruned": "pruned student",
    "int8": "int8 student",
    "teacher_given": "teacher from the language model as it is",
    "teacher_continued": "teacher after more pretraining",
    "teacher_random": "teacher without pretraining",
    "start_random": "student from random weights",
    "start_embeddings": "student from projected embeddings",
    "start_projected": "student from projected embeddings and layers",
    "start_general": "student from general distillation",
    "augmented": "student, augmented rows",
    "augmented_gold": "student, augmented rows with copied labels",
    "longer": "student, as many steps on the rows alone",
}

ABLATIONS = {  # what an ablation changes; its arm is called ablation_<name>
    "no_embedding": "without the embedding loss",
    "no_hidden": "without the hidden-state loss",
    "no_attention": "without the attention loss",
    "no_prediction": "labels in place of the teacher's answers",
    "top_layers": "from the teacher's top layers",
    "bottom_layers": "from the teacher's bottom layers",
    "shared_projection": "one projection for all layers",
    "padding_counts": "padding counts in the losses",
    "temperature_4": "temperature 4",
    "temperature_4_squared": "temperature 4, loss times its square, against temperature 4",
    "mean_over_classes": "prediction loss divided by the classes",
    "gold_scores": "scores from the labels",
    "teacher_dropout": "teacher with its dropout on",
    "drop_incomplete": "whole batches only",
    "authors_code": "the authors' code: its losses, all together",
}
ARMS |= {f"ablation_{name}": title for name, title in ABLATIONS.items()}

DISTILBERT = {  # what an ablation of DistilBERT changes; its arm is called distilbert_<name>
    "no_soft": "without the teacher's soft targets",
    "no_masked": "without the masked words' own loss",
    "no_cosine": "without the cosine loss",
    "random": "from random weights",
    "no_text": "without any distillation on text",
}
ARMS |= {"distilbert": "DistilBERT", "distilbert_two_stage": "DistilBERT, fine-tuned beside the teacher"}
ARMS |= {f"distilbert_{name}": f"DistilBERT {title}" for name, title in DISTILBERT.items()}
ARMS |= {
    "albert": "ALBERT",
    "albert_scratch": "ALBERT, from scratch",
    "albert_scratch_plain": "BERT of its depth and width, from scratch",
    "albert_sharing_all": "ALBERT, all shared",
    "albert_sharing_attention": "ALBERT, attention shared",
    "albert_sharing_ffn": "ALBERT, feed-forward shared",
    "albert_sharing_none": "ALBERT, nothing shared",
}
ARMS |= {
    "low_rank_embeddings": "teacher, embeddings of low rank",
    "low_rank_embeddings_recovered": "teacher, embeddings of low rank, recovered",
    "low_rank_linear": "teacher, layers of low rank",
    "low_rank_linear_recovered": "teacher, layers of low rank, recovered",
    "factorized": "ALBERT, factorized from the start",
}
ARMS |= {  # the ladder of files: each is the student
    "stored_float32": "student in float32",
    "stored_bf16": "student in bf16",
    "stored_int8_linear": "student, linear layers in int8",
    "stored_int8": "student in int8",
    "stored_float8": "student in float8",
    "stored_int4": "student in int4",
    "stored_int4_entropy": "student in int4, entropy coded",
    "stored_pruned": "pruned student in int4, entropy coded",
    "stored_vocabulary": "int4, entropy coded, rare pieces gone",
    "stored_task_words": "int4, entropy coded, only the task's pieces",
    "stored_longer": "int4, rare pieces gone, trained longer",
    "stored_aware": "int4, rare pieces gone, quantization-aware",
    "stored_pruned_aware": "int4, rare pieces gone, pruned, quantization-aware",
}
ARMS |= {  # programs: each computes the student
    "speed_torch_float32": "PyTorch, float32",
    "speed_torch_bf16": "PyTorch, bf16",
    "speed_torch_int8": "PyTorch, int8",
    "speed_compiled_float32": "torch.compile, float32",
    "speed_torchao_int8": "torchao compiled, int8",
    "speed_onnx_float32": "ONNX Runtime, float32",
    "speed_onnx_int8": "ONNX Runtime, int8",
    "speed_openvino_float32": "OpenVINO, float32",
    "speed_openvino_bf16": "OpenVINO, bf16",
    "speed_openvino_int8": "OpenVINO, int8",
}
WARM = "_warm"  # ends the name of a timed block whose passes come right after another of the same arm
FIRST_TOKEN = "_cls"  # ends the name of a program whose last layer computes the first token, [CLS], alone
ARMS |= {f"{name}{FIRST_TOKEN}": f"{ARMS[name]}, last layer for [CLS]" for name in ARMS if name.startswith("speed_")}
RUNGS = {  # of the ladder of times, from the slowest
    "padded": "BERT-base, padded to 128 tokens, PyTorch float32",
    "true_lengths": "true lengths, rows of like length together",
    "distilled": "distilled student",
    "quantized": "int8 layers, PyTorch",
    "program": "fastest program",
    "cls": "last layer for the first token alone",
    "processes": "one process on each core",
}


def task_label(task: str) -> str:
    """Return a task's name as it is printed; an unknown task keeps its own.

    >>> task_label("sst2")
    'SST-2'
    """
    return TASKS.get(task, task)


def joined(words: list[str]) -> str:
    """Join words as a sentence does.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
