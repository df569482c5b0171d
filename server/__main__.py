"""`python -m talkmill.server` is `talkmill`."""

from .cli import main

main(prog_name="talkmill")
