"""Decoding: from parameters to a plan, and the search algorithms that CTranslate2 lacks."""
