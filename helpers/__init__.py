"""What two notebooks share, and the plumbing of the study."""

import logging
import warnings

# `datasets` imports a progress bar that warns on stderr, at its own import, in a kernel without widgets. This study has
# no widgets on purpose (GitHub cannot show them), and the filter must be there before `datasets` is first imported.
warnings.filterwarnings("ignore", message="IProgress not found")
# `transformers` imports torchao, where it is installed, whatever it is asked for; and that complains of parts for other
# machines than this, and of itself.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
