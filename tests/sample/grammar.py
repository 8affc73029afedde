"""A small grammar of everyday Swahili: it says who does what, to whom, where and when.

Nouns carry their class, from which the prefixes of verbs, adjectives, possessives and
demonstratives follow; verbs carry what may be their object. So every sentence agrees
with itself, and one stem appears in many inflected forms, as in real Swahili text.
"""

import random

# Noun class -> (subject prefix, object prefix, possessive prefix, "this", adjective prefix).
CONCORD = {
    1: ("a", "m", "w", "huyu", "m"),
    2: ("wa", "wa", "w", "hawa", "wa"),
    3: ("u", "u", "w", "huu", "m"),
    4: ("i", "i", "y", "hii", "mi"),
    5: ("li", "li", "l", "hili", ""),
    6: ("ya", "ya", "y", "haya", "ma"),
    7: ("ki", "ki", "ch", "hiki", "ki"),
    8: ("vi", "vi", "vy", "hivi", "vi"),
    9: ("i", "i", "y", "hii", "n"),
    10: ("zi", "zi", "z", "hizi", "n"),
}
NASAL = {"kubwa": "kubwa", "dogo": "ndogo", "zuri": "nzuri", "refu": "ndefu", "baya": "mbaya"}
NUMBERS = {"wili": "mbili", "tatu": "tatu", "nne": "nne", "tano": "tano"}
POSSESSORS = ["angu", "ako", "ake", "etu", "enu", "ao"]

PEOPLE = [
    ("mtoto", 1), ("watoto", 2), ("mwalimu", 1), ("walimu", 2), ("mkulima", 1), ("wakulima", 2),
    ("mgeni", 1), ("wageni", 2), ("mzee", 1), ("wazee", 2), ("mwanafunzi", 1), ("wanafunzi", 2),
    ("mvuvi", 1), ("wavuvi", 2), ("mpishi", 1), ("daktari", 1), ("dereva", 1), ("fundi", 1),
    ("askari", 1), ("mganga", 1), ("msichana", 1), ("wasichana", 2), ("kijana", 1), ("vijana", 2),
]  # fmt: skip
KIN = ["mama", "baba", "dada", "kaka", "bibi", "babu", "rafiki", "jirani", "shangazi", "mjomba"]
NAMES = [
    "Amina", "Juma", "Asha", "Bakari", "Neema", "Hamisi", "Zawadi", "Salma", "Rashidi", "Ng'ang'a",
]  # fmt: skip
ANIMALS = [
    ("ng'ombe", 1), ("ng'ombe", 2), ("mbuzi", 2), ("kuku", 2), ("punda", 1), ("ngamia", 1),
    ("paka", 1), ("mbwa", 1), ("kondoo", 2), ("samaki", 2),
]  # fmt: skip
FOOD = [
    ("chakula", 7), ("wali", 3), ("mkate", 3), ("mikate", 4), ("ugali", 3), ("ndizi", 10),
    ("nyama", 9), ("mayai", 6), ("maembe", 6), ("machungwa", 6), ("mihogo", 4), ("viazi", 8),
    ("maharage", 6), ("mboga", 10),
]  # fmt: skip
DRINK = [("maji", 6), ("maziwa", 6), ("chai", 9), ("kahawa", 9), ("uji", 3)]
READING = [
    ("kitabu", 7), ("vitabu", 8), ("barua", 9), ("gazeti", 5), ("magazeti", 6), ("hadithi", 9),
]  # fmt: skip
THINGS = [
    ("kiti", 7), ("viti", 8), ("meza", 9), ("kikombe", 7), ("vikombe", 8), ("kisu", 7),
    ("viatu", 8), ("nguo", 10), ("mfuko", 3), ("mifuko", 4), ("jembe", 5), ("kalamu", 9),
    ("baiskeli", 9), ("ngoma", 9), ("sanduku", 5), ("kofia", 9), ("shoka", 5), ("chungu", 7),
]  # fmt: skip
BUILDINGS = [("nyumba", 9), ("chumba", 7), ("duka", 5), ("mlango", 3), ("dirisha", 5), ("jiko", 5)]
CROPS = [("mahindi", 6), ("miti", 4), ("mpunga", 3), ("maua", 6), ("mbegu", 10), ("mtama", 3)]
WEEDS = [("magugu", 6), ("mihogo", 4), ("mti", 3), ("viazi", 8)]
HUMANS = PEOPLE + [(word, 1) for word in KIN]
GOODS = FOOD + THINGS + READING + ANIMALS

