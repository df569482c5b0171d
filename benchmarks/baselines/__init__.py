"""The engines that are compared, each in a process and an environment of its own.

Each has a folder: `requirements.txt` pins the environment, `run.py` implements `protocol`.
"""
