"""Do the parts of a chain fit together? Told from configurations and vocabularies, before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from transformers import BertConfig

from helpers import hub, models, tasks
from helpers.compress import ladder, teacher_outputs
from helpers.compress.word_vectors import LEAST
from helpers.environment import InputError
from helpers.profiles import ABLATIONS, Recipe, ablations_for
from helpers.training import check_whole_batches

__all__ = ["check_parts", "check_room", "check_text", "config_of"]


def check_parts(recipe: Recipe, sources: Mapping[str, hub.Source]) -> None:
    """Compare what will be teacher and student, given the published checkpoints in use by role.

    Raises `InputError` where the layer map does not fit, heads or widths do not allow what is to be copied, rows
    may be longer than a model reads, a published student has another shape than the recipe says, or there is no text
    or no teacher where something is to be learned from it.
    """
    _check_text(recipe, sources)
    _check_pairs(recipe, sources)
    teacher = config_of(sources, ("teacher", "language_model"), recipe.language_model_shape)
    student = config_of(sources, ("student",), recipe.student_shape)
    changes = [ABLATIONS[name] for name in ablations_for(recipe)]
    for kind in [recipe.layer_map, *(change["layer_map"] for change in changes if "layer_map" in change)]:
        models.layer_map(student.num_hidden_layers, teacher.num_hidden_layers, kind)
    _check_student(recipe, teacher, student, made_here="student" not in sources)
    longest = teacher.max_position_embeddings
    if "student" in sources:
        longest = min(longest, student.max_position_embeddings)
    if recipe.max_length > longest:
        raise InputError(f"max_length is {recipe.max_length}, but a model here reads {longest} tokens; lower it.")
    words = [models.tokenizer(source.folder).get_vocab() for source in sources.values()]
    if any(each != words[0] for each in words):
        names = ", ".join(source.name for source in sources.values())
        raise InputError(f"{names} have different vocabularies; distillation compares them token by token.")
    other = {k: getattr(student, k) for k, v in recipe.student_shape.items() if getattr(student, k) != v}
    if other:
        raise InputError(
            f"student_shape says {recipe.student_shape}, but {recipe.student_start} has {other}; make both agree."
        )


def check_room(recipe: Recipe, sources: Mapping[str, hub.Source], data: tasks.TaskData, folder: Path) -> None:
    """Check, before any training, the room for a teacher's stored outputs, and the rows for a ladder and whole batches.

    Without a published vocabulary rows are not told in tokens yet; such models are small. Raises `InputError` for too
    few rows, `RunError` for too little room.
    """
    if recipe.drop_incomplete or "drop_incomplete" in recipe.ablations:
        check_whole_batches(len(data.train), recipe.batch_size)
    if recipe.ladder_steps:
        ladder.check(len(data.train), steps=recipe.ladder_steps)
    source = next((sources[role] for role in ("teacher", "language_model") if role in sources), None)
    if source is None or not (recipe.ladder_steps or recipe.teacher_outputs == "all"):
        return
    rows = tasks.encode(data.train, data.task, models.tokenizer(source.folder), max_length=recipe.max_length)
    lengths = [len(ids) for ids in rows["input_ids"][:]]
    shapes = {"set ladder_steps to 0": BertConfig(**models.SHAPES["bert-base"])} if recipe.ladder_steps else {}
    if recipe.teacher_outputs == "all":
        shapes["set teacher_outputs to logits"] = models.read_config(source.folder)
    copied = config_of(sources, ("student",), recipe.student_shape).num_hidden_layers
    for instead, shape in shapes.items():
        teacher_outputs.check_room(
            lengths,
            layers=copied,
            width=shape.hidden_size,
            heads=shape.num_attention_heads,
            folder=folder,
            bound_gb=recipe.teacher_outputs_gb,
            instead=instead,
        )


def check_text(text: tasks.Text, *, piece_length: int) -> None:
    """Check that a text has enough words for one piece, and one that is frequent enough to get a vector.

    Raises `InputError`. Of a text that is long enough only the first lines are read.
    """
    seen: Counter[str] = Counter()
    for line in text.rows["text"]:
        seen.update(line.lower().split())
        if seen.total() >= piece_length and max(seen.values(), default=0) >= LEAST:
            return
    raise InputError(
        f"The text {text.source} has {seen.total()} words, the most frequent {max(seen.values(), default=0)} times; to "
        f"learn from it takes {piece_length} words, as many as a piece has tokens, and one that occurs {LEAST} times."
    )


def _check_student(recipe: Recipe, teacher: BertConfig, student: BertConfig, *, made_here: bool) -> None:
    if student.num_attention_heads != teacher.num_attention_heads:
        raise InputError(
            f"The student has {student.num_attention_heads} attention heads, the teacher "
            f"{teacher.num_attention_heads}; attention is compared head by head, so make them equal."
        )
    if student.hidden_size > teacher.hidden_size:
        raise InputError(
            f"The student is {student.hidden_size} wide, the teacher {teacher.hidden_size}; a student is no wider than "
            "its teacher: make hidden_size in student_shape smaller."
        )
    if made_here and "max_position_embeddings" in recipe.student_shape:
        raise InputError("student_shape takes max_position_embeddings from the language model; leave it out.")
    starts = {recipe.student_start, *recipe.compared_starts}
    starts |= {recipe.general_start} if "general" in starts else set()
    if "projected" in starts and student.intermediate_size > teacher.intermediate_size:
        raise InputError(
            f"A student with {student.intermediate_size} feed-forward neurons cannot start from layers with "
            f"{teacher.intermediate_size}; make intermediate_size smaller, or take student_start embeddings."
        )
    if starts & {"embeddings", "projected"} and student.type_vocab_size != teacher.type_vocab_size:
        raise InputError(
            f"student_shape has type_vocab_size {student.type_vocab_size}, the embeddings to start from have "
            f"{teacher.type_vocab_size}; leave it out."
        )


def _check_pairs(recipe: Recipe, sources: Mapping[str, hub.Source]) -> None:
    """Check that a student that is to pass through inference pairs has a teacher that does."""
    wanted = [name for name in ("nli_intermediate_epochs", "nli_prediction_epochs") if getattr(recipe, name)]
    if wanted and (not recipe.nli_epochs or not recipe.nli or "teacher" in sources):
        raise InputError(
            f"{wanted[0]} is for tasks whose teacher is made here and passes through inference pairs: give nli_epochs "
            f"and nli, too, or leave it 0 for {recipe.task}."
        )


def _check_text(recipe: Recipe, sources: Mapping[str, hub.Source]) -> None:
    """Check that there is text, and training on it, for what the recipe wants to learn from text."""
    built = recipe.language_model == "built"
    teacher_starts = [] if "teacher" in sources else recipe.teacher_starts
    starts = {recipe.student_start, *recipe.compared_starts}
    if "general" in starts and not recipe.general_steps:
        raise InputError("A general student needs general_steps of distillation on text; give a number above 0.")
    if "continued" in teacher_starts and (built or not recipe.pretraining_steps):
        raise InputError(
            "teacher_starts: continued needs a language_model that is given, and pretraining_steps above 0."
        )
    if "random" in teacher_starts and not built:
        raise InputError("teacher_starts: random needs a language_model that is built, since its shape is given then.")
    wanted = {
        "a language model that is built": built and not {"teacher", "student"} <= sources.keys(),
        "a general student": "general" in starts,
        "pretraining that goes on": "continued" in teacher_starts,
        "augmentation without word_vectors": recipe.augmented != "off" and recipe.word_vectors is None,
    }
    needed = [what for what, is_wanted in wanted.items() if is_wanted]
    if needed and recipe.text is None:
        raise InputError(f"{needed[0].capitalize()} needs text; give text=... a folder, or 'generated'.")


def config_of(sources: Mapping[str, hub.Source], roles: Sequence[str], shape: Mapping[str, float]) -> BertConfig:
    """Return the configuration of the published checkpoint in the first role that has one, else of this shape."""
    source = next((sources[role] for role in roles if role in sources), None)
    return models.read_config(source.folder) if source else BertConfig(**shape)
