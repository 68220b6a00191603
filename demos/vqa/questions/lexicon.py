"""Words for things that a photo shows, by kind: what the question generator knows of English.

Captions are plain sentences about a few hundred kinds of things, so word lists do the work of a parser here. They also
tell the kinds of negatives: a dog asked for where there is a cat is harder than a dog asked for in a bathroom.
"""


def words(text: str) -> frozenset[str]:
    """The words of a list written with spaces and line ends between them."""
    return frozenset(text.split())


_GROUPS = {
    "person": """man woman boy girl child kid baby toddler person guy lady gentleman player skateboarder surfer skier
        snowboarder batter catcher pitcher umpire rider chef cook policeman cyclist worker bride groom couple people
        crowd men family group|of|people student soldier fan spectator passenger pedestrian biker motorcyclist""",
    "animal": """dog cat horse cow sheep goat pig elephant giraffe zebra bear lion tiger monkey bird duck goose seagull
        pigeon parrot owl chicken fish rabbit squirrel deer puppy kitten polar|bear lamb bull camel swan ostrich""",
    "vehicle": """car truck bus train airplane plane jet motorcycle motorbike bike bicycle boat ship van taxi scooter
        tractor helicopter fire|truck ambulance trolley tram carriage wagon canoe kayak sailboat double|decker|bus
        school|bus bulldozer bicyle""",
    "food": """pizza sandwich cake donut doughnut banana apple orange hot|dog hamburger burger salad broccoli carrot
        bread cheese soup pasta rice meat chicken|wing egg fruit vegetable cookie pie french|fry fries wine beer coffee
        tea milk juice water strawberry tomato potato onion lemon grape pineapple watermelon pastry pancake waffle
        cupcake dessert ice|cream noodle sushi taco bagel muffin""",
    "furniture": """table chair couch sofa bed desk bench shelf bookshelf bookcase cabinet dresser drawer stool lamp
        mirror rug carpet curtain pillow blanket clock fireplace window door counter dining|table coffee|table crib
        nightstand bunk|bed ottoman armchair""",
    "kitchen": """refrigerator fridge stove oven microwave sink dishwasher toaster blender plate bowl cup mug glass
        wine|glass bottle wine|bottle fork knife spoon pan pot tray basket kettle napkin cutting|board scissors""",
    "bathroom": """toilet bathtub tub shower towel shower|curtain toothbrush toilet|paper urinal toilet|seat soap""",
    "electronics": """laptop computer keyboard mouse monitor television tv cell|phone phone camera remote video|game
        game|controller radio speaker printer desktop|computer tablet screen remote|control""",
    "sport": """skateboard surfboard snowboard ski tennis|racket tennis|racquet racket tennis|ball ball baseball|bat bat
        baseball soccer|ball frisbee kite helmet glove baseball|glove ski|pole football basketball golf|club net
        wave ramp trick""",
    "clothing": """hat shirt tie jacket coat dress suit skirt shorts jeans pants sunglasses glasses scarf shoe boot cap
        uniform sweater vest wetsuit bikini costume backpack sock t-shirt hoodie tuxedo apron""",
    "outdoor": """tree flower grass bush plant rock mountain hill cloud fence sign stop|sign street|sign traffic|light
        fire|hydrant parking|meter street|light pole bridge umbrella tent flag statue fountain leaf snow sand balloon
        wall rail railing log branch""",
    "building": """building house church tower barn skyscraper clock|tower tall|building castle lighthouse shop
        store""",
    "object": """book bag suitcase luggage box vase newspaper magazine paper pen toy teddy|bear stuffed|animal doll
        purse handbag candle picture painting poster guitar piano cart ladder bucket wheel tire rope feather cigarette
        microphone stuffed|bear""",
    "place": """beach street road park field kitchen bathroom bedroom living|room dining|room room office restaurant
        city sidewalk parking|lot airport runway train|station station ocean sea lake river water pool yard zoo forest
        market farm pasture snow hillside slope ski|slope desert garden dirt|road highway intersection court
        tennis|court baseball|field baseball|game skate|park skateboard|park stadium harbor dock pier tracks
        train|tracks railroad|tracks tarmac driveway porch hallway store classroom library museum garage hotel|room
        barn stage track sky air woods countryside town bar cafe grass sand floor pond lawn enclosure pen plaza
        playground hospital church""",
}

GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(word.replace("|", " ") for word in words.split()) for group, words in _GROUPS.items()
}
GROUP: dict[str, str] = {}  # of each noun: the first that names it
for _group, _words in GROUPS.items():
    for _word in _words:
        GROUP.setdefault(_word, _group)

_IRREGULAR = {
    "man": "men", "woman": "women", "child": "children", "person": "people", "policeman": "policemen", "goose": "geese",
    "mouse": "mice", "sheep": "sheep", "deer": "deer", "fish": "fish", "knife": "knives", "leaf": "leaves",
    "shelf": "shelves", "bookshelf": "bookshelves", "gentleman": "gentlemen", "scarf": "scarves",
}  # fmt: skip
# Never counted, or plural already: no "a", and "is" or "are" as they stand.
MASS = frozenset(
    """bread cheese soup pasta rice meat wine beer coffee tea milk juice water grass snow sand luggage broccoli
    toilet|paper soap ice|cream fruit air sky""".replace("|", " ").split()
) | {"toilet paper", "ice cream"}
PLURAL_ONLY = frozenset(
    [
        "scissors",
        "shorts",
        "jeans",
        "pants",
        "sunglasses",
        "glasses",
        "fries",
        "people",
        "crowd",
        "men",
        "woods",
        "tracks",
    ]
) | {"train tracks", "railroad tracks"}

COLOURS = ("red", "blue", "green", "yellow", "white", "black", "brown", "orange", "pink", "purple", "gray", "silver",
           "gold", "tan")  # fmt: skip
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
           "both": 2, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6}  # fmt: skip

ADJECTIVES = words("""
    large small big little young old older elderly tall short long huge tiny giant wooden metal stone brick
    glass plastic colorful beautiful pretty nice cute fluffy furry empty full open closed parked wet dry dirty
    clean snowy sandy grassy dirt busy crowded dark bright baby adult male female asian happy white-haired
    bearded stuffed sliced chocolate fresh delicious modern antique vintage fancy toy double single striped
    various several different professional grey multi-colored colored blurry bald smiling hungry sleepy tabby
    calico fat thin wild domestic commercial passenger public rusty shiny round square tiled paved
""")
DETERMINERS = frozenset(
    ["a", "an", "the", "his", "her", "their", "its", "this", "that", "some", "another", "one", "my", "our"]
)

# Nouns that say the same thing when it comes to "is there one": the first of each line stands for all.
_SAME = """dog puppy|cat kitten|airplane plane jet|motorcycle motorbike biker motorcyclist|bicycle bike bicyle cyclist
sofa couch|television tv monitor screen|refrigerator fridge|donut doughnut|hamburger burger|sheep lamb goat
bear polar_bear teddy_bear stuffed_bear stuffed_animal|bus double_decker_bus school_bus|truck fire_truck van|cow bull
cell_phone phone|tennis_racket tennis_racquet racket|remote remote_control game_controller video_game|car taxi
computer laptop desktop_computer keyboard|bat baseball_bat baseball
ball tennis_ball soccer_ball football basketball baseball
boat ship canoe kayak sailboat|bowl plate|glass wine_glass cup mug|bottle wine_bottle wine
table dining_table coffee_table desk
counter|bathtub tub|chair armchair bench stool|shelf bookshelf bookcase cabinet
skateboard skateboarder skate_park skateboard_park
surfboard surfer wave|ski skier ski_pole|snowboard snowboarder|sign stop_sign street_sign
building house church tower barn
skyscraper castle store shop city town|train tram trolley|duck goose swan seagull bird pigeon parrot|fork knife spoon
street road highway sidewalk intersection city town dirt_road street_light traffic_light
field park yard grass lawn pasture farm countryside baseball_field|beach sand ocean sea wave water shore
lake river pond water
living_room room|bedroom bed hotel_room room|bathroom toilet shower bathtub sink urinal
kitchen stove oven refrigerator
restaurant cafe bar|pizza pie|cake dessert cupcake pastry|fries french_fry|umbrella tent|kite balloon
painting picture poster
hat cap helmet|jacket coat sweater hoodie vest|pants jeans shorts|glasses sunglasses|suit tuxedo tie
horse rider carriage|forest woods tree|snow slope ski_slope|train_station station|office desk computer|zoo enclosure"""
_RELATED: dict[str, set[str]] = {}
for _line in _SAME.replace("\n", "|").split("|"):
    _related = {word.replace("_", " ") for word in _line.split()}
    for _word in _related:
        _RELATED.setdefault(_word, {_word}).update(_related)

