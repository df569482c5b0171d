"""How fast talkmill is, and compared with what; each module answers one question."""

import os

# As many threads for NumPy as for a worker of CTranslate2, so that both sides have the same. Must
# be set before NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
