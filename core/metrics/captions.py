"""The COCO caption metrics (Chen et al. 2015): BLEU-1 to 4, METEOR, ROUGE-L, CIDEr.

The formulas, the Penn Treebank tokenizer and METEOR are pycocoevalcap's, the code that published figures are computed
with. The tokenizer and METEOR are Java programs. Their jars are run from here, not through pycocoevalcap's wrappers,
which write into the package's own folder, fail where the locale writes decimal commas, and wait for ever on a lock
once a score could not be read.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Timer

from core.errors import InputError, ModelError
from core.metrics.text import check_aligned, check_references

CAPTION_METRICS = ("BLEU", "METEOR", "ROUGE-L", "CIDEr")

# The same on every machine, whatever its locale: UTF-8 text, decimal points.
_JAVA = ("java", "-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US")
_TIME_LIMIT = 1800  # seconds for one Java program, so that none can hang for ever
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


def java_available() -> bool:
    """Whether METEOR and the Penn Treebank tokenizer can run on this machine."""
    return shutil.which("java") is not None


def caption_scores(
    hypotheses: Mapping[str, str] | Sequence[str],
    references: Mapping[str, Sequence[str]] | Sequence[Sequence[str]],
    metrics: Sequence[str] = CAPTION_METRICS,
    tokenizer: str = "ptb",
) -> dict[str, float]:
    """Score one caption per photo as the COCO server does; all values in percent (CIDEr x 100).

    Both arguments are lists in the same order, or both are {photo: ...} maps. Each photo has one or more references.
    `tokenizer="ptb"` is the published one and needs Java, as METEOR does; "simple" lower-cases and drops punctuation.
    CIDEr weighs words by their rarity among the photos given: it means little for a few photos and is 0 for one.

    Returns BLEU-1 ... BLEU-4 for "BLEU", and one entry for each other name in `metrics`. Raises InputError when
    hypotheses and references do not match, ModelError when Java is needed and missing.
    """
    hypotheses, references = _as_lists(hypotheses, references)
    if unknown := set(metrics) - set(CAPTION_METRICS):
        raise InputError(f"There is no metric {unknown.pop()!r}. Choose from {', '.join(CAPTION_METRICS)}.")
    if tokenizer not in _TOKENIZERS:
        raise InputError(f"There is no tokenizer {tokenizer!r}. Choose one of {', '.join(_TOKENIZERS)}.")
    sentences = [*hypotheses, *(reference for entry in references for reference in entry)]
    tokenized = iter(_TOKENIZERS[tokenizer](sentences))
    hypotheses = [next(tokenized) for _ in hypotheses]
    references = [[next(tokenized) for _ in entry] for entry in references]
    scores: dict[str, float] = {}
    for metric in metrics:
        scores |= _SCORERS[metric](hypotheses, references)
    return {name: 100 * float(value) for name, value in scores.items()}


def caption_scores_fast(
    hypotheses: Mapping[str, str] | Sequence[str],
    references: Mapping[str, Sequence[str]] | Sequence[Sequence[str]],
) -> dict[str, float]:
    """BLEU-1 to 4, ROUGE-L and CIDEr with the simple tokenizer: no Java. For dev sets while training, not to quote."""
    return caption_scores(hypotheses, references, ("BLEU", "ROUGE-L", "CIDEr"), tokenizer="simple")


def _as_lists(hypotheses, references) -> tuple[list[str], list[Sequence[str]]]:
    if isinstance(hypotheses, Mapping) != isinstance(references, Mapping):
        raise InputError("Give hypotheses and references both as lists or both as {photo: ...} maps.")
    check_aligned(hypotheses, references)
    if isinstance(hypotheses, Mapping):
        if missing := hypotheses.keys() - references.keys():
            raise InputError(f"There are no references for {sorted(map(str, missing))[0]!r}.")
        references = [references[photo] for photo in hypotheses]
        hypotheses = hypotheses.values()
    check_references(references)
    return list(hypotheses), list(references)


# --- tokenizers: sentences -> the same number of strings of words between spaces -----------------------------------


def _tokenize_simple(sentences: Sequence[str]) -> list[str]:
    return [" ".join(_WORD.findall(sentence.lower())) for sentence in sentences]


def _tokenize_ptb(sentences: Sequence[str]) -> list[str]:
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

    # One sentence a line, whatever line breaks it held itself.
    text = "".join(" ".join(sentence.splitlines()) + "\n" for sentence in sentences)
    jar = _package_folder() / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
    command = ("-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")
    with _java("Penn Treebank tokenizer", *command) as process:
        lines = process.communicate(text)[0].split("\n")[:-1]
        if len(lines) != len(sentences):
            raise EOFError
    return [" ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATIONS) for line in lines]


_TOKENIZERS = {"ptb": _tokenize_ptb, "simple": _tokenize_simple}


# --- metrics: tokenized hypotheses and references -> {name: score from 0 to 1} -------------------------------------


def _bleu(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu

    values, _ = Bleu(4).compute_score(*_coco_maps(hypotheses, references), verbose=0)  # verbose: prints to stdout
    return {f"BLEU-{n}": value for n, value in enumerate(values, start=1)}


def _rouge_l(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    from pycocoevalcap.rouge.rouge import Rouge

    return {"ROUGE-L": Rouge().compute_score(*_coco_maps(hypotheses, references))[0]}


def _cider(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    from pycocoevalcap.cider.cider import Cider

    return {"CIDEr": Cider().compute_score(*_coco_maps(hypotheses, references))[0]}


def _meteor(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    """METEOR 1.5 (Denkowski and Lavie 2014): one line in, one line out, first per caption, then for the corpus."""
    from pycocoevalcap.meteor.meteor import METEOR_JAR

    jar = _package_folder() / "meteor" / METEOR_JAR
    with _java("METEOR metric", "-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm") as process:

        def ask(*fields: str) -> str:
            # "|||" separates the fields, so no caption may hold it.
            print(" ||| ".join(field.replace("|||", " ") for field in fields), file=process.stdin, flush=True)
            return answer()

        def answer() -> str:
            if not (line := process.stdout.readline().strip()):
                raise EOFError  # the program has ended
            return line

        statistics = [ask("SCORE", *refs, hyp) for hyp, refs in zip(hypotheses, references, strict=True)]
        ask("EVAL", *statistics)  # the first caption's score; those of the others follow, then the corpus's
        for _ in hypotheses:
            corpus = answer()
    return {"METEOR": float(corpus)}


_SCORERS = {"BLEU": _bleu, "METEOR": _meteor, "ROUGE-L": _rouge_l, "CIDEr": _cider}


def _coco_maps(hypotheses: list[str], references: list[list[str]]) -> tuple[dict, dict]:
    """pycocoevalcap's arguments: {photo: references}, {photo: [hypothesis]}"""
    return dict(enumerate(references)), {photo: [text] for photo, text in enumerate(hypotheses)}


# --- Java ----------------------------------------------------------------------------------------------------------


@contextmanager
def _java(name: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """A Java program with text pipes; ended when the block ends, however it ends, and after the time limit."""
    if not java_available():
        raise ModelError(
            f"The {name} needs Java, which is only needed for evaluation: install it (Debian and Ubuntu: "
            "`apt-get install default-jre-headless`), or use caption_scores_fast, which does without."
        )
    process = subprocess.Popen(
        [*_JAVA, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # an unread pipe would fill up and stop the program
        encoding="utf-8",
        errors="replace",
    )
    watchdog = Timer(_TIME_LIMIT, process.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield process
    except (BrokenPipeError, EOFError) as error:
        raise ModelError(
            f"The {name} stopped early: check that `java -version` works and that 2 GB of memory are free."
        ) from error
    finally:
        watchdog.cancel()
        process.kill()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.wait()


def _package_folder() -> Path:
    return Path(find_spec("pycocoevalcap").submodule_search_locations[0])
