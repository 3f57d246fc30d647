"""Settings for all tests: one thread each (two test processes share two cores) and no progress bars."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["STUDY_PROGRESS"] = "0"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import tiny
import torch

torch.set_num_threads(1)


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate few rows and lines, whatever is asked for."""
    tiny.few_rows(monkeypatch)
