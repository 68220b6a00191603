"""What is asked of each shipped checkpoint, and what of its answer is kept.

Every task has a function that yields (name of the case, how to get its record). A record is plain JSON: "input" says
what was asked, the rest is the answer. Fields with the same name mean the same in all tasks:

    text            the best answer
    logprob         its log-probability; of all log-probabilities nats are kept
    tokens          the pieces that it consists of, and
    token_logprobs  the log-probability of each
    others          {text: log-probability} of the next best answers

Only what a caller sees is asked: the predictors with their options, most of them at their defaults.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from typing import Any

from tests.golden.inputs import drawn_mouth, photo, talking_face

Record = dict[str, Any]
Case = tuple[str, Callable[[], Record]]

OTHERS = 2  # answers after the best that are kept: further down, near ties are many
LEAST = 1e-4  # of a probability: below, single precision shows in the logarithm


def _written(result: Any) -> Record:
    """The text of a result, or of one of its hypotheses, piece by piece."""
    return {
        "text": result.text,
        "logprob": result.logprob,
        "tokens": [token.text for token in result.tokens],
        "token_logprobs": [token.logprob for token in result.tokens],
    }


def _ranked(answers: Iterable[Any], others: int = OTHERS) -> dict[str, float]:
    """{text: log-probability} of the answers after the first."""
    return {answer.text: answer.logprob for answer in islice(answers, 1, 1 + others)}


def _log(probability: float) -> float:
    return math.log(max(probability, LEAST))


# --- photos ------------------------------------------------------------------------------------------------------

CAPTIONED = (
    ("skimage/astronaut.png", {}), ("skimage/chelsea.png", {}), ("skimage/coffee.png", {}),
    ("skimage/motorcycle_left.png", {}), ("skimage/camera.png", {}), ("gradio/lion.jpg", {}), ("gradio/tower.jpg", {}),
    ("gradient", {}), ("skimage/motorcycle_left.png", {"beam_size": 1}),
    ("gradio/lion.jpg", {"beam_size": 10, "length_penalty": 0.0, "max_length": 12}),
)  # fmt: skip
RANKED_CAPTIONS = ("A cup of coffee on a table.", "A dog runs on the beach.", "Two men play football.")


def captioning() -> Iterator[Case]:
    from demos.captioning.predict import CaptioningOptions, get_predictor

    def caption(name: str, options: Record) -> Record:
        result = get_predictor()(photo(name), CaptioningOptions(**options))
        found = _written(result.hypotheses[0]) | {"others": _ranked(result.hypotheses)}
        return {"input": {"photo": name, **options}, **found}

    def rank(name: str) -> Record:
        ranked = get_predictor().rank(photo(name), RANKED_CAPTIONS)
        return {"input": {"photo": name}, "ranked": {caption.text: caption.logprob for caption in ranked}}

    for name, options in CAPTIONED:
        yield _name(name, *options), lambda name=name, options=options: caption(name, options)
    yield "captions to rank", lambda: rank("skimage/coffee.png")


QUESTIONS = (
    ("skimage/motorcycle_left.png", "What color is the motorcycle?", ()),
    ("skimage/chelsea.png", "What animal is this?", ()),
    ("skimage/astronaut.png", "Who is in the picture?", ()),
    ("skimage/coffee.png", "What is on the table?", ()),
    ("skimage/camera.png", "What is the man doing?", ()),
    ("skimage/astronaut.png", "Is there a woman in the picture?", ()),
    ("skimage/chelsea.png", "Is this a dog?", ()),
    ("skimage/motorcycle_left.png", "How many people are there?", ()),
    ("gradio/lion.jpg", "How many lions can you see?", ()),
    ("gradio/tower.jpg", "What time of day is it?", ("morning", "noon", "night")),
    ("skimage/coffee.png", "What color is the cup?", ("red", "blue", "green", "white")),
    ("gradient", "What is this?", ()),
)


def vqa() -> Iterator[Case]:
    from demos.vqa.predict import VQAOptions, get_predictor

    def answer(name: str, question: str, choices: tuple[str, ...]) -> Record:
        result = get_predictor()(photo(name), question, VQAOptions(choices=choices))
        best, kept = result.answers[0], result.answers[: 1 + OTHERS]
        return {
            "input": {"photo": name, "question": question, "choices": list(choices)},
            "text": result.text,
            "logprob": best.logprob,
            "others": _ranked(result.answers),
            "log_probabilities": {each.text: _log(each.probability) for each in kept},
            "blind_text": result.blind_text,
            "blind_logprobs": {each.text: each.blind_logprob for each in kept},
            "question_type": result.question_type,
            "read_as": result.read_as,
            "unknown": list(result.unknown),
            "wording": result.wording,
            "evidence": result.evidence,
        }

    for name, question, choices in QUESTIONS:
        case = f"{_name(name)}: {question}"
        yield case, lambda name=name, question=question, choices=choices: answer(name, question, choices)


# --- texts -------------------------------------------------------------------------------------------------------

TRANSLATED = (
    ("en", "de", "A little girl is climbing into a wooden playhouse.", {}),
    ("en", "de", "How much does this cost? I would like to pay by card.", {}),
    ("en", "de", "Anna Kowalski lives at 12 Main Street.", {"beam_size": 1}),
    ("de", "en", "Zwei Hunde spielen am Strand mit einem Ball.", {}),
    ("de", "en", "Ich habe meine Schlüssel verloren und kann nicht nach Hause.", {}),
    ("en", "fr", "How are you? Where is the station?", {}),
    ("en", "fr", "Two women are talking in front of a shop.", {"beam_size": 10, "length_penalty": 0.5}),
    ("fr", "en", "Je ne sais pas ce que tu veux dire.", {}),
    ("fr", "en", "Une femme lit un livre dans le train.", {}),
    ("en", "cs", "A man in a blue shirt is standing on a ladder.", {}),
    ("en", "cs", "Where is the station?", {}),
    ("cs", "en", "Muž spí na gauči v zeleném pokoji.", {}),
    ("cs", "en", "Zítra půjdu do školy.\nKde je nejbližší nemocnice?", {}),
)


def translation() -> Iterator[Case]:
    from demos.translation.predict import TranslationOptions, get_predictor

    def translate(source: str, target: str, text: str, options: Record) -> Record:
        result = get_predictor()(text, source, target, TranslationOptions(**options))
        found = _written(result.hypotheses[0]) | {"others": _ranked(result.hypotheses)}
        return {"input": {"text": text, "source": source, "target": target, **options}, **found}

    for asked in TRANSLATED:
        source, target, text, options = asked
        yield f"{source}-{target}: {_name(text, *options)}", lambda asked=asked: translate(*asked)


JUDGED = {
    "english": (
        ("The plot is not bad at all.", {"explain": True}),
        ("I expected to hate it, but I left the cinema smiling.", {"explain": True}),
        ("A brilliant cast can't save this dull script.", {"explain": True}),
        ("Nobody who likes good acting should miss it.", {}),
        ("It starts as a clever thriller and ends as a tired, predictable mess.", {}),
        ("The waiter was friendly, the soup was cold and we waited an hour.", {"language": "english"}),
        ("The train leaves at ten.", {}),
        (
            "<p>My sister loved the first half of the film. I did not: the jokes are old, the music is too loud, and "
            "the hero explains everything twice. Still, the last scene, in which nobody speaks, is beautiful.</p>",
            {"explain": True},
        ),
    ),
    "korean": (
        ("연기는 좋았는데 스토리가 너무 지루했다", {"explain": True}),
        ("기대 안 했는데 생각보다 재미있네요", {"explain": True}),
        ("돈이 아깝지 않은 영화", {"explain": True}),
        ("배우들 연기가 아까운 영화였다. 끝까지 보기 힘들었어요ㅠㅠ", {}),
        ("그냥 그래요. 나쁘지도 좋지도 않아요.", {}),
        ("정말 감동적이고 다시 보고 싶은 작품!", {"language": "korean"}),
    ),
}


def sentiment(language: str) -> Iterator[Case]:
    from demos.sentiment.predict import SentimentOptions, get_predictor

    def judge(text: str, options: Record) -> Record:
        result = get_predictor()(text, SentimentOptions(**options))
        return {
            "input": {"text": text, **options},
            "text": result.label,
            "language": result.language,
            "log_probabilities": {name: _log(p) for name, p in result.classes.items()},
            "fine": {name: _log(p) for name, p in (result.fine or {}).items()},
            "words": [word.text for word in result.tokens],
            "weights": [word.weight for word in result.tokens],
            "steps": result.steps and [_log(p) for p in result.steps],
        }

    for text, options in JUDGED[language]:
        yield _name(text, *options), lambda text=text, options=options: judge(text, options)


SHORT, SURE = {"length": 150}, {"temperature": 0, "length": 80}
WRITTEN = {  # corpus, beginning, options
    "generation": (
        ("tinyshakespeare", "ROMEO:\n", {**SHORT, "seed": 1}),
        ("tinyshakespeare", "What is", SURE),
        ("shakespeare", "To be, or not to be", {**SHORT, "seed": 2, "temperature": 1.0, "top_p": 0.9}),
        ("shakespeare", "HAMLET\t", SURE),
        ("linux", "static int ", {**SHORT, "seed": 3, "top_k": 5}),
        ("linux", "/*\n * Copyright", SURE),
        ("latex", "\\begin{proof}\n", {**SHORT, "seed": 4, "temperature": 0.5}),
        ("latex", "Let $X$ be", SURE),
        ("war_and_peace", "Prince Andrew ", {**SHORT, "seed": 5, "temperature": 0.8, "top_p": 0.95}),
        ("war_and_peace", "", SURE),
    ),
    "generation/folk": (
        ("folk", "", {**SHORT, "seed": 1}),
        ("folk", "M:6/8\nK:Dmaj\n", {**SHORT, "seed": 2, "temperature": 1.0, "top_k": 8}),
        ("folk", "M:4/4\nK:Cmaj\n|: C D E F", {**SHORT, "seed": 3, "whole_bars": False}),
        ("folk", "M:3/4\nK:Gmaj\n", SURE),
    ),
    "generation/reviews": (
        ("reviews", "This film", {**SHORT, "seed": 1}),
        ("reviews", "The acting", {**SHORT, "seed": 2, "temperature": 1.0, "top_p": 0.8}),
        ("reviews", "I watched it with my children", {**SHORT, "seed": 3, "top_k": 20}),
        ("reviews", "It was", SURE),
    ),
    "generation/speeches": (
        ("speeches", "My fellow Americans, ", {**SHORT, "seed": 1}),
        ("speeches", "We need ", {**SHORT, "seed": 2, "temperature": 1.0, "top_k": 10}),
        ("speeches", "", {**SHORT, "seed": 3, "temperature": 0.9, "top_p": 0.9}),
        ("speeches", "Thank you", SURE),
    ),
}
READ = {  # corpus: a text whose surprise is measured
    "tinyshakespeare": "ROMEO:\nI have a letter for the king, my lord.\n",
    "shakespeare": "HAMLET\tThe night is cold and I have seen a ghost.\n",
    "linux": "\tif (!dev)\n\t\treturn -ENODEV;\n",
    "latex": "Let $f : X \\to Y$ be a morphism of schemes.\n",
    "war_and_peace": "The old prince looked at his daughter and said nothing.\n",
    "folk": "M:6/8\nK:Gmaj\n|: G 2 B d 2 B | c 2 A F 2 D |\n",
    "reviews": "I liked the music, but the story is far too long.",
    "speeches": "We will build roads and schools for our children.\n",
}


def generation(checkpoint: str) -> Iterator[Case]:
    from demos.generation.predict import GenerationOptions, get_predictor

    def write(corpus: str, prompt: str, options: Record) -> Record:
        result = get_predictor(corpus)(corpus, prompt, GenerationOptions(**options))
        return {"input": {"corpus": corpus, "prompt": prompt, **options}, "read": result.prompt, **_written(result)}

    def read(corpus: str) -> Record:
        reading = get_predictor(corpus).read(corpus, READ[corpus])
        pieces = {
            "tokens": [token.text for token in reading.tokens],
            "token_logprobs": [token.logprob for token in reading.tokens],
        }
        return {"input": {"corpus": corpus, "text": READ[corpus]}, **pieces}

    for asked in WRITTEN[checkpoint]:
        corpus, prompt, options = asked
        yield f"{corpus}: {_name(repr(prompt)[1:-1], *options)}", lambda asked=asked: write(*asked)
    for corpus in dict.fromkeys(corpus for corpus, _, _ in WRITTEN[checkpoint]):
        yield f"{corpus}: a text to read", lambda corpus=corpus: read(corpus)


# --- clips -------------------------------------------------------------------------------------------------------

SAID = {  # options for each clip: of `drawn_mouth` a sentence and its speaker, of `talking_face` the mouth's openings
    "words": (
        (("one syllable", 30), {}), (("two syllables", 36), {"n_best": 10}), (("chatter", 60), {}),
        (("still", 25), {}),
    ),
    "grid": (
        (("one syllable", 50), {}), (("two syllables", 60), {"beam_size": 30}), (("three syllables", 75), {}),
        (("one syllable", 50), {"grammar": True}), (("three syllables", 75), {"insertion_penalty": 0.5}),
    ),
    "animated": (
        (("place blue at f two now", 3005), {}), (("bin red with k nine again", 3011), {}),
        (("set white in z seven please", 3022), {"grammar": True}), (("pat mat van time", 3031), {"n_best": 3}),
        (("lay green by o zero soon", 3017), {"beam_size": 1, "insertion_penalty": 0.0}),
    ),
}  # fmt: skip


def lipreading(model: str) -> Iterator[Case]:
    from demos.lipreading.predict import LipreadingOptions, get_predictor

    def read(clip: tuple[str, int], options: Record) -> Record:
        video = drawn_mouth(*clip) if model == "animated" else talking_face(*clip)
        result = get_predictor()(video, LipreadingOptions(model, **options))
        frames = [frame["text"] for frame in result.frames]
        return {
            "input": {"clip": list(clip), **options},
            "text": result.text,
            "logprob": result.logprob,
            "others": _ranked(result.hypotheses),
            "words": [[word.text, word.start, word.end] for word in result.words],
            "word_logprobs": [word.logprob for word in result.words],
            "frames": [[text, len(list(run))] for text, run in groupby(frames)],  # likeliest word, for how many frames
            "frame_logprobs": [_log(p) for p in result.posteriors.max(1).tolist()],
        }

    for clip, options in SAID[model]:
        yield _name(clip[0], *options), lambda clip=clip, options=options: read(clip, options)


def _name(asked: str, *options: str) -> str:
    """Short, and still another name where the same is asked with other options."""
    short = asked if len(asked) <= 60 else asked[:57] + "..."
    return " ".join([short, *(f"({option})" for option in options)])


CHECKPOINTS: dict[str, Callable[[], Iterator[Case]]] = {
    "captioning": captioning,
    "vqa": vqa,
    "translation": translation,
    **{f"sentiment/{language}": lambda language=language: sentiment(language) for language in JUDGED},
    **{name: lambda name=name: generation(name) for name in WRITTEN},
    **{f"lipreading/{model}": lambda model=model: lipreading(model) for model in SAID},
}


def records(checkpoint: str) -> dict[str, Record]:
    """{name of the case: its record} of all that is asked of a checkpoint."""
    found: dict[str, Record] = {}
    for name, record in CHECKPOINTS[checkpoint]():
        assert name not in found, f"Two cases have the name {name!r}."
        found[name] = record()
    return found
