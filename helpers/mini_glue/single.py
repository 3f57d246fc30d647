"""The generated tasks about one sentence: acceptability (as CoLA) and sentiment (as SST-2).

Each generator takes the random generator and the label that is wanted, and returns a sentence, or None when
its draw cannot carry that label (the caller draws again).
"""

from random import Random

from helpers.mini_glue.grammar import sentence
from helpers.mini_glue.words import (
    ANIMALS,
    ASPECTS,
    MANNERS,
    MEETINGS,
    PEOPLE,
    PLACES,
    SENTIMENT,
    STATES,
    TRAITS,
    WORKS,
    adverb,
    article,
    participle,
    plural,
    progressive,
)

__all__ = ["acceptability", "opinion", "sentiment"]

_DETERMINERS = (
    ("the", "the", "this", "that", "every", "each"),
    ("the", "the", "these", "those", "many", "several"),
)
_BE, _HAVE = ("is", "are"), ("has", "have")
_ERRORS = ("verb", "verb", "verb", "inner", "determiner", "reflexive", "order", "order", "form", "gap")
# Neighbours that may not change places: Determiner, Adjective, Noun, Preposition, auXiliary, Verb, Relative.
_FIXED_ORDER = {("D", "N"), ("D", "A"), ("A", "N"), ("P", "D"), ("X", "V"), ("R", "V"), ("R", "D")}
_NEEDS_OBJECT = ("avoid", "praise", "applaud", "thank", "surprise", "chase", "pursue", "observe")
_NOUNS = tuple(noun for members in (PEOPLE | ANIMALS).values() for noun in members)
_HUMAN = frozenset(noun for members in PEOPLE.values() for noun in members)


class _Draft:
    """An acceptability sentence in the making: words with their part of speech, and the error to plant."""

    def __init__(self, rng: Random, error: str | None) -> None:
        self.rng, self.error, self.planted = rng, error, error is None
        self.words: list[tuple[str, str]] = []

    def add(self, *tagged: tuple[str, str]) -> None:
        self.words += [(word, tag) for word, tag in tagged if word]

    def plant(self, error: str, chance: float = 1.0) -> bool:
        """Say whether the error belongs here: once in a sentence, at a place where it fits."""
        if self.error != error or self.planted or self.rng.random() > chance:
            return False
        self.planted = True
        return True

    def noun_phrase(self, many: bool) -> str:
        rng = self.rng
        noun = rng.choice(_NOUNS)
        determiner = rng.choice(_DETERMINERS[many])
        if self.plant("determiner", 0.5):
            determiner = rng.choice(_DETERMINERS[not many][2:])
        adjective = rng.choice(rng.choice(TRAITS)) if rng.random() < 0.25 else ""
        self.add((determiner, "D"), (adjective, "A"), (plural(noun) if many else noun, "N"))
        return noun

    def verb(self, many: bool, verb: str, error: str) -> None:
        """Add a verb in the present, or after an auxiliary; `error` names its agreement error."""
        if self.plant(error):
            many = not many
        form = self.rng.random()
        wrong = form < 0.45 and self.plant("form")
        if form < 0.15:
            self.add((_HAVE[many], "X"), (progressive(verb) if wrong else participle(verb), "V"))
        elif form < 0.3:
            self.add((_BE[many], "X"), (verb if wrong else progressive(verb), "V"))
        elif form < 0.45 and self.error != error:  # a modal verb shows no number
            self.add((self.rng.choice(("will", "can", "must")), "X"), (plural(verb) if wrong else verb, "V"))
        else:
            self.add((verb if many else plural(verb), "V"))

    def modifier(self, many: bool) -> None:
        """Add what stands between a subject and its verb: often a noun of the other number."""
        rng, choice, inner = self.rng, self.rng.random(), self.rng.random() < 0.5
        if choice < 0.5:
            self.add((rng.choice(("near", "behind", "beside", "with")), "P"))
            self.noun_phrase(inner)
            return
        self.add(("that", "R"))
        if choice < 0.75:
            self.verb(many, rng.choice(rng.choice(MEETINGS)), "inner")
            self.noun_phrase(inner)
            return
        self.noun_phrase(inner)
        self.verb(inner, rng.choice(rng.choice(MEETINGS)), "inner")
        if self.plant("gap"):  # the relative clause's object stands before it already
            self.noun_phrase(rng.random() < 0.5)

    def predicate(self, many: bool, noun: str) -> None:
        rng, choice = self.rng, self.rng.random()
        if choice < 0.3:
            if self.plant("verb"):
                many = not many
            degree = rng.choice(("very", "rather", "", ""))
            self.add((_BE[many], "B"), (degree, "E"), (rng.choice(rng.choice(TRAITS)), "C"))
        elif choice < 0.5:
            self.verb(many, rng.choice(rng.choice(STATES)), "verb")
            self.add((rng.choice(("", adverb(rng.choice(MANNERS)))), "E"))
        elif choice < 0.7:
            self.verb(many, rng.choice(rng.choice(MEETINGS)), "verb")
            if self.plant("reflexive"):
                many = not many
            one = rng.choice(("himself", "herself")) if noun in _HUMAN else "itself"
            self.add(("themselves" if many else one, "O"))
        elif self.plant("gap"):
            self.verb(many, rng.choice(_NEEDS_OBJECT), "verb")
        else:
            self.verb(many, rng.choice(rng.choice(MEETINGS)), "verb")
            self.noun_phrase(rng.random() < 0.5)
        if rng.random() < 0.2:
            preposition, determiner, place = rng.choice(PLACES).split()
            self.add((preposition, "P"), (determiner, "D"), (place, "N"))

    def swap(self) -> None:
        """Let two neighbours change places that may not."""
        pairs = list(zip(self.words, self.words[1:], strict=False))
        places = [i for i, ((a, x), (b, y)) in enumerate(pairs) if (x, y) in _FIXED_ORDER and a != b]
        if places and self.plant("order"):
            i = self.rng.choice(places)
            self.words[i : i + 2] = self.words[i + 1], self.words[i]


