"""Chains as text: read, written, refused with a sentence, shared beginnings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.compress import notation
from helpers.environment import InputError

SHARES = st.integers(1, 9999).map(lambda share: share / 10_000)
STEPS = st.one_of(
    st.sampled_from(["teacher", "distil", "train", "recover", *notation.ROUNDINGS]).map(lambda name: (name,)),
    st.just(("recover", "labels")),
    st.just(("prune", notation.FIT)),
    st.tuples(st.sampled_from(["prune", "low_rank"]), SHARES),
)


def test_a_chain_is_read_in_order() -> None:
    found = notation.parse(" distil>prune 0.3 >  recover labels > int4")
    assert found == (("distil",), ("prune", 0.3), ("recover", "labels"), ("int4",))
    assert notation.write(found) == "distil > prune 0.3 > recover labels > int4"
    assert notation.parse("prune fit > distil")[0] == ("prune", notation.FIT)


@pytest.mark.parametrize(
    "text",
    [
        "distil > int8",
        "int4 > prune 0.5 > distil > recover",
        "teacher > low_rank 0.5 > recover > prune fit > int4",
        "prune 0.3 > train > prune 0.6 > recover labels > bf16",
        "distil > recover > recover > float8",
    ],
)
def test_what_can_be(text: str) -> None:
    assert notation.write(notation.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "such as 'distil > prune 0.3 > int4', not ''"),
        (None, "not None"),
        ("distil > > int8", "a place without a step"),
        ("distil > prun 0.3", "no step 'prun'; the nearest known: prune"),
        ("distil > zzz", "known are teacher, distil, train"),
        ("distil 3", "distil takes no '3'; '>' stands between steps"),
        ("distil > recover softly", "recover takes no 'softly'"),
        ("distil > prune", "prune takes a share above 0 and below 1 with 4 digits at most, or fit."),
        ("distil > prune 0.3 0.4", "not '0.3 0.4'"),
        ("distil > prune 1", "not '1'"),
        ("distil > prune nan", "not 'nan'"),
        ("distil > low_rank fit", "low_rank takes a share above 0 and below 1 with 4 digits at most, not 'fit'"),
        ("distil > teacher", "teacher cannot come here, for it is what a chain begins with"),
        ("teacher > distil", "distil cannot come here, for the model is trained already (teacher)"),
        ("distil > train", "train cannot come here, for the model is trained already (distil)"),
        ("prune 0.3 > recover > distil", "there is nothing to recover yet"),
        ("distil > prune 0.3 > prune 0.3", "for prune 0.3 has already taken as much"),
        ("distil > prune fit > prune 0.9", "prune 0.9 cannot come here, for prune fit has taken all"),
        ("distil > prune 0.3 > low_rank 0.5", "would undo prune: put low_rank before"),
        ("distil > int4 > low_rank 0.5", "would undo int4: put low_rank before"),
        ("low_rank 0.5 > distil > low_rank 0.4", "have a low rank already"),
        ("distil > int8 > int4", "int4 cannot come here, for the weights are rounded already (int8)"),
        ("prune 0.3 > int4", "never learns the task; it needs distil or train, or begins with teacher"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        notation.parse(text)
    assert said in str(error.value) and "\n" not in str(error.value) and str(error.value).endswith(".")
    if text:
        assert repr(text) in str(error.value), "the chain is named"


@given(st.lists(STEPS, min_size=1, max_size=6))
def test_every_chain_is_read_back_or_refused(steps: list[notation.Link]) -> None:
    text = notation.write(steps)
    try:
        found = notation.parse(text)
    except InputError:
        return
    assert list(found) == steps and notation.write(found) == text
    # what may be built has every beginning that learns the task buildable, too
    for end in range(1, len(steps)):
        try:
            notation.parse(notation.write(steps[:end]))
        except InputError as error:
            assert "never learns" in str(error)


def test_common_beginnings_are_there_once() -> None:
    chains = [notation.parse(text) for text in ("distil > prune 0.3 > int4", "distil > int4", "distil > prune 0.3")]
    found = [notation.write(each) for each in notation.beginnings(chains)]
    assert found == ["distil", "distil > prune 0.3", "distil > prune 0.3 > int4", "distil > int4"]
    with pytest.raises(ValueError, match="amounts are decided before"):
        notation.beginnings([notation.parse("distil > prune fit > int4")])
