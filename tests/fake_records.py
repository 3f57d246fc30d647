"""Valid records made up from a seeded generator: what the tests of records, tables and figures read.

The numbers are invented (their order is what a study would hope for); nothing here is a result.
"""

import numpy as np

TASKS = {
    "cola": (("matthews_correlation",), 0.0, 0.50, 300),
    "rte": (("accuracy",), 0.53, 0.70, 277),
    "stsb": (("pearson", "spearmanr"), 0.0, 0.88, 400),
    "qnli": (("accuracy",), 0.51, 0.86, 500),
    "sst2": (("accuracy",), 0.51, 0.92, 872),
}
AMOUNTS = tuple(round(0.1 * step, 1) for step in range(10))
SHAPES = {  # arm: MB of embedding, encoder, head; ms of one batch of 32
    "bert_base_shape": (95.4, 340.2, 2.4, 910.0),
    "tinybert_shape": (38.7, 18.3, 0.4, 95.0),
    "tinybert_shape_int8": (38.7, 4.6, 0.1, 71.0),
}
TITLES = {
    "bert_base_shape": "BERT-base shape",
    "tinybert_shape": "TinyBERT shape",
    "tinybert_shape_int8": "TinyBERT shape, int8",
    "teacher": "Fine-tuned teacher",
    "control": "Student without a teacher",
    "student": "Distilled student",
    "pruned": "Pruned student",
    "int8": "int8 student",
}
_LEVEL = {
    "teacher": 1.0,
    "control": 0.78,
    "student": 0.93,
    "pruned": 0.92,
    "int8": 0.925,
}


def study(profile="mini", *, tasks=tuple(TASKS), seeds=(0,), source=None):
    """Return the three notebooks' records for every task and seed, in the order of `records.read_all`."""
    source = source or ("generated" if profile == "mini" else "folder")
    made = [
        make(notebook, task, seed, profile=profile, source=source)
        for notebook in ("01_distillation", "03_pruning_sweep", "04_dynamic_quantization")
        for task in sorted(tasks)
        for seed in seeds
    ]
    return made


def compared(**options):
    """Return a study that also has comparisons: starts and ablations in 01, two ladders, augmentation for two tasks."""
    made = study(**options)
    for record in made:
        if record["notebook"] != "01_distillation":
            continue
        task, seed = record["task"], record["seed"]
        more = ("start_random", "start_general", "teacher_given", "teacher_random")
        record["arms"] += [trained(name, task, seed) for name in more]
        record["arms"][0]["parameter"] = {"start": "random" if seed == 1 else "given"}
        if task == "sst2":
            record["arms"] += [trained(f"ablation_{name}", task, seed) for name in ("no_hidden", "authors_code")]
            record["facts"] = {"general_stage_minutes": {"value": 22.5 + seed, "unit": "min"}}
        if task in ("sst2", "rte"):
            record["ladder"] = ladder()
    extra = [
        make("02_augmentation", task, record["seed"], profile=record["profile"], source=record["data"]["source"])
        for task in ("cola", "rte")
        for record in made
        if (record["notebook"], record["task"]) == ("01_distillation", task)
    ]
    for record in extra:
        record["facts"] = {"mask_filling_factor": {"value": 14.0 + record["seed"], "unit": "x"}}
    return sorted(made + extra, key=lambda record: (record["notebook"], record["task"], record["seed"]))


SYSTEMS = {  # notebook: its arms, by name; those that were timed
    "06_distilbert": (
        ("teacher", "student", "distilbert", "distilbert_two_stage", "distilbert_no_soft"),
        ("teacher", "student", "distilbert"),
    ),
    "07_albert": (
        ("teacher", "albert", "albert_sharing_none", "albert_e8", "low_rank_embeddings", "low_rank_linear_recovered"),
        ("teacher", "albert"),
    ),
    "08_structured_pruning": (
        (
            "teacher",
            "structured_both_50",
            "structured_both_50_recovered",
            "structured_layers_1_recovered",
            "structured_weights_50",
            "structured_both_50_recovered_int8",
        ),
        ("teacher", "structured_both_50_recovered"),
    ),
}


def systems(*, seeds=(0,), **options):
    """Return a study with the overview's other systems for two tasks."""
    made = study(seeds=seeds, **options)
    profile, source = made[0]["profile"], made[0]["data"]["source"]
    for notebook, (names, timed) in SYSTEMS.items():
        for task in ("cola", "sst2"):
            for seed in seeds:
                record = make("02_augmentation", task, seed, profile=profile, source=source)
                record["notebook"] = notebook
                draw = np.random.default_rng([int(notebook[:2]), list(TASKS).index(task), seed])
                record["arms"] = [trained(n, task, seed, draw=draw if n in timed else None) for n in names]
                record["latency_setup"] = dict(made[-1]["latency_setup"], baseline="teacher")
                for arm in record["arms"]:
                    _as_measured(arm)
                made.append(record)
    return sorted(made, key=lambda record: (record["notebook"], record["task"], record["seed"]))


