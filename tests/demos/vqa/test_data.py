"""Questions in their official layouts."""

import json
from pathlib import Path

import pytest

from core.errors import InputError
from core.training.captioned_photos import read_collection
from demos.vqa.data import (
    Question,
    answer_type,
    balanced,
    generated_questions,
    read_people,
    read_training_questions,
    read_vqa,
)


def test_people_s_questions_of_both_files_about_photos_that_are_there(coco):
    found = read_people(coco, "dev")
    assert {source: len(questions) for source, questions in found.items()} == {"human yes/no": 4, "people": 2}
    assert [(q.photo.name, q.answers, q.type) for q in found["people"]] == [
        ("bus.jpg", ("bus",), "other"),
        ("cat.jpg", ("1",), "number"),
    ]
    assert list(read_people(coco, "test")) == ["human yes/no"]


def test_training_questions_are_people_s_and_generated_ones(coco):
    found = read_training_questions(coco, phrasings=2)
    assert {q.source for q in found["train"]} == {"human yes/no", "generated"}
    assert len(found["train"]) >= len(found["dev"])


def test_generated_questions_have_one_answer_each(coco):
    made = generated_questions(read_collection(coco)["dev"], phrasings=3)
    assert len({(q.photo, q.question) for q in made}) == len(made)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("Yes", "yes/no"), ("two", "number"), ("12", "number"), ("two dogs", "other"), ("red", "other")],
)
def test_the_answer_tells_the_type(answer, kind):
    assert answer_type(answer) == kind


def test_the_official_layout_has_the_answers_of_all_people(coco, tmp_path):
    questions, annotations = tmp_path / "questions.json", tmp_path / "annotations.json"
    photos = tmp_path / "val2014"
    photos.mkdir()
    (photos / "COCO_val2014_000000000042.jpg").write_bytes((coco / "images" / "bus.jpg").read_bytes())
    asked = [{"question_id": 1, "question": "What is it?"}, {"question_id": 2, "question": "Who?"}]
    answered = [
        {"question_id": 1, "image_id": 42, "answers": [{"answer": "bus"}, {"answer": "red bus"}, {"answer": "bus"}]},
        {"question_id": 2, "image_id": 7, "answers": [{"answer": "nobody"}]},  # about a photo that is not there
    ]
    questions.write_text(json.dumps({"questions": asked}))
    annotations.write_text(json.dumps({"annotations": answered}))
    (found,) = read_vqa(questions, annotations, tmp_path)
    assert (found.question, found.answers, found.type) == ("What is it?", ("bus", "red bus", "bus"), "other")
    annotations.write_text("{}")
    with pytest.raises(InputError, match="VQA questions"):
        read_vqa(questions, annotations, tmp_path)


def test_only_questions_that_are_answered_either_way_are_balanced():
    def asked(question: str, answer: str) -> Question:
        return Question(Path("bus.jpg"), question, (answer,), "yes/no", "human yes/no")

    both = [asked("Is this a bus?", "yes"), asked("is this  a bus?", "no"), asked("Is this a bus?", "yes")]
    assert balanced([both[0], asked("Is this a cat?", "yes"), *both[1:], asked("Is it?", "no")]) == both
