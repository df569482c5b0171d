"""The engines that are compared, each in a process and an environment of its own.

A folder each: `requirements.txt` pins the environment, `run.py` speaks the protocol in `protocol`.
"""
