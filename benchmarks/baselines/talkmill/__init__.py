"""talkmill, run like its peers."""
