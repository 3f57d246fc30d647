"""Programs that compute a model: PyTorch as it is, compiled, torchao, ONNX Runtime, OpenVINO, behind one switch.

All but PyTorch are optional (`requirements-speed.txt`); what cannot run here says why in a sentence.
"""

from helpers.backends.programs import BACKENDS, Backend, build, title, why_not
from helpers.backends.workers import Workers, deal

__all__ = ["BACKENDS", "Backend", "Workers", "build", "deal", "title", "why_not"]
