"""Questions made from captions, on sentences whose questions and answers are known."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from core.checkpoint import REPOSITORY
from demos.vqa.__main__ import main
from demos.vqa.questions.description import TYPES
from demos.vqa.questions.generate import QuestionGenerator, generate
from tests.demos.vqa.conftest import CAPTIONS


def asked(name: str, seed: int = 1) -> dict[str, str]:
    """{question in lower case: answer} of a photo."""
    made = QuestionGenerator(CAPTIONS, seed).questions(CAPTIONS[name])
    return {item.question.lower(): item.answer for item in made}


def answers_about(found: dict[str, str], *words: str) -> set[str]:
    return {answer for question, answer in found.items() if all(word in question for word in words)}


@pytest.mark.parametrize(
    ("photo", "words", "answer"),
    [
        ("horse", ("colo", "horse"), "brown"),
        ("horse", ("what is the man riding",), "horse"),
        ("horse", ("who is riding",), "man"),
        ("dogs", ("colo", "frisbee"), "red"),
        ("dogs", ("how many dogs",), "2"),
        ("cat", ("what is the cat sleeping on",), "bed"),
        ("cat", ("colo", "cat"), "white"),
        ("bus", ("colo", "bus"), "red"),
    ],
)
def test_captions_answer_their_questions(photo, words, answer):
    assert answers_about(asked(photo), *words) == {answer}


def test_what_captions_contradict_is_not_asked():
    captions = ["A red bus.", "A blue bus on a road.", "A bus."]
    made = QuestionGenerator({"x": captions}).questions(captions)
    assert not [item for item in made if item.type == "color"]


@pytest.mark.parametrize(
    ("captions", "thing", "answer"),
    [
        (
            ["Two zebras grazing.", "Two zebras in a field.", "Zebras eating grass.", "A zebra near a tree."],
            "zebras",
            {"2"},
        ),
        (["Two zebras grazing.", "Three zebras grazing.", "Zebras eating grass."], "zebras", set()),
        (["Two zebras grazing.", "A zebra grazing.", "A zebra in a field."], "zebras", set()),
        (["A couple of elephants walking.", "Two elephants on a road."], "elephants", {"2"}),
        (["A couple of elephants walking.", "Two elephants on a road."], "people", {"0"}),
        (["A man and two women eating.", "Three people eating.", "People eating at a table."], "people", {"3"}),
        (["A couple on a beach.", "A man and a woman on a beach."], "people", {"2"}),
        (["Zebras grazing.", "Zebras in a field.", "Many zebras."], "zebras", set()),
        (["A dog near a tree.", "A brown dog."], "people", {"0"}),
        (["A dog near a tree.", "A man and his dog."], "people", set()),
    ],
)
def test_how_many_is_what_captions_agree_on(captions, thing, answer):
    made = [item for seed in range(10) for item in QuestionGenerator({"x": captions}, seed).questions(captions)]
    assert {item.answer for item in made if item.type == "number" and thing in item.question} == answer


def test_few_of_the_many_lone_things_are_counted():
    captions = ["A dog running.", "A dog on grass.", "The dog jumping."]
    made = [QuestionGenerator({"x": captions}, seed).questions(captions) for seed in range(200)]
    counted = [item.answer for items in made for item in items if item.type == "number" and "dogs" in item.question]
    assert set(counted) == {"1"}
    assert 10 < len(counted) < 60


def test_yes_and_no_are_balanced_and_no_never_asks_for_what_is_there():
    counts = Counter()
    for seed in range(20):
        for name in CAPTIONS:
            for question, answer in asked(name, seed).items():
                if answer in ("yes", "no"):
                    counts[answer] += 1
                    if answer == "no":
                        thing = {"horse": "horse", "dogs": "dog", "cat": "cat", "bus": "bus"}[name]
                        assert question.split()[-1].rstrip("?s") != thing, question
    assert 0.8 < counts["yes"] / counts["no"] < 1.5


def test_the_same_seed_asks_the_same_and_another_one_in_other_words():
    assert asked("horse", 3) == asked("horse", 3)
    assert asked("horse", 3) != asked("horse", 4)


def test_another_process_asks_the_same():
    """Python hashes strings differently in every process: nothing may hang on the order of a set."""
    code = (
        "from demos.vqa.questions.generate import generate\n"
        "things = 'dog cat horse cow bus train car truck chair table sofa bed'.split()\n"
        "photos = {f'{a} {b}': [f'A {a} and a {b} near a lamp.'] for a in things for b in things if a < b}\n"
        "print([(r['image'], r['question'], r['answer']) for r in generate(photos, seed=5)])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True,
                       text=True, check=True, cwd=REPOSITORY).stdout
        for seed in ("1", "2", "3")
    ]  # fmt: skip
    assert runs[0] == runs[1] == runs[2]


def test_every_record_says_that_it_is_generated():
    records = list(generate(CAPTIONS))
    assert {record["image"] for record in records} == set(CAPTIONS)
    assert all(record["source"] == "generated from captions" for record in records)
    assert {record["type"] for record in records} == set(TYPES)


def test_the_command_writes_json_lines_and_refuses_a_file_without_captions(coco, tmp_path, capsys):
    out = tmp_path / "questions.jsonl"
    assert main(["generate-questions", str(coco / "captions.json"), "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) > 20
    assert main(["generate-questions", str(coco / "captions.json"), "--seed", "2"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["image"].endswith(".jpg")
    (tmp_path / "empty.txt").write_text("")
    assert main(["generate-questions", str(tmp_path / "empty.txt")]) == 2
    assert "caption" in capsys.readouterr().err
