"""What two notebooks share, and the plumbing of the study."""

import warnings

# `datasets` imports a progress bar that, in a kernel without widgets, warns on stderr at its own import; this study
# has no widgets on purpose (GitHub cannot show them), and the filter must be there before the first import of `datasets`.
warnings.filterwarnings("ignore", message="IProgress not found")
