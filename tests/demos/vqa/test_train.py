"""From official layouts to a checkpoint that answers and is measured: all of the recipe, small."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from core.errors import InputError
from core.metrics import soft_accuracy
from demos.vqa.__main__ import main
from demos.vqa.data import Question, balanced, generated_questions, read_daquar, read_yes_no
from demos.vqa.train import read_set, take_in


def test_daquar_is_split_by_its_lists_and_dev_is_taken_from_training(daquar):
    questions = read_daquar(daquar)
    photos = {split: {q.photo.stem for q in found} for split, found in questions.items()}
    assert photos["test"] == {"image10", "image11"}
    assert photos["train"].isdisjoint(photos["dev"])
    assert len(photos["train"] | photos["dev"]) == 10
    assert all("image" not in q.question for found in questions.values() for q in found)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match="missing"):
        read_daquar(tmp_path)


def test_a_question_without_an_answer_is_named(daquar, tmp_path):
    root = shutil.copytree(daquar, tmp_path / "daquar")
    with (root / "all_qa_pairs.txt").open("a", encoding="utf-8") as file:
        file.write("\nhow many lamps are in the image1 ?")
    with pytest.raises(InputError, match="question without an answer"):
        read_daquar(root)


def test_coco_s_questions_are_people_s_and_generated_ones(coco):
    found = read_set(coco, phrasings=2).questions
    sources = {q.source for q in found["train"]}
    assert sources == {"human yes/no", "generated"}
    assert len(read_yes_no(coco)["test"]) == 4
    assert len(found["train"]) >= len(found["dev"])


def test_generated_questions_have_one_answer_each(coco):
    from core.training.captioned_photos import read_collection

    made = generated_questions(read_collection(coco)["dev"], phrasings=3)
    assert len({(q.photo, q.question) for q in made}) == len(made)


@pytest.mark.parametrize(("humans", "score"), [(["red"] * 10, 1), (["red"] * 2 + ["blue"] * 8, 0.6), (["blue"] * 3, 0)])
def test_soft_accuracy_by_hand(humans, score):
    assert soft_accuracy("red", humans) == pytest.approx(score)


def test_a_training_makes_a_checkpoint_that_answers_and_is_measured(coco, daquar, tmp_path, capsys):
    run = ["train", "--data", str(coco), str(daquar), "--repeats", "8", "1", "--batch-size", "4", "--per-photo", "4",
           "--epochs", "1", "--min-count", "1", "--warmup-steps", "2", "--average", "0", "--precision", "no",
           "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "run")]  # fmt: skip
    assert main(run) == 0
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [r for r in records if "dev" in r][-1]["dev"]["mean"] >= 0
    start = str(tmp_path / "run" / "best")
    grow = ["train", "--data", str(coco), str(daquar), "--only-classes", "--least", "1", "--epochs", "20", "--cache",
            str(tmp_path / "cache"), "--repeats", "1", "4", "--views", "0", "2", "--start", start]  # fmt: skip
    assert main([*grow, "--out", str(tmp_path / "classes")]) == 0
    learnt = [r["dev"]["accuracy"] for r in map(json.loads, (tmp_path / "classes" / "log.jsonl").open()) if "dev" in r]
    assert max(learnt) > 50  # "garbage bin" is what every dev question of DAQUAR is answered with
    judge = ["train", "--data", str(coco), "--only-evidence", "0.5", "--start", str(tmp_path / "classes" / "best")]
    assert main([*judge, "--epochs", "3", "--learning-rate", "1e-2", "--out", str(tmp_path / "judging")]) == 0
    fits = [r["dev"]["logprob"] for r in map(json.loads, (tmp_path / "judging" / "log.jsonl").open()) if "dev" in r]
    assert fits[-1] > fits[0]
    checkpoint = str(tmp_path / "judging" / "best")
    capsys.readouterr()
    wrong = [
        "train",
        "--data",
        str(daquar),
        "--only-evidence",
        "0.5",
        "--start",
        checkpoint,
        "--out",
        str(tmp_path / "x"),
    ]
    assert main(wrong) == 2
    assert "captions" in capsys.readouterr().err
    assert main([str(coco / "images" / "bus.jpg"), "Is this a dog?", "--json", "--checkpoint", checkpoint]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"]
    assert main(["evaluate", "--data", str(coco), "--checkpoint", checkpoint, "--save", "toy"]) == 0
    saved = json.loads((tmp_path / "judging" / "best" / "metrics.json").read_text())["evaluations"]
    assert [record["source"] for record in saved] == ["human yes/no", "generated"]
    assert all(0 <= record["accuracy"] <= 100 and 0 <= record["blind"] <= 100 for record in saved)


def test_a_new_word_takes_the_place_of_the_rarest_and_starts_as_another(network, tokenizer):
    grown = take_in(network, tokenizer, "0", "1")
    zero, one = grown.convert_tokens_to_ids(["0", "1"])
    assert zero == len(tokenizer) - 1 == len(grown) - 1
    assert "0" not in tokenizer.get_vocab()  # the old one still reads as it did
    assert torch.equal(network.decoder.embedding.weight[zero], network.decoder.embedding.weight[one])
    assert network.detector_word[zero] == network.config.detected_words
    for word, like in (("1", "2"), ("00", "unheard")):
        with pytest.raises(InputError, match=word):
            take_in(network, tokenizer, word, like)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only-classes", "--word", "0", "1"], "--word"),
        (["--only-evidence", "1", "--word", "0", "1"], "--word"),
        (["--only-classes", "--only-evidence", "1"], "leave one out"),
        (["--only-evidence", "0"], "from 0.01 to 10"),
        (["--only-evidence", "nan"], "from 0.01 to 10"),
    ],
)
def test_late_stages_refuse_what_they_cannot_do(daquar, tmp_path, capsys, options, said):
    run = ["train", "--data", str(daquar), "--start", str(tmp_path), *options]
    assert main([*run, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("stage", [["--only-classes"], ["--only-evidence", "1"]])
def test_late_stages_need_a_network(daquar, tmp_path, capsys, stage):
    assert main(["train", "--data", str(daquar), *stage, "--out", str(tmp_path / "out")]) == 2
    assert "--start" in capsys.readouterr().err


def test_only_questions_that_are_answered_either_way_are_balanced():
    def asked(question: str, answer: str) -> Question:
        return Question(Path("bus.jpg"), question, (answer,), "yes/no", "human yes/no")

    both = [asked("Is this a bus?", "yes"), asked("is this  a bus?", "no"), asked("Is this a bus?", "yes")]
    assert balanced([both[0], asked("Is this a cat?", "yes"), *both[1:], asked("Is it?", "no")]) == both
