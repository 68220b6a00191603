"""Speed of a single stream of text: our single step beside the same network stepped through torch's modules.

    python -m benchmarks.generation [--length 2000] [--runs 5] [--json]

One text is written piece after piece, so nothing can be batched: a step reads every weight once. Where other programs
use the cores too, the rate per second of processor time tells what is left to gain on a free one.
"""

import argparse
import json
import os
import statistics
import time

import torch

from demos.generation.data import tag_of
from demos.generation.predict import GenerationOptions, GenerationPredictor

CORPUS = "linux"


def written_by_us(predictor: GenerationPredictor, length: int) -> int:
    """Pieces written by the app's own call."""
    return len(predictor(CORPUS, "static int ", GenerationOptions(length=length, temperature=1.0)).tokens)


def written_by_modules(predictor: GenerationPredictor, length: int) -> int:
    """Pieces written by the decoder as it was trained, a token at a time, in float32."""
    tokens, state = torch.tensor([[predictor.index[tag_of(CORPUS)]]]), None
    with torch.inference_mode():
        for _ in range(length):
            output = predictor.model(tokens, state)
            tokens, state = torch.multinomial(output.logits[:, -1].softmax(1), 1), output.state
    return length


def main() -> None:
    """Print pieces per second of both, alternating between them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    predictor = GenerationPredictor.from_pretrained()
    systems = {"Unrolled": written_by_us, "torch modules, a step at a time": written_by_modules}
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
    for number in range(options.runs + 1):
        for name, write in systems.items():
            start, busy = time.perf_counter(), time.process_time()
            count = write(predictor, options.length)
            if number:  # the first round warms up
                rates[name].append((count / (time.perf_counter() - start), count / (time.process_time() - busy)))
    clock, processor = (
        {name: round(statistics.median(pair[n] for pair in pairs)) for name, pairs in rates.items()} for n in (0, 1)
    )
    if options.json:
        figures = {"characters_per_second": clock, "characters_per_second_of_processor_time": processor}
        print(json.dumps({"cpus": os.cpu_count(), **figures}))
        return
    for name, rate in clock.items():
        print(f"{name:<34}{rate:>8,} characters/s, {processor[name]:,} per second of processor time")


if __name__ == "__main__":
    main()