def _as_measured(arm):
    """Give an arm of another system the reference, the title and the parameters that its notebook gives it."""
    name = arm["arm"]
    method = name.partition("_")[0]
    reference = {"distilbert": "student" if name == "distilbert" else "distilbert", "albert": "albert"}
    if arm["versus"]:
        arm["versus"]["arm"] = "student" if name == "albert" else reference.get(method, "teacher")
    if name == "albert_e8":
        arm["title"] = "ALBERT, embeddings 8 wide"
    if method == "structured":
        _, kind, size, *more = name.split("_")
        arm["title"] = ", ".join([f"teacher without {size} of {kind}", *more])
        left = 0.75 if kind == "layers" else 0.5
        arm["parameter"] = {"kind": kind, "removed": float(size), "left": left, "recovered": bool(more)}
        if kind == "weights":
            arm["versus"]["arm"] = name.replace("weights", "both")
        if more[-1:] == ["int8"]:
            arm["parameter"], arm["versus"]["arm"] = None, name.removesuffix("_int8")


def ladder():
    """Return examples per second of three ways."""
    return {
        "teacher": "BERT-base shape",
        "student": "TinyBERT shape",
        "batch_size": 32,
        "rungs": {
            "plain": {"steps": 6, "training": 6.3, "first_epoch": 1.0, "ten_epochs": 1.0},
            "bf16": {"steps": 6, "training": 12.6, "first_epoch": 2.0, "ten_epochs": 2.0},
            "all together": {
                "steps": 47,
                "training": 389.0,
                "storing": 229.0,
                "first_epoch": 22.88,
                "ten_epochs": 52.4,
            },
        },
    }


def make(notebook, task, seed, *, profile="mini", source="generated"):
    """Return one valid record."""
    metrics, floor, top, n = TASKS[task]
    draw = np.random.default_rng([int(notebook[:2]), list(TASKS).index(task), seed])
    models = {
        "01": ("teacher", "control", "student"),
        "02": ("student", "augmented", "augmented_gold"),
        "03": ("student", "pruned"),
        "04": (),
    }
    arms = [trained(name, task, seed) for name in models[notebook[:2]]]
    if notebook[:2] == "03":
        arms += [trained(f"pruned_{amount}", task, seed, amount=amount) for amount in AMOUNTS]
    if notebook[:2] == "04":
        arms = [trained(name, task, seed, draw=draw) for name in ("teacher", "student", "pruned", "int8")]
        arms += [shape(name, draw) for name in SHAPES]
    timed = notebook[:2] == "04"
    return {
        "schema": 1,
        "notebook": notebook,
        "profile": profile,
        "task": task,
        "seed": seed,
        "created": f"2026-11-20T10:{seed % 60:02d}:00Z",
        "parameters": {
            "task": task,
            "seed": seed,
            "student_start": "random",
            "augmentation_steps": 1,
            "learning_rate": 3e-5,
            "amounts": list(AMOUNTS),
        },
        "data": {
            "source": source,
            "name": "mini_glue" if source == "generated" else "glue",
            "revision": None,
            "fingerprint": "0123456789abcdef",
            "rows": {"train": 4 * n, "heldout": n, "validation": n},
            "note": "train is 18,869 of 104,743 rows" if task == "qnli" and source != "generated" else None,
        },
        "models": [
            {
                "role": "language_model",
                "name": "mini-bert",
                "source": "built",
                "revision": None,
                "sha256": None,
            },
            {
                "role": "student",
                "name": "mini-tiny",
                "source": "built",
                "revision": None,
                "sha256": "ab" * 32,
            },
        ],
        "code": {"commit": None, "clean": None},
        "environment": {
            "python": "3.11.7",
            "platform": "Linux",
            "device": "cpu",
            "accelerator": None,
            "cpu": {"model": "Testor 9000", "cores_physical": 2, "cores_logical": 2, "flags": ["avx2"]},
            "memory_gb": 8.0,
            "threads": 2,
            "quantized_engine": "x86",
            "versions": {"torch": "2.13.0"},
        },
        "metrics": list(metrics),
        "floor": floor,
        "arms": arms,
        "latency_setup": {
            "threads": 2,
            "repeats": 30,
            "warmup": 3,
            "batch_size": 32,
            "padded_length": 128,
            "baseline": "bert_base_shape",
            "load_before": 0.2,
            "load_after": 1.1,
            "device": "cpu",
            "precision": "float32",
        }
        if timed
        else None,
        "curves": {
            "teacher": [{"step": step, "loss": 0.7 * 0.98**step} for step in range(0, 100, 10)],
            "student_intermediate": [{"step": step, "loss": 3.0 * 0.97**step} for step in range(0, 100, 10)],
        }
        if notebook[:2] == "01"
        else None,
        "seconds": 12.5,
        "building_seconds": 120.0,
        "peak_memory_mb": 900.0,
    }


