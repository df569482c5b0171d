"""Benchmarks of talkmill and its peers; each module answers one question."""

import os

# NumPy gets as many threads as a worker of CTranslate2, for a fair comparison. Must be set before
# NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
