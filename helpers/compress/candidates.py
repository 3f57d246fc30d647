"""Which words of a text may be replaced, and by what (Jiao et al. 2019, section 3.2, algorithm 1).

A word of one WordPiece is masked, and the language model says what else could stand there; a word of several pieces
takes its neighbours among word vectors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
import torch
from torch import Tensor, nn
from transformers import BertTokenizer

from helpers import models, tasks
from helpers.artifacts import step
from helpers.artifacts.store import CHECKPOINTS
from helpers.compress.word_vectors import VECTORS, WordVectors
from helpers.environment import device

__all__ = [
    "CANDIDATES",
    "KEPT",
    "Options",
    "Word",
    "allowed",
    "candidates",
    "fill_masks",
    "find_candidates",
    "words_of",
]

# Words that carry grammar or turn the meaning round: a variant without its "not" would be another example.
GRAMMAR = """
a an the this that these those some any each every no not nor never none nothing nobody neither either both all
i you he she it we they me him her us them my your his its our their who whom whose which what when where why how
am is are was were be been being do does did doing have has had having will would shall should can could may
might must ought and or but if because as until while although though unless than so yet of at by for with about
against between into through during before after above below to from up down in out on off over under again
there here very too only just also
"""
# What the tokenizer makes of "didn't", "they'll" and "Mary's": didn, t, ll, s. GLUE's own "did n't" and "ca n't", too.
CONTRACTED = """
s t d m ll re ve n nt ca wo ain aren couldn didn doesn don hadn hasn haven isn mightn mustn needn shan shouldn wasn
weren won wouldn
"""
KEPT = frozenset((GRAMMAR + CONTRACTED).split())
PART = 2000  # rows after which what is done is kept
CANDIDATES = "candidates.parquet"
LINES = pyarrow.schema(
    [
        *((name, pyarrow.int32()) for name in ("row", "text", "start", "end")),
        ("options", pyarrow.list_(pyarrow.string())),
    ]
)
LETTERS = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class Word:
    """A word of a text that may be replaced: its place in the text, and the place of its token if it has only one."""

    start: int
    end: int
    token: int | None


Options = list[tuple[Word, list[str]]]  # the words of a text that may be replaced, each with what may stand there


def words_of(text: str, tokenizer: BertTokenizer, *, max_length: int) -> tuple[list[int], list[Word]]:
    """Return a text's token ids and the words in it that may be replaced.

    Not among them: numbers and punctuation, words of grammar, special tokens, and what `max_length` cuts off.
    """
    encoded = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)
    places: dict[int, list[int]] = {}
    for token, word in enumerate(encoded.word_ids()):
        if word is not None and encoded["input_ids"][token] not in tokenizer.all_special_ids:
            places.setdefault(word, []).append(token)
    found = []
    for tokens in places.values():
        start, end = encoded["offset_mapping"][tokens[0]][0], encoded["offset_mapping"][tokens[-1]][1]
        word = text[start:end]
        if LETTERS.fullmatch(word) and word.lower() not in KEPT:
            found.append(Word(start, end, tokens[0] if len(tokens) == 1 else None))
    return encoded["input_ids"], found


def allowed(tokenizer: BertTokenizer) -> Tensor:
    """Return which pieces (V,) may stand for a word: whole words of letters, of more than one letter, not grammar."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return torch.tensor([bool(LETTERS.fullmatch(w)) and len(w) > 1 and w not in KEPT for w, _ in vocabulary])


