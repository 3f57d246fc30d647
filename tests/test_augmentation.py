"""Augmentation: what may be replaced, by what, and what a variant never changes; word vectors and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import tiny
import torch
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given
from hypothesis import strategies as some
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertTokenizer

from helpers import models, tasks
from helpers.compress import candidates as finding
from helpers.compress import word_vectors
from helpers.compress.augmentation import Augmentation, augment, variants
from helpers.compress.candidates import Word, candidates, fill_masks, find_candidates, words_of
from helpers.compress.word_vectors import WordVectors, train_vectors
from helpers.environment import InputError, RunError

WORDS = [
    "red",
    "blue",
    "green",
    "tall",
    "small",
    "house",
    "tree",
    "river",
    "walk",
    "sing",
    "the",
    "not",
    "7",
    ".",
    "##s",
]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
PLAIN = {"red", "blue", "green", "tall", "small", "house", "tree", "river", "walk", "sing"}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    return tiny.words(tmp_path_factory.mktemp("words"), VOCABULARY)


@pytest.fixture(scope="module")
def model() -> BertForMaskedLM:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    made = BertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(6)  # so that contexts matter
    return made


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> WordVectors:
    path = tmp_path_factory.mktemp("vectors") / "vectors.txt"
    path.write_text("trees 1 0\ntree 0.9 0.1\nhouse 0.5 0.5\nriver 0 1\n7 1 0.1\n", encoding="utf-8")
    return WordVectors.read(path)


# which words


def test_words_that_may_be_replaced(words: BertTokenizer) -> None:
    text = "The RED house, not 7 trees [SEP] of  blue"
    ids, found = words_of(text, words, max_length=30)
    assert ids == words(text)["input_ids"]
    assert [text[word.start : word.end] for word in found] == ["RED", "house", "trees", "blue"]
    assert [words.convert_ids_to_tokens(ids[word.token]) if word.token else None for word in found] == [
        "red",
        "house",
        None,  # two pieces
        "blue",
    ]


def test_what_is_cut_off_is_not_replaced(words: BertTokenizer) -> None:
    ids, found = words_of("red house tree river", words, max_length=4)
    assert len(ids) == 4 and len(found) == 2


CONTRACTIONS = ["didn", "won", "ca", "wo", "t", "n", "s", "ll", "don", "'", "john", "mary"]


def test_no_part_of_a_contraction_is_replaced_or_takes_a_place(tmp_path: Path) -> None:
    """The tokenizer cuts "didn't" into three: a variant without its "t" would say the opposite."""
    words = tiny.words(tmp_path, [*VOCABULARY, *CONTRACTIONS])
    text = "John didn't sing Mary's river , won't walk , ca n't walk , she'll sing and don't red"
    _, found = words_of(text, words, max_length=60)
    assert {text[word.start : word.end] for word in found} == {"John", "Mary", "sing", "river", "walk", "red"}
    may = finding.allowed(words).tolist()
    assert {w for w in CONTRACTIONS if may[words.convert_tokens_to_ids(w)]} == {"john", "mary"}


# candidates


def by_hand(model: BertForMaskedLM, words: BertTokenizer, ids: list[int], place: int, count: int) -> list[str]:
    """One word at a time, the plain way: all logits of the masked text."""
    masked = torch.tensor([ids])
    masked[0, place] = words.mask_token_id
    with torch.no_grad():
        logits = model(input_ids=masked).logits[0, place]
    order = [words.convert_ids_to_tokens(i) for i in logits.argsort(descending=True).tolist()]
    return [word for word in order if word in PLAIN and word != words.convert_ids_to_tokens(ids[place])][:count]


@pytest.mark.parametrize("batch_tokens", [1, 30, 4096])
def test_masks_are_filled_as_one_at_a_time(model: BertForMaskedLM, words: BertTokenizer, batch_tokens: int) -> None:
    texts = ["red house", "the tall tree sing the small blue river .", "walk", "not green tree walk red 7"]
    queries = [(ids, word.token) for ids, found in (words_of(t, words, max_length=20) for t in texts) for word in found]
    assert len(queries) > 10 and len({len(ids) for ids, _ in queries}) > 2
    expected = [by_hand(model, words, ids, place, 4) for ids, place in queries]
    assert fill_masks(model, words, queries, count=4, batch_tokens=batch_tokens) == expected
    assert len(set(map(tuple, expected))) > 3, "contexts matter"
    before = [list(ids) for ids, _ in queries]
    fill_masks(model, words, queries, count=4)
    assert before == [list(ids) for ids, _ in queries]


def test_no_more_candidates_than_there_are_words(model: BertForMaskedLM, words: BertTokenizer) -> None:
    (found,) = fill_masks(model, words, [(words("red")["input_ids"], 1)], count=99)
    assert sorted(found) == sorted(PLAIN - {"red"}), "no piece, no number, no grammar, and not the word itself"


def test_words_of_several_pieces_take_their_neighbours(
    model: BertForMaskedLM, words: BertTokenizer, vectors: WordVectors
) -> None:
    text = "Trees sing houses"
    (found,) = candidates([text], model, words, vectors, count=2, max_length=20)
    assert [text[word.start : word.end] for word, _ in found] == ["Trees", "sing"], "houses has no vector"
    assert found[0][1] == ["tree", "house"]
    (without,) = candidates([text], model, words, None, count=2, max_length=20)
    assert [text[word.start : word.end] for word, _ in without] == ["sing"]
    assert without[0] == found[1]


# variants


def options_of(text: str) -> list[tuple[Word, list[str]]]:
    found, start = [], 0
    for part in text.split(" "):
        if part:
            found.append((Word(start, start + len(part), 1), [f"{part}1", f"{part}2"]))
        start += len(part) + 1
    return found


texts_of_words = some.lists(some.sampled_from(["red", "blue", "tree", ""]), max_size=7).map(" ".join)


@given(
    some.lists(texts_of_words, min_size=1, max_size=2),
    some.integers(0, 12),
    some.floats(0, 1),
    some.integers(0, 5),
    some.integers(0, 9),
)
def test_variants_change_words_and_nothing_else(
    texts: list[str], count: int, probability: float, seed: int, row: int
) -> None:
    settings = Augmentation(variants=count, probability=probability, seed=seed)
    options = [options_of(text) for text in texts]
    made = list(variants(texts, options, settings, row=row))
    assert made == list(variants(texts, options, settings, row=row)), "the same each time"
    assert len(made) <= count and len(set(made)) == len(made) and tuple(texts) not in made
    for variant in made:
        assert sum(new != old for new, old in zip(variant, texts, strict=True)) == 1, "one side of a pair stays"
        for new, old in zip(variant, texts, strict=True):
            pairs = list(zip(new.split(" "), old.split(" "), strict=True))
            assert all(n == o or n in (f"{o}1", f"{o}2") for n, o in pairs)
    if probability == 0:
        assert not made


def test_both_sides_of_pairs_are_changed_in_turn_and_as_often_as_asked() -> None:
    texts = ["red " * 400, "blue " * 400]
    options = [options_of(text) for text in texts]
    made = list(variants(texts, options, Augmentation(variants=20, probability=0.4), row=3))
    assert [new[0] != texts[0] for new in made] == [True, False] * 10
    shares = [np.mean([w != "red" for w in new[0].split()]) for new in made[::2]]
    assert np.mean(shares) == pytest.approx(0.4, abs=0.03)
    other = list(variants(texts, options, Augmentation(variants=20, probability=0.4), row=4))
    seeded = list(variants(texts, options, Augmentation(variants=20, probability=0.4, seed=1), row=3))
    assert made[0] != other[0] and made[0] != seeded[0]


def test_the_first_text_stays_changed_as_in_the_authors_code() -> None:
    texts = ["red tree red", "blue tree"]
    settings = Augmentation(variants=4, probability=0.6, first_text_stays_changed=True)
    made = list(variants(texts, [options_of(text) for text in texts], settings, row=2))
    firsts, seconds = zip(*made, strict=True)
    turn = next(i for i, text in enumerate(seconds) if text != texts[1])
    assert 1 < turn < len(made) <= 8, "of each text as many are drawn"
    assert set(seconds[:turn]) == {texts[1]} and texts[0] not in firsts
    assert set(firsts[turn:]) == {firsts[turn - 1]}, "the last variant of the first stands beside all of the second"
    single = [options_of(texts[0])]
    plain = Augmentation(variants=4, probability=0.6)
    assert list(variants(texts[:1], single, settings, row=2)) == list(variants(texts[:1], single, plain, row=2))


# the step


def data(rows: int = 7) -> tasks.TaskData:
    known = tasks.TASKS["rte"]
    features = Features(
        {name: Value("string") for name in known.text} | {"label": ClassLabel(names=list(known.labels))}
    )
    random = np.random.default_rng(0)
    columns = {name: [" ".join(random.choice(sorted(PLAIN), 5)) for _ in range(rows)] for name in known.text}
    made = Dataset.from_dict(columns | {"label": [i % 2 for i in range(rows)]}, features=features)
    return tasks.TaskData(known, made, made, made, "generated", "tiny", None, "tiny pairs")


@pytest.fixture
def language_model(tmp_path: Path, words: BertTokenizer) -> Path:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    (tmp_path / "lm").mkdir()
    models.save(BertForPreTraining(config), words, tmp_path / "lm")
    return tmp_path / "lm"


def test_augment_draws_from_candidates_that_were_found_part_by_part(
    tmp_path: Path, language_model: Path, vectors: WordVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PART", 3)
    arguments = {"language_model": language_model, "vectors": vectors, "data": data(), "count": 3}
    arguments |= {"max_length": 20, "precision": "float32", "on": "cpu"}
    settings = Augmentation(variants=4, probability=0.5)
    (tmp_path / "found").mkdir()
    find_candidates(tmp_path / "found", **arguments)
    (tmp_path / "made").mkdir()
    augment(tmp_path / "made", found=tmp_path / "found", data=data(), settings=settings)
    made = tasks.read_variants(tmp_path / "made")
    assert made.column_names == ["sentence1", "sentence2", "label", "row"]
    assert made["row"][:] == sorted(made["row"][:]) and set(made["row"]) == set(range(7))
    original = data().train
    for row in made:
        old = original[row["row"]]
        assert row["label"] == old["label"]
        assert (row["sentence1"] == old["sentence1"]) != (row["sentence2"] == old["sentence2"])
    # as if drawn from what was found in one go
    words, model = models.tokenizer(language_model), models.masked_language_model(language_model)
    texts = [original[name][:] for name in ("sentence1", "sentence2")]
    found = [candidates(some, model, words, vectors, count=3, max_length=20) for some in texts]
    by_hand = [
        (*variant, row)
        for row, (pair, options) in enumerate(zip(zip(*texts, strict=True), zip(*found, strict=True), strict=True))
        for variant in variants(pair, options, settings, row=row)
    ]
    assert [(row["sentence1"], row["sentence2"], row["row"]) for row in made] == by_hand
    # killed after the first part: that part is not done again, and the end is the same
    (tmp_path / "again" / "checkpoints").mkdir(parents=True)
    first = "checkpoints/candidates-0.parquet"
    (tmp_path / "again" / first).write_bytes((tmp_path / "found" / first).read_bytes())
    asked, ask = [], candidates
    monkeypatch.setattr(
        finding, "candidates", lambda some, *given, **more: asked.append(len(some)) or ask(some, *given, **more)
    )
    find_candidates(tmp_path / "again", **arguments)
    assert asked == [3, 3, 1, 1], "two texts a row, rows 3 to 6"
    both = [pyarrow.parquet.read_table(tmp_path / name / finding.CANDIDATES) for name in ("found", "again")]
    assert both[0].equals(both[1])


def test_rows_without_words_to_replace_are_refused(tmp_path: Path, language_model: Path) -> None:
    rows = Dataset.from_dict({"sentence": ["the a of", "12 34"], "label": [0, 1]})
    empty = tasks.TaskData(tasks.TASKS["sst2"], rows, rows, rows, "generated", "tiny", None, None)
    for name in ("found", "made"):
        (tmp_path / name).mkdir()
    options = {"count": 3, "max_length": 20, "precision": "float32", "on": "cpu"}
    find_candidates(tmp_path / "found", language_model=language_model, vectors=None, data=empty, **options)
    with pytest.raises(RunError, match="No row of tiny has a variant: none of its words may be replaced"):
        augment(tmp_path / "made", found=tmp_path / "found", data=empty, settings=Augmentation())


def test_a_language_model_without_the_head_is_refused(
    tmp_path: Path, words: BertTokenizer, language_model: Path
) -> None:
    (tmp_path / "encoder").mkdir()
    models.save(models.encoder(models.read(language_model)), words, tmp_path / "encoder")
    with pytest.raises(InputError, match="encoder has no head that fills masks; take one .* or set pretraining_steps"):
        models.masked_language_model(tmp_path / "encoder")


def test_the_head_that_is_loaded_is_the_one_that_was_trained(language_model: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    trained = BertForPreTraining(config).eval()
    with torch.no_grad():
        trained.cls.predictions.bias.copy_(torch.arange(len(VOCABULARY)).float())
    models.save(trained, models.tokenizer(language_model), language_model)
    loaded, ids = models.masked_language_model(language_model), torch.tensor([[2, 7, 4, 9, 3]])
    with torch.no_grad():
        assert torch.allclose(loaded(input_ids=ids).logits, trained(input_ids=ids).prediction_logits, atol=1e-5)
    assert loaded.cls.predictions.decoder.weight is loaded.bert.embeddings.word_embeddings.weight


# vectors


def test_the_nearest_words_are_those_of_the_largest_cosine(vectors: WordVectors) -> None:
    assert vectors.nearest("trees", 5) == ["tree", "house", "river"], "7 is no word of letters"
    assert vectors.nearest("trees", 1) == ["tree"]
    assert vectors.nearest("trees", 1, without={"tree"}) == ["house"], "not what was found for all words"
    assert vectors.nearest("trees", 2, without={"tree"}) == ["house", "river"]
    assert vectors.nearest("cloud", 3) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 1 2\nb 1\n", "Line 2 of .* has 1 numbers, the first has 2"),
        ("a 1 2\nb 1 2 3\n", "Line 2 of .* has 3 numbers, the first has 2"),
        ("2 2\na 1 2\n", "Line 1 of .* has 1 numbers, .* none a header"),
        ("a 1 2\nb 1 x\n", "Line 2 of .* holds something that is no number; repair the file"),
        ("", "holds no word vectors"),
        ("\n", "Line 1 of .* has 0 numbers"),
        (None, "are not UTF-8 text"),
    ],
)
def test_broken_vector_files(tmp_path: Path, text: str | None, expected: str) -> None:
    (tmp_path / "vectors.txt").write_bytes(b"caf\xe9 1 2\n" if text is None else text.encode())
    with pytest.raises(InputError, match=expected):
        WordVectors.read(tmp_path / "vectors.txt")


def test_a_command_makes_vectors_and_says_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    lines = ["the red sea", "a red sky", "the sky and the sea"] * 20
    Dataset.from_dict({"text": lines}).to_parquet(tmp_path / "text" / "train-0.parquet")
    assert word_vectors.main([str(tmp_path / "text"), str(tmp_path / "new" / "vectors.txt")]) == 0
    said = capsys.readouterr().out
    assert "6 words of 100 numbers in GloVe's format; not GloVe's own vectors" in said and "text (60 lines)" in said
    assert len(WordVectors.read(tmp_path / "new" / "vectors.txt").nearest("red", 3)) == 3
    for wrong, expected in (
        ([], "Give a text and a file"),
        ([str(tmp_path / "none"), "x"], "does not exist"),
    ):
        assert word_vectors.main(wrong) == 2
        assert expected in capsys.readouterr().err


def test_a_missing_vector_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read .No such file or directory.; give another file"):
        WordVectors.read(tmp_path / "none.txt")


def test_vectors_are_trained_on_a_text_and_read_again(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    # two topics: words of one stand together, of the other never
    topics = [["red", "blue", "green"], ["walk", "sing", "dance"]]
    lines = [" ".join(random.choice(topics[i % 2], 8)).upper() + "." for i in range(300)]
    for name in ("one", "two"):
        train_vectors(lines, tmp_path / name, dimension=8, epochs=10)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = WordVectors.read(tmp_path / "one")
    assert sorted(found.nearest("red", 2)) == ["blue", "green"] and sorted(found.nearest("sing", 2)) == [
        "dance",
        "walk",
    ]
    assert found.fingerprint == WordVectors.read(tmp_path / "two").fingerprint
    with pytest.raises(InputError, match="No word of the text occurs 5 times"):
        train_vectors(["a b", "c"], tmp_path / "none")
