"""`python -m talkmill.server` is `talkmill`."""

from talkmill.server.cli import main

main(prog_name="talkmill")
