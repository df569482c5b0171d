"""talkmill, as its peers are run."""