PEOPLE = frozenset(GROUPS["person"]) | {"person"}
PLURAL_PEOPLE = frozenset({"people", "crowd", "men", "couple", "family", "group of people"})
INDOOR = frozenset({"kitchen", "bathroom", "bedroom", "living room", "dining room", "office", "hotel room", "hallway",
                    "classroom", "library", "garage", "museum", "toilet", "bathtub", "microwave", "refrigerator",
                    "couch", "oven"})  # fmt: skip
OUTDOOR = frozenset({"beach", "street", "road", "field", "ocean", "lake", "river", "forest", "ski slope", "slope",
                     "pasture", "mountain", "hill", "zoo", "sidewalk", "skate park", "wave", "runway", "sky", "desert",
                     "baseball field", "tennis court", "fire hydrant", "stop sign", "traffic light"})  # fmt: skip
SCENES = ("kitchen", "bathroom", "bedroom", "living room", "beach", "street", "park", "field", "restaurant", "office",
          "zoo", "airport", "train station", "forest", "farm", "city", "parking lot", "tennis court", "ski slope",
          "skate park", "lake", "hotel room")  # fmt: skip
ROOMS = ("kitchen", "bathroom", "bedroom", "living room", "dining room", "office")
SPORTS = {
    "tennis": ("tennis", "racket", "racquet"), "baseball": ("baseball", "batter", "pitcher", "umpire"),
    "soccer": ("soccer",), "skateboarding": ("skateboard", "skateboarding", "skateboarder", "skateboards"),
    "surfing": ("surfboard", "surfing", "surfer", "surfers", "surfboards"),
    "skiing": ("skiing", "skis", "skier", "skiers"), "snowboarding": ("snowboard", "snowboarding", "snowboarder"),
    "frisbee": ("frisbee",), "basketball": ("basketball",), "football": ("football",), "golf": ("golf",),
}  # fmt: skip
NOT_VERBS = words("""
    building clothing railing ceiling evening morning string king ring wedding painting crossing parking swing
    wing thing something anything nothing everything during spring bring dining living lighting frosting
    topping icing setting opening landing string seating sling fencing skateboarding-ramp bedding awning
    siding pudding stuffing following including being having missing matching outing underling gathering
    marking boxing casing
""")


def plural(noun: str) -> str:
    """ "fire truck" -> "fire trucks"; a noun that has no plural stays as it is."""
    if noun in MASS or noun in PLURAL_ONLY:
        return noun
    first, _, last = noun.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    elif last in ("tomato", "potato"):
        last += "es"
    else:
        last += "s"
    return f"{first} {last}".strip()


def with_article(noun: str) -> str:
    """ "an apple", "a dog", "water"."""
    if noun in MASS or noun in PLURAL_ONLY:
        return noun
    return f"an {noun}" if noun[0] in "aeiou" and noun != "uniform" else f"a {noun}"


def related(noun: str) -> set[str]:
    """The noun and those whose mention makes it risky to say that there is none."""
    return _RELATED.get(noun, {noun})


# What a word of a caption stands for: (noun, whether it is plural). Longer names go before shorter ones.
SURFACE: dict[str, tuple[str, bool]] = {}
for _noun in GROUP:
    if _noun not in ("people", "men"):
        SURFACE[plural(_noun)] = (_noun, _noun not in MASS)
for _noun in GROUP:
    SURFACE[_noun] = (_noun, _noun in PLURAL_ONLY or _noun in PLURAL_PEOPLE)
SURFACE |= {"men": ("man", True), "people": ("people", True), "persons": ("people", True), "bikes": ("bike", True)}
LONGEST_NAME = max(len(noun.split()) for noun in SURFACE)
