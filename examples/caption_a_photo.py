"""Caption a photo from Python, and see how sure the network was of every word.

python -m examples.caption_a_photo photo.jpg
"""

import math
import sys

from demos.captioning.predict import CaptioningPredictor


def main(photo: str) -> None:
    """Print the captions, best first, and the probability of each word of the first."""
    predictor = CaptioningPredictor.from_pretrained()  # the repository's own checkpoint; or a folder, or a Hub id
    result = predictor(photo)
    for hypothesis in result.hypotheses:
        print(f"{hypothesis.logprob:7.2f}  {hypothesis.text}")
    print()
    for token in result.hypotheses[0].tokens:
        print(f"{math.exp(token.logprob):7.0%}  {token.text}")


if __name__ == "__main__":
    main(sys.argv[1])