@torch.inference_mode()
def fill_masks(
    model: nn.Module,
    tokenizer: BertTokenizer,
    queries: Sequence[tuple[Sequence[int], int]],
    *,
    count: int,
    batch_tokens: int = tasks.BATCH_TOKENS,
    precision: str = "float32",
) -> list[list[str]]:
    """Return for each query (token ids, place) the `count` most probable words at that place, when it is masked.

    The word that stood there is not among them. Queries of similar length share a batch of at most `batch_tokens`
    tokens, padding included, and the output layer, as large as the vocabulary, is applied at the masked places alone.
    """
    where, may = device(), allowed(tokenizer)
    model, may = model.to(where).eval(), may.to(where)
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    found: list[list[str]] = [[] for _ in queries]
    for chosen in tasks.batches([len(ids) for ids, _ in queries], tokens=batch_tokens):
        rows = [{"input_ids": list(queries[i][0])} for i in chosen]
        rows = [
            row | {"token_type_ids": [0] * len(row["input_ids"]), "attention_mask": [1] * len(row["input_ids"])}
            for row in rows
        ]
        inputs = {name: value.to(where) for name, value in tasks.collate(rows, pad_id=tokenizer.pad_token_id).items()}
        here, places = torch.arange(len(chosen), device=where), torch.tensor([queries[i][1] for i in chosen])
        places = places.to(where)
        original = inputs["input_ids"][here, places].clone()
        inputs["input_ids"][here, places] = tokenizer.mask_token_id
        with torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16"):
            hidden = model.bert(**inputs).last_hidden_state
            logits = model.cls.predictions(hidden[here, places]).float()
        logits.masked_fill_(~may, -torch.inf)
        logits[here, original] = -torch.inf
        best = logits.topk(min(count, logits.shape[1]), dim=1)
        for i, ids, values in zip(chosen, best.indices.tolist(), best.values.tolist(), strict=True):
            found[i] = [names[token] for token, value in zip(ids, values, strict=True) if value > -torch.inf]
    return found


def candidates(
    texts: Sequence[str],
    model: nn.Module,
    tokenizer: BertTokenizer,
    vectors: WordVectors | None,
    *,
    count: int,
    max_length: int,
    batch_tokens: int = tasks.BATCH_TOKENS,
    precision: str = "float32",
) -> list[Options]:
    """Return for each text its replaceable words with what may stand in their place.

    Each word is looked at in the text as it is, once, however many variants are drawn from it. A word without a
    candidate (several pieces, and no vector) is left out.
    """
    seen = [words_of(text, tokenizer, max_length=max_length) for text in texts]
    queries = [(ids, word.token) for ids, words in seen for word in words if word.token is not None]
    answers = iter(fill_masks(model, tokenizer, queries, count=count, batch_tokens=batch_tokens, precision=precision))
    found = []
    for text, (_, words) in zip(texts, seen, strict=True):
        row = []
        for word in words:
            if word.token is not None:
                options = next(answers)
            else:
                split = text[word.start : word.end].lower()
                options = vectors.nearest(split, count, without=KEPT) if vectors else []
            if options:
                row.append((word, options))
        found.append(row)
    return found


@step(version=3)
def find_candidates(
    folder: Path,
    *,
    language_model: Path,
    vectors: WordVectors | Path | None,
    data: tasks.TaskData,
    count: int,
    max_length: int,
    precision: str,
    on: str,
) -> None:
    """Write the candidates of a task's training rows, one line for each word: `row`, `text` (0 or 1), place, `options`.

    They are the same for every seed. `on`, the kind of device, decides between words that are nearly as probable.
    `vectors` may be the folder of `make_vectors`. Rows are done in parts, and a part that is there is not done again.
    """
    if isinstance(vectors, Path):
        vectors = WordVectors.read(vectors / VECTORS)
    tokenizer, model = models.tokenizer(language_model), models.masked_language_model(language_model)
    options = {"count": count, "max_length": max_length, "precision": precision}
    parts = []
    for first in range(0, len(data.train), PART):
        part = folder / CHECKPOINTS / f"candidates-{first}.parquet"
        parts.append(part)
        if part.exists():
            continue
        rows = data.train.select(range(first, min(first + PART, len(data.train))))
        lines = [
            {"row": first + i, "text": place, "start": word.start, "end": word.end, "options": others}
            for place, name in enumerate(data.task.text)
            for i, words in enumerate(candidates(rows[name][:], model, tokenizer, vectors, **options))
            for word, others in words
        ]
        part.parent.mkdir(exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(lines, schema=LINES), part.with_suffix(".tmp"))
        part.with_suffix(".tmp").replace(part)
    found = pyarrow.concat_tables([pyarrow.parquet.read_table(part) for part in parts])
    pyarrow.parquet.write_table(found, folder / CANDIDATES)
