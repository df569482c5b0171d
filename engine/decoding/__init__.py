"""Decoding control: parameters to a plan, and the searches that CTranslate2 does not have."""
