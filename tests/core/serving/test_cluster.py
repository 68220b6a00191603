"""Requests on several processes by Ray Data: the same answers, in the same order."""

import json
import subprocess
import sys

import pytest

from core.errors import InputError
from core.serving.cluster import answer_on_ray

PROGRAM = """
import json, os
from core.serving.cluster import answer_on_ray
from core.errors import InputError

def load():
    seen = []
    def answer(requests):
        for request in requests:
            if isinstance(request, InputError):
                yield request
            else:
                seen.append(request["number"])
                yield {"square": request["number"] ** 2, "process": os.getpid(), "loaded_once": len(seen)}
    return answer

requests = [{"number": n} for n in range(40)]
requests.insert(7, InputError("no number"))
for answer in answer_on_ray(load, requests, workers=2, batch_size=4):
    print(json.dumps(answer))
"""


def test_two_workers_answer_in_order():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=600, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert answers.pop(7) == {"error": "no number"}
    assert [answer["square"] for answer in answers] == [n**2 for n in range(40)]
    assert 1 <= len({answer["process"] for answer in answers}) <= 2
    assert max(answer["loaded_once"] for answer in answers) > 4  # a worker keeps what it has loaded


def test_no_worker_is_refused():
    with pytest.raises(InputError, match="1 or more"):
        next(answer_on_ray(list, [], workers=0))
