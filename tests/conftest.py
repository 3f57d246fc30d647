"""Settings for all tests: one thread each (two test processes share two cores) and no progress bars."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["STUDY_PROGRESS"] = "0"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch

torch.set_num_threads(1)