def acceptability(rng: Random, acceptable: bool) -> str | None:
    """Write a sentence that is grammatical, or has exactly one error of agreement, form or word order."""
    draft = _Draft(rng, None if acceptable else rng.choice(_ERRORS))
    many = rng.random() < 0.5
    noun = draft.noun_phrase(many)
    if rng.random() < 0.5:
        draft.modifier(many)
    draft.predicate(many, noun)
    draft.swap()
    return sentence(" ".join(word for word, _ in draft.words)) if draft.planted else None


def _plain(rng: Random, good: bool) -> str:
    """Write a claim about a work that means what its words say."""
    aspect, about = rng.choice(ASPECTS), rng.random()
    words = {kind: sides[good] for kind, sides in SENTIMENT.items()}
    if about < 0.6:
        degree = rng.choice(("", "", "very ", "truly ", "rather ", "quite "))
        return f"the {aspect} is {degree}{rng.choice(words['adjective'])}"
    if about < 0.75:
        return f"the {aspect} {plural(rng.choice(words['verb']))}"
    if about < 0.9:
        return f"the {aspect} is {article(rng.choice(words['noun']))}"
    return f"the {aspect} is full of {rng.choice(words['quality'])}"


def _turned(rng: Random, good: bool) -> str:
    """Write a claim by denying the opposite one."""
    aspect, about = rng.choice(ASPECTS), rng.random()
    words = {kind: sides[not good] for kind, sides in SENTIMENT.items()}
    if about < 0.6:
        no = rng.choice(("not", "not at all", "hardly", "never", "anything but", "far from", "by no means"))
        return f"the {aspect} is {no} {rng.choice(words['adjective'])}"
    if about < 0.7:
        no = rng.choice(("does not", "refuses to", "never seems to"))
        return f"the {aspect} {no} {rng.choice(words['verb'])}"
    if about < 0.8:
        return f"the {aspect} is {rng.choice(('no', 'hardly a', 'not a'))} {rng.choice(words['noun'])}"
    if about < 0.9:
        return f"the {aspect} {rng.choice(('lacks', 'avoids', 'has no'))} {rng.choice(words['quality'])}"
    return f"nobody could call the {aspect} {rng.choice(words['adjective'])}"


def _claim(rng: Random, good: bool) -> str:
    return _turned(rng, good) if rng.random() < 0.25 else _plain(rng, good)


def opinion(rng: Random, good: bool) -> str:
    """Write clauses whose verdict on a work is `good`: plain, denied, contrasted or reported."""
    about, work = rng.random(), rng.choice(WORKS)
    if about < 0.5:
        return _claim(rng, good)
    if about < 0.68:
        return f"{_claim(rng, good)} and {_claim(rng, good)}"
    if about < 0.8:
        first, last = _claim(rng, not good), _claim(rng, good)
        return rng.choice((f"although {first}, {last}", f"{last}, although {first}"))
    if about < 0.88:
        return f"{_claim(rng, not good)}, {rng.choice(('but', 'yet'))} {_claim(rng, good)}"
    if about < 0.94:
        right = rng.random() < 0.5
        who = rng.choice(("the critics say", "my brother thinks", "some people insist", "the posters claim"))
        return f"{who} that {_claim(rng, good == right)}, {'and rightly so' if right else 'but that is wrong'}"
    if about < 0.97:
        aspect, spoiler = rng.choice(ASPECTS), rng.choice(SENTIMENT["adjective"][not good])
        saved = rng.choice(SENTIMENT["adjective"][good])
        return f"the {spoiler} {aspect} does not keep the {work} from being {saved}"
    expected = rng.choice(SENTIMENT["adjective"][not good])
    return f"I expected {article(expected)} {work}, but {_claim(rng, good)}"


def sentiment(rng: Random, good: bool) -> str | None:
    """Write a verdict on a work: positive (good) or negative; its main clause decides."""
    return sentence(opinion(rng, good))