# Verb stem -> possible objects.
TRANSITIVE = {
    "soma": READING, "andika": READING, "nunua": GOODS, "uza": GOODS, "pika": FOOD,
    "onja": FOOD + DRINK, "osha": THINGS, "beba": THINGS + FOOD, "leta": THINGS + FOOD + DRINK,
    "tafuta": THINGS + READING + ANIMALS + HUMANS, "ona": ANIMALS + HUMANS + BUILDINGS,
    "penda": FOOD + DRINK + HUMANS, "safisha": BUILDINGS, "fungua": BUILDINGS[2:5],
    "funga": BUILDINGS[2:5], "jenga": BUILDINGS[:3], "panda": CROPS, "vuna": CROPS,
    "ng'oa": WEEDS, "fuga": ANIMALS, "lisha": ANIMALS, "chunga": ANIMALS[:-1], "saidia": HUMANS,
    "subiri": HUMANS, "ita": HUMANS, "fundisha": PEOPLE, "tembelea": HUMANS,
    "tengeneza": THINGS + BUILDINGS, "vunja": THINGS, "ficha": THINGS, "kunywa": DRINK,
}  # fmt: skip
INTRANSITIVE = [
    "rudi", "kaa", "lala", "cheza", "imba", "kimbia", "safiri", "fika", "simama", "tembea",
    "pumzika", "anguka", "amka", "ongea", "ogelea", "ng'ang'ana",
]  # fmt: skip
PLACES = [
    "nyumbani", "shuleni", "sokoni", "shambani", "mjini", "kijijini", "mtoni", "baharini",
    "hospitalini", "jikoni", "msituni", "njiani", "kisimani", "mlimani", "uwanjani", "kazini",
    "ng'ambo ya mto", "chini ya mti", "karibu na soko", "mbele ya nyumba", "nyuma ya duka",
    "kando ya barabara", "Mombasa", "Zanzibar", "Dodoma", "Kisumu",
]  # fmt: skip
TIMES = {
    "na": ["leo", "sasa", "kila siku", "kila asubuhi", "mara nyingi", "saa hizi"],
    "li": ["jana", "juzi", "wiki iliyopita", "mwaka jana", "jana usiku", "asubuhi", "zamani"],
    "ta": ["kesho", "kesho kutwa", "wiki ijayo", "jioni", "baadaye", "mwezi ujao"],
    "me": ["leo", "tayari", "tena", "sasa hivi"],
}
SPEAKERS = [("ni", "si"), ("u", "hu"), ("tu", "hatu"), ("m", "ham")]  # I, you, we, you all
HOURS = ["saa moja", "saa mbili", "saa tatu", "saa nne", "saa 3", "saa 6", "saa 9", "saa 10"]
ADVERBS = ["haraka", "polepole", "vizuri", "pamoja", "kidogo"]
QUALITIES = ["safi", "ghali", "rahisi", "maarufu"]
REASONS = [
    "kwa sababu mvua inanyesha", "kwa sababu jua ni kali", "lakini barabara ni mbaya",
    "kabla ya jua kuzama", "baada ya kazi", "ingawa usiku umeingia", "kwa sababu kuna sherehe",
    "lakini hakuna pesa", "wakati wa mavuno", "baada ya mvua kubwa",
]  # fmt: skip
SAYINGS = [
    "nyota zinang'aa angani usiku", "mwezi unang'aa juu ya bahari", "jua linang'aa sana leo",
    "upepo mkali unavuma kutoka baharini", "mvua kubwa inanyesha mlimani",
]  # fmt: skip


