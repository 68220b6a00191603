"""Which tests need more than pip gives, or more than a moment; pyproject.toml names the markers.

Where a test lies says most of it: all of tests/e2e starts the real app, and its pages are opened in a browser. What is
slow for another reason is named here, by the beginning of its name as pytest prints it.
"""

import shutil

import pytest

BROWSER = ("tests/e2e/test_accessibility.py", "_page.py")
SLOW = (
    "tests/golden/",  # every checkpoint answers
    "tests/examples/",
    "tests/core/serving/test_cluster.py::test_two_workers",  # starts Ray
    "tests/core/test_checkpoint.py::test_push_to_hub",
    "tests/core/metrics/test_records.py::test_a_hub_id",
    "tests/core/training/test_loop.py::test_two_processes",
    "tests/core/training/test_feature_cache.py::test_of_two_trainings",
    "tests/core/input/test_image_checks.py::test_memory_grows",
    "tests/core/input/test_video.py::test_pictures_of_8k",
    "tests/test_scripts.py::test_the_page_can_be_built",
    "tests/test_app.py::test_the_page_is_built",
    "tests/test_app.py::test_a_port_in_use",
)
SLOW_FILES = ("/test_train.py", "/test_recipe.py", "/test_cli.py")  # of demos: toy trainings and new processes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests, and skip what this machine lacks the program for."""
    without_java = pytest.mark.skip(reason="Java is missing: `apt-get install default-jre-headless`, or `make test`")
    for item in items:
        file = item.nodeid.partition("::")[0]
        if file.startswith("tests/e2e/"):
            item.add_marker(pytest.mark.app)
            if file.endswith(BROWSER):
                item.add_marker(pytest.mark.browser)
        of_a_demo = file.startswith("tests/demos/")
        if item.nodeid.startswith(SLOW) or (of_a_demo and file.endswith(SLOW_FILES)):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("java") and not shutil.which("java"):
            item.add_marker(without_java)
