"""Live sessions: audio comes as it is spoken, and events tell what was said.

The way of the audio: `utterances` cuts it at pauses; `session` sends each utterance to the model,
and keeps the order of the answers; `passes` makes requests of them, which share batches with those
of files. `agreement` tells which words of an unfinished utterance will stay. `inputs` turns what
comes over a wire into samples.
"""
