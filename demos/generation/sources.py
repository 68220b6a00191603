"""The corpora that the shipped networks have learnt. Light: the page lists them before PyTorch is loaded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from: its files (joined), kind of pieces, held-out share and weight in a mixture.

    One with a reader of its own, as data.read_reviews, names no files.
    """

    name: str
    title: str
    files: tuple[str, ...]
    kind: str = "characters"
    held_out: float = 0.05  # share of the text at its end that only the final evaluation reads
    weight: float = 1.0  # how much of it a mixture reads, relative to the others
    checkpoint: str = "generation"  # the folder of the network that has learnt it


SOURCES = (
    Source("tinyshakespeare", "Tiny Shakespeare", ("tinyshakespeare.txt.gz",), held_out=0.1, weight=1.6),
    Source("shakespeare", "Shakespeare's plays", ("shakespeare_plays.txt.gz",), weight=1.4),
    Source("linux", "Linux kernel, C", ("linux_kernel.c.gz",), weight=2.0),
    Source("latex", "Stacks project, LaTeX", ("stacks_project.tex.gz",), weight=1.8),
    Source("speeches", "Obama's speeches", ("obama_speeches.txt.gz",), checkpoint="generation/speeches"),
    Source("war_and_peace", "War and Peace", ("war_and_peace.train.txt.gz", "war_and_peace.valid.txt.gz")),
    Source("folk", "Folk tunes, ABC", ("folk_tunes_abc.txt.gz",), "abc", checkpoint="generation/folk"),
    Source("reviews", "Film reviews, by the word", (), "prose", checkpoint="generation/reviews"),
)
