"""The corpora that the shipped networks have learnt. Light: the page lists them before PyTorch is loaded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from."""

    name: str
    title: str
    files: tuple[str, ...]  # under the folder of the data sets, to be joined; .gz or .xz may follow the name
    kind: str = "characters"  # of pieces: "characters", "abc" (tokens of folk tunes) or "prose" (words)
    held_out: float = 0.05  # share of the text at its end that only the final evaluation reads
    checkpoint: str = "generation"  # the folder of the network that has learnt it
    prompt: str = ""  # a beginning to try; empty: the first line of the training text


_TOLSTOY = ("corpora/war_and_peace.train.txt", "corpora/war_and_peace.valid.txt")
SOURCES = (
    Source("tinyshakespeare", "Tiny Shakespeare", ("corpora/tinyshakespeare.txt",), held_out=0.1, prompt="ROMEO:\n"),
    Source("shakespeare", "Shakespeare's plays", ("corpora/shakespeare_plays.txt",), prompt="HAMLET:\n"),
    Source("linux", "Linux kernel, C", ("corpora/linux_kernel.c",), prompt="static int "),
    Source("latex", "Stacks project, LaTeX", ("corpora/stacks_project.tex",), prompt="\\begin{lemma}\n"),
    Source(
        "speeches", "Obama's speeches", ("corpora/obama_speeches.txt",),
        checkpoint="generation/speeches", prompt="Good morning, everybody. ",
    ),
    Source("war_and_peace", "War and Peace", _TOLSTOY, prompt="Prince Andrew "),
    Source(
        "folk", "Folk tunes, ABC", ("corpora/folk_tunes_abc.txt",), "abc",
        checkpoint="generation/folk", prompt="M:4/4\nK:Cmaj\n",
    ),
    Source(
        "reviews", "Film reviews, by the word", ("imdb/train.tsv",), "prose",
        checkpoint="generation/reviews", prompt="I went to see this film because",
    ),
)  # fmt: skip
