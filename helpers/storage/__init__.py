"""What a model weighs: one file that loads back with the same logits, and the bytes in it, part by part."""

from helpers.storage.files import FORMAT, VERSION, breakdown, count, load, save, size, state_dict_bytes

__all__ = ["FORMAT", "VERSION", "breakdown", "count", "load", "save", "size", "state_dict_bytes"]
