"""Copy the app into a Hugging Face Space:  python -m scripts.deploy user/name [--dry-run]

What goes there is what git tracks and a Space needs: no tests, no benchmarks. Log in first with `hf auth login`, or set
HF_TOKEN.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_NEEDED = (
    "tests/", "benchmarks/", "scripts/", "examples/", "recipes/", ".ci/", ".github/", ".pre-commit-config.yaml",
    "Makefile", "Dockerfile", "requirements-dev.txt",
)  # fmt: skip
_SPACE = re.compile(r"[\w.-]+/[\w.-]+")


def files_to_upload(root: Path = ROOT) -> list[str]:
    """Paths relative to the root, sorted."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    return sorted(f for f in tracked.split("\0") if f and not f.startswith(NOT_NEEDED) and (root / f).is_file())


def deploy(space: str, files: list[str]) -> str:
    """Create the Space where there is none yet, and upload; returns its address."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(space, repo_type="space", space_sdk="gradio", exist_ok=True)
    # A file that the Space has and we have not would linger: what is not allowed here is deleted there.
    commit = api.upload_folder(
        repo_id=space, repo_type="space", folder_path=ROOT, allow_patterns=files, delete_patterns="*",
        commit_message="Deploy",
    )  # fmt: skip
    return commit.repo_url.url


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", help="user/name")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be uploaded")
    options = parser.parse_args(arguments)
    if not _SPACE.fullmatch(options.space):
        print(f"A Space is named user/name, not {options.space!r}.", file=sys.stderr)
        return 2
    files = files_to_upload()
    if options.dry_run:
        total = sum((ROOT / file).stat().st_size for file in files)
        print("\n".join(files))
        print(f"{len(files)} files, {total / 2**20:.1f} MB, would go to the Space {options.space}")
        return 0
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        print(deploy(options.space, files))
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:  # OSError: no network
        print(f"The Space was not updated: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
