"""Figures for the tabs and for training, on matplotlib's object API (pyplot is not thread-safe)."""

from matplotlib.figure import Figure


def learning_curve(records: list[dict]) -> Figure:
    """Training loss (left) and dev figures (right) over the steps, from the records of core.training."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot()
    steps = [r for r in records if "loss" in r]
    left.plot([r["step"] for r in steps], [r["loss"] for r in steps], color="tab:blue", lw=1, label="training loss")
    left.set(xlabel="step", ylabel="loss")
    judged = [r for r in records if "dev" in r]
    if judged:
        right = left.twinx()
        for name in judged[0]["dev"]:
            right.plot([r["step"] for r in judged], [r["dev"][name] for r in judged], "o-", label=f"dev {name}")
        right.legend(loc="lower right")
    left.legend(loc="upper right")
    return figure
