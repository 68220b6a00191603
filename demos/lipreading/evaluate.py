"""The published metrics: word error rate of sentences, accuracy of words and phrases on unseen speakers.

python -m demos.lipreading evaluate grid --data grid             100 test clips, from the files, as the app reads them
python -m demos.lipreading evaluate words --data miracl_vc1      the three test speakers
python -m demos.lipreading evaluate animated                     unseen sentences of unseen drawn speakers
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import jiwer
import torch
from torch.nn import functional as F
from tqdm import tqdm

from core.checkpoint import checkpoint_folder
from core.decoding.ctc import BLANK, greedy_decode
from core.errors import InputError
from core.metrics import cer, wer
from demos.lipreading.data import Clip, clip_names, draw_clips, read_alignment, read_miracl
from demos.lipreading.model import Lipreader, LipReading, normalise, pad_clips
from demos.lipreading.phonemes import pronounce_word
from demos.lipreading.predict import LipreadingOptions, LipreadingPredictor, decode

# --- while training ----------------------------------------------------------------------------------------------


def read_clips(model: Lipreader, clips: Sequence[Clip], batch_size: int = 16) -> list[LipReading]:
    """One LipReading per clip, each without a batch dimension and without padding."""
    found, device = [], next(model.parameters()).device
    for start in range(0, len(clips), batch_size):
        part = clips[start : start + batch_size]
        batch, lengths = pad_clips([torch.from_numpy(clip.frames) for clip in part])
        logits, frames, attention = (x.cpu() for x in model(normalise(batch, lengths).to(device), lengths))
        for i, n in enumerate(lengths.tolist()):
            own = logits[i, :n] if model.config.readout == "ctc" else logits[i]
            found.append(LipReading(own.float(), frames[i, :n].float(), attention[i, :n].float()))
    return found


def dev_scores(model: Lipreader, clips: Sequence[Clip]) -> dict[str, float]:
    """The first figure decides: accuracy of words and phrases, or the mean log-probability of the right sentence.

    A few hundred dev words are right or wrong by chance; how sure of them the network is says more.
    """
    with torch.inference_mode():
        readings = read_clips(model, clips)
    vocabulary = model.config.vocabulary
    if model.config.readout == "clip":
        return class_scores(readings, clips, vocabulary)
    texts = [" ".join(vocabulary[i] for i in greedy_decode(r.logits.log_softmax(1)).tokens) for r in readings]
    references = [" ".join(clip.words) for clip in clips]
    spoken = torch.cat([_spoken(clip, vocabulary) for clip in clips])
    right = torch.cat([r.frames.argmax(1) for r in readings]) == spoken
    return {
        "logprob": mean(_logprob(r.logits, clip.words, vocabulary) for r, clip in zip(readings, clips, strict=True)),
        "1 - wer": 1 - wer(texts, references),
        "frames": right[spoken > 0].float().mean().item(),
    }


def _logprob(logits: torch.Tensor, said: Sequence[str], vocabulary: Sequence[str]) -> float:
    """What CTC gives the sentence, from (T, C); -inf where it has more words than there are frames."""
    words = torch.tensor([vocabulary.index(word) for word in said])
    logprobs = logits.log_softmax(1)
    return -F.ctc_loss(logprobs, words, (len(logprobs),), (len(words),), BLANK, reduction="sum").item()


def _spoken(clip: Clip, vocabulary: Sequence[str]) -> torch.Tensor:
    """(T,) the word of each frame."""
    spoken = torch.zeros(len(clip.frames), dtype=torch.long)
    for word, (first, end) in zip(clip.words, clip.spans, strict=True):
        spoken[first:end] = vocabulary.index(word)
    return spoken


def class_scores(readings: Sequence[LipReading], clips: Sequence[Clip], vocabulary: Sequence[str]) -> dict[str, float]:
    """Accuracy among all classes, of words among words and of phrases among phrases."""
    truth = torch.tensor([vocabulary.index(clip.words[0]) for clip in clips])
    logits = torch.stack([r.logits for r in readings])
    is_phrase = torch.tensor(["/phrases/" in clip.name for clip in clips])
    phrases = torch.zeros(len(vocabulary), dtype=torch.bool)
    phrases[truth[is_phrase]] = True
    scores = {"all": (logits.argmax(1) == truth).float().mean().item()}
    for name, rows, classes in (("words", ~is_phrase, ~phrases), ("phrases", is_phrase, phrases)):
        if rows.any():
            among = logits[rows].masked_fill(~classes, float("-inf")).argmax(1)
            scores[name] = (among == truth[rows]).float().mean().item()
    return scores


# --- test sets ---------------------------------------------------------------------------------------------------


def evaluate_grid(predictor: LipreadingPredictor, root: Path, split: str) -> list[dict[str, Any]]:
    """GRID from the video files, by the app's own way: one entry without the grammar, one with it.

    "logprob" is the mean log-probability of the right sentence, without the grammar.
    """
    references, texts, times, sure = [], {False: [], True: []}, [], []
    for name in tqdm(clip_names(root, split), desc="clips"):
        words, _ = read_alignment(root / "align" / "s1" / f"{name}.align", 75)
        references.append(" ".join(words))
        result = predictor(root / "s1" / f"{name}.mp4", LipreadingOptions("grid"))
        times.append(result.seconds)
        sure.append(_logprob(torch.from_numpy(result.logits), words, result.vocabulary))
        texts[False].append(result.text)
        texts[True].append(with_grammar(predictor, result))
    entries = []
    for grammar, found in texts.items():
        entry = {"data": "GRID s1", "split": split, "grammar": grammar, **sentence_scores(found, references)}
        entries.append(entry | {"logprob": round(mean(sure), 3), "seconds_p50": round(median(times), 3)})
    return entries


def with_grammar(predictor: LipreadingPredictor, result: Any) -> str:
    """The same reading decoded again."""
    options = LipreadingOptions(result.model, beam_size=30, grammar=True)
    logits = torch.from_numpy(result.logits)
    reading = LipReading(logits, logits, logits)
    return decode(predictor.model(result.model), reading, options)[0].text


def evaluate_animated(predictor: LipreadingPredictor, count: int, split: str) -> list[dict[str, Any]]:
    """Drawn clips that no training has seen."""
    model = predictor.model("animated")
    clips = draw_clips(split, count)
    references = [" ".join(clip.words) for clip in clips]
    with torch.inference_mode():
        readings = read_clips(model, clips)
    entries = []
    for grammar in (False, True):
        options = LipreadingOptions("animated", beam_size=30 if grammar else 10, grammar=grammar)
        texts = [decode(model, reading, options)[0].text for reading in readings]
        scores = sentence_scores(texts, references)
        entries.append({"data": "drawn mouths", "split": split, "grammar": grammar, **scores})
    return entries


def evaluate_words(predictor: LipreadingPredictor, root: Path, split: str) -> list[dict[str, Any]]:
    """Unseen speakers of MIRACL-VC1: all together, then each."""
    data, model = read_miracl(root), predictor.model("words")
    speakers = data.test_speakers if split == "test" else data.dev_speakers
    entries = []
    for group in (speakers, *((speaker,) for speaker in speakers)):
        clips = data.of(group)
        with torch.inference_mode():
            readings = read_clips(model, clips)
        scores = {k: round(100 * v, 2) for k, v in class_scores(readings, clips, model.config.vocabulary).items()}
        entry = {"data": "MIRACL-VC1", "split": split, "speakers": " ".join(group), "clips": len(clips), **scores}
        if group is speakers:
            read_as = [model.config.vocabulary[int(r.logits.argmax())] for r in readings]
            entry["confusions"] = count_confusions(zip([clip.words[0] for clip in clips], read_as, strict=True))
        entries.append(entry)
    return entries


def sentence_scores(texts: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """WER, CER and sentence accuracy in percent, and what words and visemes were taken for."""
    pairs = list(_aligned_words(texts, references))
    return {
        "clips": len(texts),
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
    parser.add_argument("which", choices=["words", "grid", "animated"])
    parser.add_argument("--data", type=Path, help="words: folder of MIRACL-VC1; grid: folder of GRID")
    parser.add_argument("--split", choices=["test", "dev"], default="test")
    parser.add_argument("--clips", type=int, default=300, help="animated: how many (default: %(default)s)")
    parser.add_argument("--checkpoint", help="folder with words/, grid/ and animated/ (default: the repository's own)")
    parser.add_argument("--leave-one-out", type=Path, metavar="FILE", help="words: scores.json of that training, too")
    parser.add_argument("--save", action="store_true", help="write the figures to metrics.json of the checkpoint")


def main(options: argparse.Namespace) -> None:
    """Measure one network and print the figures as JSON lines."""
    predictor = LipreadingPredictor.from_pretrained(options.checkpoint)
    if options.which != "animated" and not options.data:
        raise InputError("Name the folder of the data set with --data.")
    if options.which == "grid":
        entries = evaluate_grid(predictor, options.data, options.split)
    elif options.which == "words":
        entries = evaluate_words(predictor, options.data, options.split)
        if options.leave_one_out:
            entries.append(json.loads(options.leave_one_out.read_text()))
    else:
        entries = evaluate_animated(predictor, options.clips, options.split)
    for entry in entries:
        print(json.dumps({k: v for k, v in entry.items() if k not in ("confusions", "visemes")}))
    if options.save:
        file = (Path(options.checkpoint) if options.checkpoint else checkpoint_folder("lipreading")) / options.which
        (file / "metrics.json").write_text(json.dumps({"evaluations": entries}, indent=1) + "\n")
