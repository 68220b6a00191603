"""Millions of requests on several processes or machines, by Ray Data (optional: pip install "ray[data]").

Ray keeps the workers alive, moves the data and restarts what dies; this is only the seam. Each worker loads the network
once and answers batches of requests with the same function that serves one process, so the answers are the same.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from core.errors import InputError, ModelError, UnrolledError
from core.serving.bulk import Answer

Answerer = Callable[[Iterable[dict | InputError]], Iterable[Answer]]


class _Worker:
    """What runs in each of Ray's processes."""

    def __init__(self, load: Callable[[], Answerer]):
        self.answer = load()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        requests = [_from_json(text) for text in batch["request"]]
        return {"answer": [_to_json(answer) for answer in self.answer(requests)]}


def answer_on_ray(
    load: Callable[[], Answerer], requests: Iterable[dict | InputError], workers: int, batch_size: int = 64
) -> Iterator[Answer]:
    """Answers in the order of the requests.

    load: runs once in each of the `workers` processes and returns the function that answers requests. A cluster is
    joined where RAY_ADDRESS names one, else the processes are started here. Raises ModelError without Ray.
    """
    if workers < 1:
        raise InputError(f"The number of workers must be 1 or more, not {workers}.")
    ray = _start(workers)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    rows = ray.data.from_items([{"request": _to_json(request)} for request in requests])
    answers = rows.map_batches(
        _Worker,
        fn_constructor_args=(load,),
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=max(1, (os.cpu_count() or 1) // workers),  # Ray gives each worker as many threads
    )
    for row in answers.iter_rows():
        yield json.loads(row["answer"])


def _start(workers: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ModelError('Ray is not installed: run `pip install "ray[data]"`, or leave --ray out.') from error
    if not ray.is_initialized():
        here = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": max(workers + 1, os.cpu_count() or 1)}
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **here)
    return ray


def _to_json(value: dict | UnrolledError) -> str:
    return json.dumps({"error": str(value)} if isinstance(value, UnrolledError) else value)


def _from_json(text: str) -> dict | InputError:
    value = json.loads(text)
    return InputError(value["error"]) if set(value) == {"error"} else value
