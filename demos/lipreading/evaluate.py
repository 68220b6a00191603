"""The published metrics: word error rate of sentences, accuracy of words and phrases on unseen speakers.

python -m demos.lipreading evaluate grid --data grid             100 test clips, from the files, as the app reads them
python -m demos.lipreading evaluate words --data miracl_vc1      the three test speakers
python -m demos.lipreading evaluate animated                     unseen sentences of unseen drawn speakers
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import jiwer
import torch
from tqdm import tqdm

from core.decoding.ctc import greedy_decode, sequence_logprob
from core.errors import InputError
from core.metrics import cer, wer
from core.metrics.records import report, save_record
from demos.lipreading.data import Clip, clip_names, draw_clips, read_alignment, read_miracl
from demos.lipreading.model import Lipreader, outputs_of
from demos.lipreading.phonemes import pronounce_word
from demos.lipreading.predict import MODELS, LipreadingOptions, LipreadingPredictor, decode

Record = tuple[dict[str, Any], dict[str, Any]]  # what was measured, and what came out
LONG = ("confusions", "visemes")  # figures that are kept and not printed

# --- while training ----------------------------------------------------------------------------------------------


def dev_scores(model: Lipreader, clips: Sequence[Clip]) -> dict[str, float]:
    """The first figure decides: accuracy of words and phrases, or the mean log-probability of the right sentence.

    A few hundred dev words are right or wrong by chance; how sure of them the network is says more.
    """
    vocabulary = model.config.vocabulary
    logits = [output.logits for output in outputs_of(model, [clip.frames for clip in clips])]
    if model.config.readout == "clip":
        return class_scores(logits, clips, vocabulary)
    texts = [" ".join(vocabulary[i] for i in greedy_decode(own.log_softmax(1)).tokens) for own in logits]
    return {
        "logprob": mean(_logprob(own, clip.words, vocabulary) for own, clip in zip(logits, clips, strict=True)),
        "1 - wer": 1 - wer(texts, [" ".join(clip.words) for clip in clips]),
    }


def _logprob(logits: torch.Tensor, words: Sequence[str], vocabulary: Sequence[str]) -> float:
    """What CTC gives the sentence, from (T, C); -inf where it has more words than there are frames."""
    return sequence_logprob(logits.log_softmax(1), [vocabulary.index(word) for word in words])


def class_scores(logits: Sequence[torch.Tensor], clips: Sequence[Clip], vocabulary: Sequence[str]) -> dict[str, float]:
    """Accuracy among all classes, of words among words and of phrases among phrases; from (C,) for each clip."""
    truth = torch.tensor([vocabulary.index(clip.words[0]) for clip in clips])
    every = torch.stack(list(logits))
    is_phrase = torch.tensor(["/phrases/" in clip.name for clip in clips])
    phrases = torch.zeros(len(vocabulary), dtype=torch.bool)
    phrases[truth[is_phrase]] = True
    scores = {"all": (every.argmax(1) == truth).float().mean().item()}
    for name, rows, classes in (("words", ~is_phrase, ~phrases), ("phrases", is_phrase, phrases)):
        if rows.any():
            among = every[rows].masked_fill(~classes, float("-inf")).argmax(1)
            scores[name] = (among == truth[rows]).float().mean().item()
    return scores


# --- test sets ---------------------------------------------------------------------------------------------------


def evaluate_grid(predictor: LipreadingPredictor, root: Path, split: str) -> Iterator[Record]:
    """GRID from the video files, by the app's own way: one record without the grammar, one with it.

    "logprob" is the mean log-probability of the right sentence, without the grammar.
    """
    config = predictor.model("grid").config
    references, logits, times = [], [], []
    for name in tqdm(clip_names(root, split), desc="clips"):
        words, _ = read_alignment(root / "align" / "s1" / f"{name}.align", 75)
        references.append(" ".join(words))
        result = predictor(root / "s1" / f"{name}.mp4", LipreadingOptions("grid"))
        times.append(result.seconds)
        logits.append(torch.from_numpy(result.logits))
    pairs = zip(logits, references, strict=True)
    more = {
        "logprob": round(mean(_logprob(own, text.split(), config.vocabulary) for own, text in pairs), 3),
        "seconds_p50": round(median(times), 3),
    }
    for about, scores in _with_and_without_grammar(predictor, "grid", logits, references):
        yield {"data": "GRID s1", "split": split, **about}, {**scores, **more}


def evaluate_animated(predictor: LipreadingPredictor, count: int, split: str) -> Iterator[Record]:
    """Drawn clips that no training has seen."""
    clips = draw_clips(split, count)
    logits = [output.logits for output in outputs_of(predictor.model("animated"), [clip.frames for clip in clips])]
    references = [" ".join(clip.words) for clip in clips]
    for about, scores in _with_and_without_grammar(predictor, "animated", logits, references):
        yield {"data": "drawn mouths", "split": split, **about}, scores


def _with_and_without_grammar(
    predictor: LipreadingPredictor, model: str, logits: Sequence[torch.Tensor], references: Sequence[str]
) -> Iterator[Record]:
    for grammar in (False, True):
        options = LipreadingOptions(model, beam_size=30 if grammar else 10, grammar=grammar)
        texts = [decode(predictor.model(model).config, own, options)[0].text for own in logits]
        yield {"grammar": grammar, "clips": len(texts)}, sentence_scores(texts, references)


def evaluate_words(predictor: LipreadingPredictor, root: Path, split: str) -> Iterator[Record]:
    """Unseen speakers of MIRACL-VC1: all together, then each."""
    data, model = read_miracl(root), predictor.model("words")
    vocabulary = model.config.vocabulary
    speakers = data.test_speakers if split == "test" else data.dev_speakers
    groups = [speakers, *((speaker,) for speaker in speakers if len(speakers) > 1)]
    for group in groups:
        clips = data.of(group)
        logits = [output.logits for output in outputs_of(model, [clip.frames for clip in clips])]
        scores: dict[str, Any] = {k: round(100 * v, 2) for k, v in class_scores(logits, clips, vocabulary).items()}
        if group is speakers:
            found = [vocabulary[int(own.argmax())] for own in logits]
            scores["confusions"] = count_confusions(zip([clip.words[0] for clip in clips], found, strict=True))
        yield {"data": "MIRACL-VC1", "split": split, "speakers": " ".join(group), "clips": len(clips)}, scores


def sentence_scores(texts: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """WER, CER and sentence accuracy in percent, and what words and visemes were taken for."""
    pairs = list(_aligned_words(texts, references))
    return {
        "wer": round(100 * wer(texts, references), 2),
        "cer": round(100 * cer(texts, references), 2),
        "sentence_accuracy": round(100 * sum(a == b for a, b in zip(texts, references, strict=True)) / len(texts), 1),
        "confusions": count_confusions(pairs),
        "visemes": count_confusions(pair for a, b in pairs if a and b for pair in _paired_visemes(a, b)),
    }


def _aligned_words(texts: Sequence[str], references: Sequence[str]) -> Iterable[tuple[str, str]]:
    """(said, read) pairs of the alignment behind the WER; "" where a word was left out or made up."""
    found = jiwer.process_words(list(references), [text or " " for text in texts])
    for said, read, chunks in zip(found.references, found.hypotheses, found.alignments, strict=True):
        for chunk in chunks:
            a = said[chunk.ref_start_idx : chunk.ref_end_idx]
            b = read[chunk.hyp_start_idx : chunk.hyp_end_idx]
            for i in range(max(len(a), len(b))):
                yield (a[i] if i < len(a) else "", b[i] if i < len(b) else "")


def _paired_visemes(said: str, read: str) -> Iterable[tuple[str, str]]:
    """Visemes of two words, place by place, where both have as many: others cannot be told to belong together."""
    a, b = pronounce_word(said).visemes, pronounce_word(read).visemes
    return zip(a, b, strict=True) if len(a) == len(b) else ()


def count_confusions(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """{said: {read: how often}}, most frequent first."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for said, read in pairs:
        counts[said][read] += 1
    return {said: dict(counts[said].most_common()) for said in sorted(counts)}


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    parser.add_argument("which", choices=MODELS)
    parser.add_argument("--data", type=Path, help="words: folder of MIRACL-VC1; grid: folder of GRID")
    parser.add_argument("--split", choices=["test", "dev"], default="test")
    parser.add_argument("--clips", type=int, default=300, help="animated: how many (default: %(default)s)")
    help_text = "folder with words/, grid/ and animated/, or Hugging Face id of one network (default: the repository's)"
    parser.add_argument("--checkpoint", help=help_text)
    help_text = "words: scores.json of the stage leave-one-out, to be kept, too"
    parser.add_argument("--leave-one-out", type=Path, metavar="FILE", help=help_text)
    parser.add_argument("--save", action="store_true", help="keep the figures in metrics.json of the checkpoint")


def main(options: argparse.Namespace) -> None:
    """Measure one network and print the figures as JSON lines."""
    predictor = LipreadingPredictor.from_pretrained(options.checkpoint)
    if options.which != "animated" and not options.data:
        raise InputError("Name the folder of the data set with --data.")
    if options.which == "grid":
        records = evaluate_grid(predictor, options.data, options.split)
    elif options.which == "words":
        records = evaluate_words(predictor, options.data, options.split)
    else:
        records = evaluate_animated(predictor, options.clips, options.split)
    for about, figures in records:
        report(about, {name: figure for name, figure in figures.items() if name not in LONG})
        if options.save:
            save_record(predictor.checkpoint(options.which), about, figures)
    if options.leave_one_out:
        scores = json.loads(options.leave_one_out.read_text())
        about = {name: scores.pop(name) for name in ("data", "split")}
        report(about, scores, predictor.checkpoint(options.which) if options.save else None)
