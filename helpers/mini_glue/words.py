"""Word lists and word forms of the generated language: kinds of things, synonyms, opposites, sentiment.

The lists are data; `grammar` builds sentences from them, and the other modules build tasks and text from those.
"""

from collections.abc import Mapping

__all__ = [
    "ADJECTIVES",
    "ANIMALS",
    "ASPECTS",
    "HANDLINGS",
    "HYPERNYM",
    "MANNERS",
    "MEETINGS",
    "MOODS",
    "OPPOSITES",
    "PEOPLE",
    "PLACES",
    "QUALITIES",
    "SENTIMENT",
    "STATES",
    "SYNONYM",
    "THINGS",
    "TIMES",
    "TRAITS",
    "UNTAUGHT",
    "WORKS",
    "adverb",
    "article",
    "participle",
    "past",
    "plural",
    "progressive",
]


def _words(text: str, separator: str | None = None) -> tuple[str, ...]:
    return tuple(text.split(separator))


def _kinds(text: str) -> dict[str, tuple[str, ...]]:
    pairs = (line.split(":") for line in text.strip().splitlines())
    return {kind.strip(): tuple(members.split()) for kind, members in pairs}


def _pairs(text: str) -> list[tuple[str, ...]]:
    return [tuple(pair.split("=")) for pair in text.split()]


PEOPLE = _kinds("""
    musician: pianist drummer
    scientist: chemist botanist
    athlete: runner swimmer
    artist: painter potter
    worker: baker plumber
""")
ANIMALS = _kinds("""
    bird: sparrow owl
    dog: terrier poodle
    insect: beetle wasp
""")
THINGS = _kinds("""
    vehicle: truck wagon
    tool: hammer drill
    fruit: apple pear
    container: basket jar
""")
HYPERNYM: Mapping[str, str] = {
    member: kind for group in (PEOPLE, ANIMALS, THINGS) for kind, members in group.items() for member in members
}

# Verbs and adjectives are listed as synonym pairs (a=b), or alone where the language has one word only.
MEETINGS = _pairs("help=assist chase=pursue watch=observe praise=applaud thank question avoid surprise")
HANDLINGS = _pairs("buy=purchase repair=fix carry=haul hide=conceal paint clean drop sell")
STATES = _pairs("sleep=doze wait=linger leave=depart laugh dance yawn")
# Neighbours are opposites: the first list describes living things, the second one objects.
TRAITS = _pairs("fast=quick slow=sluggish loud=noisy quiet=silent happy=cheerful sad=gloomy")
QUALITIES = _pairs("big=large small=little old=ancient new=modern dirty=filthy tidy=neat")
ADJECTIVES = TRAITS + QUALITIES
OPPOSITES: Mapping[str, tuple[str, ...]] = {
    word: ADJECTIVES[i ^ 1] for i, pair in enumerate(ADJECTIVES) for word in pair
}
MANNERS = _words("quick slow loud quiet cheerful gloomy")
SYNONYM: Mapping[str, str] = {
    a: b for pair in (*MEETINGS, *HANDLINGS, *STATES, *ADJECTIVES) if len(pair) == 2 for a, b in (pair, pair[::-1])
}
PLACES = _words("in the kitchen,in the garden,at the market,near the station,under the bridge,at the hotel", ",")
TIMES = _words("on monday,on friday,in the morning,at noon,last week,after the concert", ",")

WORKS = _words("film novel play show")
ASPECTS = _words("plot ending acting script music story tone")
SENTIMENT: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # (negative, positive), as the labels are
    "adjective": (
        _words(
            "dull clumsy tedious bland stale shallow messy hollow dreary lifeless silly sloppy lazy boring wooden ugly"
        ),
        _words(
            "clever witty charming graceful tender inventive moving vivid lively fresh joyful warm polished funny "
            "honest beautiful"
        ),
    ),
    "noun": (_words("mess disaster bore failure"), _words("triumph delight gem treat")),
    "verb": (_words("drag fail stumble disappoint"), _words("shine succeed sparkle captivate")),
    "quality": (_words("clutter padding confusion gloom"), _words("charm wit depth energy")),
}
# Half of these words are in no training row of the sentiment task: what they say is to be learned from the corpus.
UNTAUGHT = frozenset(
    word for kind in ("adjective", "noun", "quality") for words in SENTIMENT[kind] for word in words[1::2]
)
MOODS = (_words("hate dislike scorn"), _words("love enjoy admire"))

_IRREGULAR = {
    "buy": ("bought", "bought"),
    "find": ("found", "found"),
    "break": ("broke", "broken"),
    "hide": ("hid", "hidden"),
    "steal": ("stole", "stolen"),
    "lose": ("lost", "lost"),
    "sell": ("sold", "sold"),
    "forgive": ("forgave", "forgiven"),
    "sleep": ("slept", "slept"),
    "leave": ("left", "left"),
}
_DOUBLED = {"drop": "dropp", "drag": "dragg", "sag": "sagg"}


def _after_consonant(word: str, letter: str) -> bool:
    return word.endswith(letter) and word[-2] not in "aeiou"


def plural(word: str) -> str:
    """Return a noun's plural, which is also a verb's third person singular.

    >>> [plural(w) for w in ("dog", "wrench", "carry", "boy")]
    ['dogs', 'wrenches', 'carries', 'boys']
    """
    if _after_consonant(word, "y"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


def past(verb: str) -> str:
    """Return the past tense.

    >>> [past(v) for v in ("help", "chase", "carry", "drop", "find")]
    ['helped', 'chased', 'carried', 'dropped', 'found']
    """
    if verb in _IRREGULAR:
        return _IRREGULAR[verb][0]
    if _after_consonant(verb, "y"):
        return verb[:-1] + "ied"
    return _DOUBLED.get(verb, verb) + ("d" if verb.endswith("e") else "ed")


def participle(verb: str) -> str:
    """Return the past participle, as in "was hidden"."""
    return _IRREGULAR[verb][1] if verb in _IRREGULAR else past(verb)


def progressive(verb: str) -> str:
    """Return the -ing form.

    >>> [progressive(v) for v in ("help", "chase", "drop")]
    ['helping', 'chasing', 'dropping']
    """
    stem = _DOUBLED.get(verb, verb)
    return (stem[:-1] if stem.endswith("e") else stem) + "ing"


def adverb(adjective: str) -> str:
    """Return the adverb.

    >>> [adverb(a) for a in ("quick", "noisy", "feeble")]
    ['quickly', 'noisily', 'feebly']
    """
    if adjective.endswith("le"):
        return adjective[:-1] + "y"
    return (adjective[:-1] + "i" if _after_consonant(adjective, "y") else adjective) + "ly"


def article(words: str) -> str:
    """Put "a" or "an" before a phrase."""
    return ("an " if words[0] in "aeiou" else "a ") + words