def trained(name, task, seed, *, amount=None, draw=None):
    """Return an arm with scores; the same name, task and seed give the same scores in every notebook."""
    metrics, floor, top, n = TASKS[task]
    noise = np.random.default_rng([sum(map(ord, name)), list(TASKS).index(task), seed]).normal(0, 0.01)
    level = _LEVEL.get(name, 0.93)
    if amount is not None:
        level = 0.93 * (1 - 1 / (1 + np.exp(-(amount - 0.62) * 12)))
    value = floor + (top - floor) * level + noise
    half = 1.96 * 0.45 / np.sqrt(n)
    versus = {"control": "teacher", "student": "teacher"}.get(name, "student")
    difference = 0.0 if name == "teacher" else value - (floor + (top - floor) * (1.0 if versus == "teacher" else 0.93))
    big = name == "teacher"
    size = (4_000_000, 9_000_000, 70_000) if big else (2_000_000, 1_100_000, 20_000)
    if name == "int8":
        size = (2_000_000, 280_000, 6_000)
    sparsity = amount if amount is not None else (0.3 if name == "pruned" else None)
    parameters = sum(size) // 4
    return {
        "arm": name,
        "title": TITLES.get(name, f"Pruned by {amount}"),
        "chain": {"teacher": "fine-tune", "control": "train"}.get(name, "distil"),
        "parameter": None if sparsity is None else {"amount": sparsity},
        "scores": {
            metric: {
                "value": value - 0.01 * k,
                "low": value - 0.01 * k - half,
                "high": value - 0.01 * k + half,
            }
            for k, metric in enumerate(metrics)
        },
        "n": n,
        "heldout_scores": {metric: value for metric in metrics},
        "versus": None
        if big
        else {"arm": versus, "difference": difference, "low": difference - 0.02, "high": difference + 0.02},
        "retention": (value - floor) / (top - floor),
        "predictions": {"artifact": "predictions/ab12", "sha256": "cd" * 32},
        "parameters": parameters,
        "nonzero": int(parameters * (1 - 0.9 * (sparsity or 0.0))),
        "bytes": _bytes(*size),
        "sparsity": None if sparsity is None else _sparsity(sparsity),
        "latency": None if draw is None else _latency({"teacher": 30.0}.get(name, 8.0), 910.0, n, draw),
    }


def shape(name, draw):
    """Return a size-and-time arm: random weights, no scores."""
    *megabytes, milliseconds = SHAPES[name]
    size = [int(part * 1e6) for part in megabytes]
    return {
        "arm": name,
        "title": TITLES[name],
        "chain": "",
        "parameter": None,
        "scores": None,
        "n": None,
        "heldout_scores": None,
        "versus": None,
        "retention": None,
        "predictions": None,
        "parameters": sum(size) // 4,
        "nonzero": sum(size) // 4,
        "bytes": _bytes(*size),
        "sparsity": None,
        "latency": None if draw is None else _latency(milliseconds, 910.0, 300, draw),
    }


def _bytes(embedding, encoder, head):
    total = embedding + encoder + head
    return {
        "file": total + 8_000,
        "state_dict": total + 40_000,
        "embedding": embedding,
        "encoder": encoder,
        "head": head,
        "gzip": int(0.9 * total),
    }


def _sparsity(amount):
    layers = {f"bert.embeddings.{part}_embeddings": 0.5 * amount for part in ("word", "position", "token_type")}
    layers["bert.embeddings.LayerNorm"] = 0.0
    for layer in range(4):
        base = f"bert.encoder.layer.{layer}.attention"
        for part, factor in (("query", 1.4), ("key", 1.5), ("value", 0.9)):
            layers[f"{base}.self.{part}"] = min(1.0, amount * factor * (1 - 0.1 * layer))
        layers[f"{base}.output.dense"] = min(1.0, amount * (1 - 0.1 * layer))
        layers[f"{base}.output.LayerNorm"] = 0.0
    return {"pool": amount, "model": 0.6 * amount, "layers": layers}


def _latency(milliseconds, baseline, n, draw):
    factors = {"batch1_true": 0.04, "batch1_padded": 0.09, "batch32_true": 1.0, "batch32_padded": 3.5}
    blocks = {}
    for block, factor in factors.items():
        median = milliseconds * factor * draw.uniform(0.97, 1.03)
        ratio = baseline * factor / median
        blocks[block] = {
            "median_ms": median,
            "p95_ms": 1.1 * median,
            "repeats": 30,
            "mean_tokens": 16.0 * factor * 32,
            "speedup": {"median": ratio, "low": 0.97 * ratio, "high": 1.03 * ratio},
        }
    seconds = blocks["batch32_true"]["median_ms"] / 1000 * n / 32
    return blocks | {"validation_seconds": seconds, "validation_estimated": False}


def arm(record: dict, name: str) -> dict:
    """Return a record's arm of this name."""
    return next(each for each in record["arms"] if each["arm"] == name)