class Grammar:
    """Draws sentences with one random generator, so a seed fixes the corpus."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def one(self, items):
        return self.random.choice(items)

    def maybe(self, probability: float, text: str) -> str:
        return f" {text}" if self.random.random() < probability else ""

    def adjective(self, noun_class: int) -> str:
        stem = self.one(list(NASAL))
        prefix = CONCORD[noun_class][4]
        return NASAL[stem] if prefix == "n" else prefix + stem

    def number(self, noun_class: int) -> str:
        stem = self.one(list(NUMBERS))
        return NUMBERS[stem] if noun_class == 10 else CONCORD[noun_class][4] + stem

    def phrase(self, noun: str, noun_class: int) -> str:
        """A noun and at most one word that agrees with it."""
        _, _, possessive, this, _ = CONCORD[noun_class]
        kind = self.random.random()
        if kind < 0.45:
            return noun
        if kind < 0.65:
            return f"{noun} {possessive}{self.one(POSSESSORS)}"
        if kind < 0.8:
            return f"{noun} {this}"
        if kind < 0.9 and noun_class in (2, 4, 8, 10):
            return f"{noun} {self.number(noun_class)}"
        return f"{noun} {self.adjective(noun_class)}"

    def subject(self) -> tuple[str, str, str]:
        """(noun phrase or nothing, affirmative prefix, negative prefix)."""
        kind = self.random.random()
        if kind < 0.3:
            return "", *self.one(SPEAKERS)
        if kind < 0.45:
            return self.one(NAMES), "a", "ha"
        if kind < 0.7:
            return f"{self.one(KIN)} {self.one(['yangu', 'yako', 'yake', 'yetu'])}", "a", "ha"
        noun, noun_class = self.one(PEOPLE)
        prefix = CONCORD[noun_class][0]
        return self.phrase(noun, noun_class), prefix, {"a": "ha", "wa": "hawa"}[prefix]

    def verb(self, stem: str, prefix: str, negative: str, infix: str = "") -> tuple[str, str]:
        """An inflected verb and a time that suits its tense."""
        tense = self.one(["na", "na", "li", "li", "ta", "me", "negative"])
        if tense != "negative":
            return f"{prefix}{tense}{infix}{stem}", self.one(TIMES[tense])
        kind = self.one(["past", "future"])
        if kind == "future":
            return f"{negative}ta{infix}{stem}", self.one(TIMES["ta"])
        return f"{negative}ku{infix}{stem.removeprefix('ku')}", self.one(TIMES["li"])

    def does(self) -> str:
        """Somebody does something to something."""
        who, prefix, negative = self.subject()
        stem = self.one(list(TRANSITIVE))
        noun, noun_class = self.one(TRANSITIVE[stem])
        # Living objects are marked on the verb.
        infix = CONCORD[noun_class][1] if noun_class in (1, 2) else ""
        infix = "mw" if infix == "m" and stem[0] in "aeiou" else infix
        verb, time = self.verb(stem, prefix, negative, infix)
        tail = self.one([self.maybe(0.5, time), f" {self.one(PLACES)}", ""])
        return f"{who} {verb} {self.phrase(noun, noun_class)}{tail}"

    def goes(self) -> str:
        """Somebody is or moves somewhere."""
        who, prefix, negative = self.subject()
        verb, time = self.verb(self.one(INTRANSITIVE), prefix, negative)
        tail = self.one([self.one(REASONS), time, f"{self.one(HOURS)} usiku", self.one(ADVERBS)])
        return f"{who} {verb} {self.one(PLACES)} {tail}"

    def topic(self) -> str:
        """This thing, somebody did it."""
        stem = self.one(["soma", "nunua", "leta", "pika", "osha", "vunja", "andika", "tengeneza"])
        noun, noun_class = self.one([n for n in TRANSITIVE[stem] if n not in ANIMALS])
        prefix, negative = self.one(SPEAKERS + [("a", "ha"), ("wa", "hawa")])
        verb, time = self.verb(stem, prefix, negative, CONCORD[noun_class][1])
        return f"{noun} {CONCORD[noun_class][3]} {verb} {time}"

    def quality(self) -> str:
        """A thing has a quality."""
        noun, noun_class = self.one(FOOD + THINGS + BUILDINGS + READING)
        possessive = CONCORD[noun_class][2] + self.one(POSSESSORS)
        quality = self.one(QUALITIES + ["tamu"] * ((noun, noun_class) in FOOD))
        quality = self.one([self.adjective(noun_class), quality])
        copula, degree = self.one(["ni", "ni", "si"]), self.one(["sana", "kidogo", "kweli"])
        return f"{noun} {possessive} {copula} {quality} {degree}"

    def exists(self) -> str:
        """Things are in a place."""
        noun, noun_class = self.one([n for n in GOODS if n[1] in (2, 4, 8, 10)])
        there_is = self.one(["kuna", "kulikuwa na", "hakuna"])
        return f"{there_is} {noun} {self.number(noun_class)} {self.one(PLACES)}"

    def question(self) -> str:
        noun, noun_class = self.one(READING + THINGS + FOOD)
        stem = self.one([s for s in TRANSITIVE if (noun, noun_class) in TRANSITIVE[s]])
        thing = self.phrase(noun, noun_class)
        tense = self.one(["na", "li", "ta", "me"])
        time, place = self.one(TIMES[tense]), self.one(PLACES)
        return self.one([
            f"Je, u{tense}{stem} {thing} {time}",
            f"Nani a{tense}{stem} {thing} {time}",
            f"Kwa nini m{tense}{stem} {thing}",
            f"{self.one(NAMES)}, utarudi {place} saa ngapi",
            f"{thing} {CONCORD[noun_class][0]}ko wapi {self.one(['leo', 'sasa'])}",
        ]) + "?"  # fmt: skip

    def request(self) -> str:
        stem = self.one(["leta", "nunua", "osha", "beba", "tafuta"])
        noun, noun_class = self.one(TRANSITIVE[stem][:20])
        opening, place = self.one(["tafadhali", "sasa", "kesho"]), self.one(PLACES)
        return f"{opening}, {stem} {self.phrase(noun, noun_class)} {place}!"

    def saying(self) -> str:
        return f"{self.one(SAYINGS)}{self.maybe(0.6, self.one(REASONS))}"

    def sentence(self) -> str:
        """One sentence of three to nine words, capitalised and punctuated."""
        kinds = [self.does] * 8 + [self.goes] * 4 + [self.topic] * 3 + [self.question] * 3
        kinds += [self.quality] * 2 + [self.exists] * 2 + [self.request, self.saying]
        text = ""
        while not 3 <= len(text.split()) <= 9:
            text = " ".join(self.one(kinds)().split())
        return text[0].upper() + text[1:] + ("" if text[-1] in "?!" else self.one(["."] * 4 + [""]))
