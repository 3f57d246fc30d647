"""Word vectors in GloVe's text format: read, or trained on a text, and asked for a word's neighbours.

`python -m helpers.compress.word_vectors TEXT FILE` makes such a file from a text.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from gensim.models import KeyedVectors, Word2Vec

from helpers import tasks
from helpers.artifacts import step
from helpers.environment import InputError
from helpers.wording import shown

__all__ = ["LEAST", "VECTORS", "WordVectors", "main", "make_vectors", "train_vectors"]

VECTORS = "vectors.txt"  # in the folder of those that are made here
LEAST = 5  # a word that occurs less often gets no vector


class WordVectors:
    """Words and their vectors, as gensim holds them."""

    def __init__(self, vectors: KeyedVectors, name: str) -> None:
        self.vectors, self.name = vectors, name
        self._known: dict[tuple[str, int, frozenset[str]], list[str]] = {}

    @property
    def fingerprint(self) -> str:
        """A hash of all words and their vectors."""
        total = hashlib.sha256("\n".join(self.vectors.index_to_key).encode())
        total.update(np.ascontiguousarray(self.vectors.vectors).tobytes())
        return total.hexdigest()[:16]

    def nearest(self, word: str, count: int, *, without: Collection[str] = ()) -> list[str]:
        """Return the `count` other words of letters with the largest cosine; none for a word without a vector."""
        if word not in self.vectors:
            return []
        asked = (word, count, frozenset(without))
        if asked not in self._known:
            near = (other for other, _ in self.vectors.most_similar(word, topn=4 * count + len(without)))
            self._known[asked] = [other for other in near if other.isalpha() and other not in without][:count]
        return self._known[asked]

    @classmethod
    def read(cls, path: Path) -> WordVectors:
        """Read a file of lines `word number number …`, without a first line of counts.

        Raises `InputError` for a file that is missing, empty or not UTF-8, and for a line of another dimension or a
        word that stands twice, which gensim would pass over.
        """
        _check(path)
        return cls(KeyedVectors.load_word2vec_format(str(path), no_header=True), path.name)


def _check(path: Path) -> None:
    number, dimension, seen = 0, None, set()
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                word, *values = line.rstrip().split(" ")
                if word in seen:
                    raise InputError(f"Line {number} of {path} gives {shown(word)} a second vector; leave one out.")
                seen.add(word)
                dimension = dimension or len(values)
                if len(values) != dimension or dimension < 2:
                    raise InputError(
                        f"Line {number} of {path} has {len(values)} numbers, the first has {dimension}; each line must "
                        "be a word and its vector, with single spaces between, and none a header."
                    )
                np.array(values, np.float32)
    except UnicodeDecodeError as error:
        raise InputError(f"The word vectors {path} are not UTF-8 text; save them as such.") from error
    except OSError as error:
        raise InputError(f"The word vectors {path} cannot be read ({error.strerror}); give another file.") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Line {number} of {path} holds something that is no number; repair the file.") from error
    if not number:
        raise InputError(f"{path} holds no word vectors; give a file in GloVe's text format.")


def train_vectors(
    lines: Iterable[str], path: Path, *, dimension: int = 100, epochs: int = 5, least: int = LEAST
) -> None:
    """Train word vectors on a text (skip-gram, Mikolov et al. 2013) and write them in GloVe's format.

    Words are lower-case runs of letters that occur `least` times or more. One thread and a fixed seed: the same text
    gives the same file. Raises `InputError` if no word occurs that often.
    """
    sentences = [re.findall(r"[a-z]+", line.lower()) for line in lines]
    try:
        model = Word2Vec(
            sentences, vector_size=dimension, epochs=epochs, min_count=least, sg=1, workers=1, seed=0, window=5
        )
    except RuntimeError as error:  # gensim's word for an empty vocabulary
        raise InputError(f"No word of the text occurs {least} times; give a longer text for word vectors.") from error
    model.wv.save_word2vec_format(str(path), write_header=False)


@step(version=1)
def make_vectors(folder: Path, *, text: tasks.Text, dimension: int) -> None:
    """Train word vectors on a text corpus, for want of published ones."""
    train_vectors(text.rows["text"][:], folder / VECTORS, dimension=dimension)


def main(arguments: Sequence[str]) -> int:
    """Make a file of word vectors from a text and say what it is; return 0, or 2 for bad input."""
    try:
        if len(arguments) != 2:
            raise InputError("Give a text and a file: python -m helpers.compress.word_vectors TEXT FILE.")
        text, path = tasks.load_text(arguments[0]), Path(arguments[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        train_vectors(text.rows["text"][:], path)
        made = WordVectors.read(path).vectors
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"{path}: {len(made.index_to_key):,} words of {made.vector_size} numbers in GloVe's format; not GloVe's own "
        f"vectors, but skip-gram, trained here on {text.source} ({len(text.rows):,} lines)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
